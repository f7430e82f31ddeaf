/*
 * target/relation.hpp
 *
 * A target table as the writer needs it: which of its columns a message's values go to, which columns find a row,
 * and what stands in the way of writing sets.
 *
 * In: what a Relation message (or the catalog) says of the source's columns, and a target name.  Out: a TargetRelation
 * in a memory context of its own, which also owns the saved plans.  It is opened anew when the relation cache says that
 * the table changed.
 *
 * Must not know: where changes come from, what state the table is in.
 *
 * Surprising: a unique index counts as the key's only if its columns *are* the identity and it is enforced at once;
 * a deferrable one is not enforced at all in replica role.
 */
#pragma once

#include "base/pg.hpp"
#include "target/ownership.hpp"

#include <span>

namespace target
{

struct TargetColumn
{
	char *name;
	AttrNumber number;
	Oid type;
	int32 modifier;
	Oid collation;
	bool is_always_identity; /* cannot be SET */
	bool is_dimension;		 /* of a hypertable: an UPDATE cannot lead a row to another chunk */
	FmgrInfo input;
	FmgrInfo receive;
	bool has_receive;
	bool reads_by_length; /* receive looks for no end behind the value */
	Oid io_parameter;
	Oid sent_type;	  /* the source's, built in or not; InvalidOid: not known */
	char *equality;	  /* "OPERATOR(schema.=)", or nullptr when the type has none */
	bool is_hashable; /* that equality */
	bool tells_apart; /* besides, equal values are the same to the last byte */
};

struct Hypertable;

struct SavedStatement
{
	Bitmapset *unchanged; /* of the statement: source columns left out */
	int kind;
	bool is_lone; /* for one row, which comes as parameters */
	SPIPlanPtr plan;
	BlockNumber blocks;	   /* of the table when it was planned */
	TimestampTz looked_at; /* at its size; of a table with parts: when it was planned */
	SavedStatement *next;
};

struct TargetRelation
{
	MemoryContext context;
	Oid relid;
	Oid owner;
	char *schema;
	char *name;
	char *sql_name;	   /* quoted, with ONLY where children must be left alone */
	char *insert_name; /* quoted */
	char kind;		   /* relkind */
	int ncolumns;
	TargetColumn *columns; /* by the source's column order */
	int nkeys;			   /* 0: rows are found by all columns */
	uint16 *keys;		   /* indexes into columns */
	/* from an index here: the source has no key, and perhaps several rows of one */
	bool borrows_keys;
	bool has_key_index; /* a unique index whose columns are the keys */
	/* such an index that ON CONFLICT can name: one WITHOUT OVERLAPS it cannot */
	bool takes_conflicts;
	bool has_look_alikes;	/* rows may be equal and not the same, by a hashable equality */
	bool has_index;			/* some index begins with a key column */
	bool has_other_unique;	/* unique or exclusion constraints besides the key's */
	bool has_extra_columns; /* columns that the source does not have */
	char **extra_columns;	/* their names */
	int nextra;
	/* besides the keys; an UPDATE may not set them: see renumber_text() */
	bool has_always_identity;
	bool tells_writers;		   /* who wrote a row last can be known: see row_origin.hpp */
	TimestampTz streams_since; /* set by who applies; 0: nobody asks who wrote a row */
	bool fires_triggers;	   /* ENABLE ALWAYS or REPLICA: one by one, in order */
	Hypertable *hypertable;	   /* nullptr: it is none */
	bool needs_inserts; /* of a hypertable whose COPY would leave continuous aggregates untold */
	int time_column;	/* index into columns that bounds are put on; -1: none */
	int time_find; /* place of that column among the values that find a row; -1: not among them */
	TupleDesc row_shape; /* c0 … cn, then k0 … km (or o0 … on): what the writer's statements read */
	SavedStatement *statements;
	int unreadable; /* index into columns: a value in binary form was being read when an error came; -1: none */
};

/* What is known of the source's side. */
struct RelationSpec
{
	const char *schema; /* of the target */
	const char *name;
	int ncolumns;
	const char *const *columns; /* the source's, in message order */
	const Oid *types;			/* of the source's columns; nullptr: not known */
	const bool *is_key;			/* of the replica identity; all true with FULL */
	bool is_full;				/* REPLICA IDENTITY FULL */
	int nfallback_keys;			/* with FULL: columns of the source's primary key */
	const char *const *fallback_keys;
	/* these, here: the source may have dropped its key since it was looked at */
	bool must_be_unique;
};

/* ERROR with detail and hint when the table is missing or cannot be written. */
TargetRelation *open_target(const RelationSpec &spec, MemoryContext parent);
void close_target(TargetRelation *relation);

/* Has the definition of any table changed since the last call for this counter? */
uint64 definition_changes();
void watch_definitions(); /* once per process */

/* Does the table hold no row? */
bool is_empty(const char *schema, const char *name);
Oid find_table(const char *schema, const char *name); /* InvalidOid: there is none */
bool table_exists(const char *schema, const char *name);
/* Delete its rows, not those of its children by inheritance, as the owner. */
void empty_table(const char *schema, const char *name);

} // namespace target
