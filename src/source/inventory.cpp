/*
 * source/inventory.cpp
 *
 * One statement over the catalogs.  See inventory.hpp.
 *
 * Surprising: the size of a table that somebody has locked exclusively is estimated from its pages,
 * because measuring it would wait for that lock.
 */
#include "source/inventory.hpp"

#include "source/result.hpp"

namespace source
{
namespace
{

enum Field
{
	kOid,
	kSchema,
	kName,
	kKind,
	kBytes,
	kRows,
	kReplicaIdentity,
	kKey,
	kPublications,
	kTimeColumn,
	kCanPublish,
	kHasIdentity,
	kCanRead,
	kIsFiltered,
	kIsOwned,
	kIsHeap,
	kSendsChanges,
	kHidesIdentity,
};

/*
 * Generated columns of the identity that are not published: from 18 on the source refuses UPDATE and DELETE then; before, it
 * leaves these columns out, which only FULL can do without.  A publication of ours publishes none of them.
 */
constexpr char kHiddenIdentity[] = R"(EXISTS (
		SELECT FROM pg_attribute a
		WHERE a.attrelid = l.oid AND a.attnum > 0 AND a.attgenerated <> ''
			AND CASE l.relreplident WHEN 'f' THEN %2$s WHEN 'n' THEN false ELSE a.attname = ANY (k.names) END
			AND (cardinality(%1$s) = 0 OR EXISTS (
				SELECT FROM pg_publication p JOIN pg_publication_tables t USING (pubname)
				WHERE p.pubname = ANY (%1$s) AND (p.pubupdate OR p.pubdelete)
					AND t.schemaname = l.nspname AND t.tablename = l.relname AND %3$s))))";

