/*
 * source/catalog.hpp
 *
 * What the source's catalogs say: the published tables with a fingerprint of how they are
 * published, their columns, keys and indexes, their leaves, the server's positions.
 *
 * All structs are palloc'ed in the current memory context; names are as in the catalogs, unquoted.
 *
 * Surprising: pg_publication_tables names a leaf on its own even when another of our publications
 * publishes its ancestor via root; such leaves are left out here, because their changes come under
 * the root's name.
 */
#pragma once

#include "source/connection.hpp"
#include "wire/lsn.hpp"

namespace source
{

struct PublishedTable
{
	char *schema;
	char *name;
	Oid oid;
	char kind;			   /* relkind: r or p */
	char replica_identity; /* d, n, f, i */
	char *
		fingerprint; /* changes when anything about its publication changes: "membership:columns", see catalog_tables.cpp */
	char *row_filter; /* SQL over the table's columns, filters joined by OR; NULL: none */
	int columns_count; /* published columns, in attnum order; generated ones only when the source publishes them */
	char **columns;
	int key_count; /* columns that find a row: the replica identity's; with FULL the primary key's; 0: none */
	char **key;
	bool uniform; /* insert, update and delete are all published, under one and the same filter */
	bool sends_changes; /* updates or deletes */
	bool publishes_truncate;
	bool plain_heap; /* every leaf is a heap (relam heap), logged, not foreign */
	bool
		can_select; /* SELECT on it and on its leaves, or on all published columns (and ctid, from 14 on) by grants */
	int64
		bytes;	/* heap size of all leaves, as last estimated by VACUUM or ANALYZE, else measured */
	int64 rows; /* reltuples summed; 0 if unknown */
	char *storage;	   /* which files hold its rows: see read_storage() */
	char *column_look; /* another one as soon as anything of column_versions.hpp may be */
	char *partitions;  /* a hash of their links, see partitions.hpp; NULL: it is not partitioned */
};

struct PublishedTables
{
	int count;
	PublishedTable *tables; /* ordered by schema, name, as strcmp() orders */
	wire::Lsn insert_lsn;	/* pg_current_wal_insert_lsn() in the same statement or right after */
};

/*
 * One statement, so that the connector worker can send it without waiting: the text for
 * start_query(), then the reader of its result.
 */
char *published_tables_sql(Connection *control, int npublications, const char *const *publications);
PublishedTables read_published_tables(PGresult *result); /* ERROR when the statement failed */

/* Of one table, by oid: nullptr when it is not published any more.  It is asked for each chunk, so it is prepared. */
char *read_fingerprint(Connection *connection, int npublications, const char *const *publications,
					   Oid table);

struct SourceColumn
{
	char *name;
	char *type; /* format_type(): schema-qualified unless pg_catalog (search_path is '') */
	Oid type_oid;
	int32 type_modifier;
	bool type_is_builtin; /* type oid < 16384 */
	bool type_is_reg;	  /* reg* type or array of it */
	char *collation;	  /* quoted and qualified; NULL when the type's default */
	bool not_null;
	char identity;	/* a, d or '\0' */
	char generated; /* s, v or '\0' */
	char *
		constant_default; /* default expression if it needs no function, sequence, or user type: literals, casts, now()/CURRENT_*; else NULL */
};

struct SourceColumns
{
	int count;
	SourceColumn *columns; /* all live columns in attnum order */
};

SourceColumns read_columns(Connection *control, Oid table);

/* Columns of the primary key, or else of the replica identity index. */
char **read_key_columns(Connection *control, Oid table, int *count);

/*
 * What ADD COLUMN gave to the rows that were there, as far as the catalogs still know: nothing is there after the rows
 * were rewritten, which read_storage() tells.
 */
struct AddedValue
{
	bool is_known; /* false: not the same in all leaves */
	char *text;	   /* NULL: no value */
};

AddedValue read_added_value(Connection *control, Oid table, const char *column);

/* The files that hold the rows of a table, as one word: another one after they were rewritten. */
char *read_storage(Connection *control, Oid table);

/* A type by its oid, as format_type() has it; NULL: there is none now. */
char *read_type_name(Connection *control, Oid type, int32 modifier);
struct SourceIndex
{
	char *name;		  /* of its constraint, if it has one */
	char constraint;  /* p, u, x (also of a key WITHOUT OVERLAPS) or '\0' */
	char *definition; /* CREATE INDEX ...; of x what follows ADD CONSTRAINT and a name */
	bool is_deferrable;
	bool is_deferred;
	bool is_primary;
	bool is_unique;
	bool is_plain; /* enforced at once, for all rows, over columns only */
	int nkey;
	char **key; /* columns of its key, as far as they are columns */
	int ncolumns;
	char **columns; /* all columns that it reads */
};

struct SourceIndexes
{
	int count;
	SourceIndex *indexes; /* the primary key first */
};

/* The indexes that are valid. */
SourceIndexes read_indexes(Connection *control, Oid table);

struct Leaf
{
	Oid oid;
	char *schema;
	char *name;
	uint32 filenode; /* pg_relation_filenode */
	int64 blocks;	 /* now */
};

struct Leaves
{
	int count;
	Leaf *leaves;
};

/* The heap leaves of a table (itself when it is not partitioned), ordered by oid. */
Leaves read_leaves(Connection *control, Oid table);

/* ERROR with the way out when the table is a hypertable of TimescaleDB at the source. */
void refuse_hypertable(Connection *control, Oid table, const char *schema, const char *name);

/* Likewise when the publications send changes of it, but not all of its replica identity. */
void refuse_hidden_identity(Connection *control, Oid table, const char *schema, const char *name,
							int npublications, const char *const *publications);

struct Positions
{
	wire::Lsn insert;
	wire::Lsn flush;
};

Positions read_positions(Connection *control);

/*
 * Return when the source has flushed its WAL up to its insert position as of the call, which is returned.  On an idle
 * source a commit with an xid is made so that the walwriter does it.
 */
wire::Lsn wait_source_flushed(Connection *control);

struct SystemIdentity
{
	char *system_identifier;
	uint32 timeline;
	wire::Lsn flush;
};

/* IDENTIFY_SYSTEM, and where a timeline was left (TIMELINE_HISTORY; false: not listed). */
SystemIdentity identify_system(Connection *stream);
bool read_switch_point(Connection *stream, uint32 current_timeline, uint32 old_timeline,
					   wire::Lsn *lsn);

} // namespace source
