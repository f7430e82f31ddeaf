/*
 * source/inventory.hpp
 *
 * The tables of a source as one who has not synced anything yet wants to know them: what could be
 * synced, how big it is, how its rows are found, what stands in the way.
 *
 * Must not know: the target.
 *
 * Surprising: this looks at tables that are in no publication yet; how a published table is
 * published is told by catalog.hpp.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

struct SourceTable
{
	Oid oid;
	char *schema;
	char *name;
	char *kind;	 /* "table", "partitioned table", "unlogged table", "foreign table", "hypertable" */
	int64 bytes; /* with TOAST, without indexes, all leaves */
	int64 rows;	 /* as last estimated; -1: never */
	char replica_identity;
	int key_count;
	char **key; /* of the replica identity index, or else of the primary key */
	int publication_count;
	char **publications;
	char *time_column; /* nullptr: none that could be a hypertable's */
	bool can_publish;
	bool has_identity; /* UPDATE and DELETE can be published */
	bool can_read;	   /* SELECT on it and its leaves */
	bool is_filtered;  /* row-level security applies to us */
	bool is_owned;	   /* by a role that we are, or are a member of */
	bool is_heap;
	bool sends_changes;	 /* one of the named publications sends its updates or deletes */
	bool hides_identity; /* generated columns belong to its identity that are not published */
};

struct SourceTables
{
	int count;
	SourceTable *tables; /* ordered by schema, name */
};

/*
 * Every user table but partitions, or those that match one of `names` ('schema.table', 'schema.*'),
 * or (npublications > 0) the tables that these publications publish, partitions too.
 */
SourceTables read_inventory(Connection *control, int nnames, const char *const *names,
							int npublications, const char *const *publications);

/* "schema.table" as people write it. */
char *table_label(const SourceTable &table);

} // namespace source