/* %1$s: which tables; %2$s: the named publications; %3$s: partitions that are being detached; %4$s: kHiddenIdentity. */
constexpr char kSql[] = R"(
WITH RECURSIVE named AS (
	SELECT p.pubname, p.pubupdate OR p.pubdelete AS changes, t.schemaname, t.tablename
	FROM pg_publication p JOIN pg_publication_tables t USING (pubname)
	WHERE p.pubname = ANY (%2$s)
),
listed AS MATERIALIZED (
	SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident, c.relowner,
		c.relnamespace,
		EXISTS (SELECT FROM pg_inherits i JOIN pg_class x ON x.oid = i.inhrelid
			JOIN pg_namespace m ON m.oid = x.relnamespace
			WHERE i.inhparent = c.oid AND m.nspname = '_timescaledb_internal') AS is_hypertable
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
		AND n.nspname !~ '^(pg_|_timescaledb_)' AND n.nspname <> 'information_schema'
		AND NOT EXISTS (SELECT FROM pg_depend d
			WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
		AND (%1$s)
),
tree AS (
	SELECT l.oid AS root, l.oid AS relid, l.relkind FROM listed l
	UNION ALL
	SELECT t.root, c.oid, c.relkind
	FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid%3$s JOIN pg_class c ON c.oid = i.inhrelid
	WHERE t.relkind = 'p'
),
locked AS MATERIALIZED (
	SELECT DISTINCT l.relation FROM pg_locks l
	WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
		AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
),
leaves AS (
	SELECT t.root, bool_and(c.relkind = 'r' AND m.amname = 'heap') FILTER (WHERE c.relkind <> 'p') AS is_heap,
		bool_and(has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
			FILTER (WHERE c.relkind <> 'p' OR c.oid = t.root) AS can_read,
		coalesce(bool_or(row_security_active(c.oid)) FILTER (WHERE c.relkind <> 'f'), false) AS is_filtered,
		sum(CASE WHEN c.relkind <> 'r' THEN 0
			WHEN c.oid IN (SELECT relation FROM locked)
			THEN c.relpages * current_setting('block_size')::bigint
			ELSE coalesce(pg_table_size(c.oid), 0) END)::bigint AS bytes,
		CASE WHEN bool_or(c.relkind = 'r' AND (c.reltuples < 0
				OR c.relpages = 0 AND c.reltuples = 0 AND current_setting('server_version_num')::int < 140000))
			THEN -1 ELSE coalesce(sum(c.reltuples) FILTER (WHERE c.relkind = 'r'), 0) END::bigint AS rows
	FROM tree t JOIN pg_class c ON c.oid = t.relid LEFT JOIN pg_am m ON m.oid = c.relam
	GROUP BY t.root
),
keys AS (
	SELECT l.oid AS relid, k.names, k.usable
	FROM listed l CROSS JOIN LATERAL (
		SELECT array_agg(a.attname::text ORDER BY p.place) AS names,
			i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AS usable
		FROM pg_index i
		CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY p(attnum, place)
		JOIN pg_attribute a ON a.attrelid = l.oid AND a.attnum = p.attnum
		WHERE i.indrelid = l.oid AND p.place <= i.indnkeyatts
			AND CASE l.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
		GROUP BY i.indexrelid) k
),
published AS (
	SELECT t.root, array_agg(DISTINCT p.pubname::text) AS names
	FROM pg_publication_tables p
	JOIN pg_namespace n ON n.nspname = p.schemaname
	JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
	JOIN tree t ON t.relid = c.oid
	GROUP BY t.root
)
SELECT l.oid, l.nspname, l.relname,
	CASE WHEN l.is_hypertable THEN 'hypertable' WHEN l.relkind = 'f' THEN 'foreign table'
		WHEN l.relkind = 'p' THEN 'partitioned table' WHEN l.relpersistence = 'u' THEN 'unlogged table'
		ELSE 'table' END,
	v.bytes, v.rows, l.relreplident, k.names, p.names,
	(SELECT a.attname
	FROM pg_attribute a
	WHERE a.attrelid = l.oid AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped
		AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
	ORDER BY a.attname::text = k.names[1] DESC NULLS LAST,
		a.attname::text = ANY (k.names) DESC NULLS LAST,
		EXISTS (SELECT FROM pg_index i WHERE i.indrelid = l.oid AND i.indisvalid
			AND i.indkey[0] = a.attnum) DESC,
		array_position(ARRAY['timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype]::oid[], a.atttypid),
		a.attname ~* '^(time|ts|timestamp|datetime|date|day|at)$' DESC,
		a.attname ~* '(^|_)(time|ts|timestamp|occurred|recorded|measured|event)' DESC,
		a.attname ~* '(^|_)created' DESC,
		a.attname ~* 'updated|modified|deleted|expire' ASC,
		a.attnum
	LIMIT 1),
	l.relkind IN ('r', 'p') AND l.relpersistence = 'p' AND NOT l.is_hypertable,
	CASE l.relreplident WHEN 'f' THEN true WHEN 'n' THEN false ELSE coalesce(k.usable, false) END,
	coalesce(v.can_read, true), v.is_filtered, pg_has_role(l.relowner, 'USAGE'),
	coalesce(v.is_heap, true),
	coalesce((SELECT bool_or(d.changes) FROM named d
		WHERE d.schemaname = l.nspname AND d.tablename = l.relname), false),
	%4$s
FROM listed l
JOIN leaves v ON v.root = l.oid
LEFT JOIN keys k ON k.relid = l.oid
LEFT JOIN published p ON p.root = l.oid
ORDER BY l.nspname, l.relname)";

/* Names come as people write them: quoted, partly quoted or not at all. */
constexpr char kByName[] = R"(
			ARRAY[n.nspname || '.' || c.relname, format('%%I.%%I', n.nspname, c.relname),
				'"' || n.nspname || '"."' || c.relname || '"'] && %1$s
			OR NOT c.relispartition
				AND ARRAY[n.nspname || '.*', '"' || n.nspname || '".*'] && %1$s)";

constexpr char kByPublication[] =
	"EXISTS (SELECT FROM named d WHERE d.schemaname = n.nspname AND d.tablename = c.relname)";

char *
which_tables(int nnames, const char *const *names, int npublications)
{
	if (npublications > 0)
		return pstrdup(kByPublication);
	if (nnames > 0)
		return psprintf(kByName, array_literal(nnames, names));
	return pstrdup("NOT c.relispartition");
}

SourceTable
read_table(const PGresult *result, int row)
{
	SourceTable table{};

	table.oid = get_oid(result, row, kOid);
	table.schema = get_text(result, row, kSchema);
	table.name = get_text(result, row, kName);
	table.kind = get_text(result, row, kKind);
	table.bytes = get_int64(result, row, kBytes);
	table.rows = get_int64(result, row, kRows);
	table.replica_identity = get_char(result, row, kReplicaIdentity);
	table.key = get_text_array(result, row, kKey, &table.key_count);
	table.publications = get_text_array(result, row, kPublications, &table.publication_count);
	table.time_column = get_text(result, row, kTimeColumn);
	table.can_publish = get_bool(result, row, kCanPublish);
	table.has_identity = get_bool(result, row, kHasIdentity);
	table.can_read = get_bool(result, row, kCanRead);
	table.is_filtered = get_bool(result, row, kIsFiltered);
	table.is_owned = get_bool(result, row, kIsOwned);
	table.is_heap = get_bool(result, row, kIsHeap);
	table.sends_changes = get_bool(result, row, kSendsChanges);
	table.hides_identity = get_bool(result, row, kHidesIdentity);
	return table;
}

} // namespace

SourceTables
read_inventory(Connection *control, int nnames, const char *const *names, int npublications,
			   const char *const *publications)
{
	SourceTables tables{};
	int version = control->server_version;
	const char *named = array_literal(npublications, publications);
	const char *hidden = psprintf(kHiddenIdentity, named, version >= 180000 ? "true" : "false",
								  version >= 180000 ? "a.attname <> ALL (t.attnames)" : "true");
	PGresult *result =
		query(control, psprintf(kSql, which_tables(nnames, names, npublications), named,
								version >= 140000 ? " AND NOT i.inhdetachpending" : "", hidden));

	tables.count = PQntuples(result);
	tables.tables = static_cast<SourceTable *>(palloc(sizeof(SourceTable) * Max(tables.count, 1)));
	for (int row = 0; row < tables.count; row++)
		tables.tables[row] = read_table(result, row);
	return tables;
}

char *
table_label(const SourceTable &table)
{
	return psprintf("%s.%s", table.schema, table.name);
}

} // namespace source
