/*
 * source/catalog_tables.cpp
 *
 * Owns: which tables the publications publish, and how: one statement and the reader of its
 * result.
 *
 *   pubs ─► entries ─► wanted (without leaves that come under an ancestor) ─► one row a table
 *                                 └► tree ─► leaves: size, access method, privileges
 *
 * The fingerprint has two halves, "membership:columns".  Membership is the oids of the
 * publications and of the table's (or its ancestors' or schemas') entries in them, which are new
 * after a removal and addition, the transactions that made it a partition of what is published or
 * moved it to a published schema, the flags, filters and explicit column lists.  Columns is the
 * names, numbers and types of the columns that are published now, and which of them are the key.
 * Leaves are in neither.
 *
 * Surprising: nothing here locks a table unless its size was never estimated by VACUUM or ANALYZE.
 * The statement runs every few seconds and must not queue behind an ALTER TABLE; so partition
 * trees are walked in pg_inherits, where pg_partition_tree() would lock each leaf.  What is TimescaleDB's own at the source
 * is not listed, chunks above all: a publication of all tables has them as tables.  See catalog_hypertables.cpp.
 */
#include "source/catalog.hpp"
#include "source/catalog_sql.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

/* Columns of the result. */
enum Field
{
	kInsertLsn,
	kOid,
	kSchema,
	kName,
	kKind,
	kReplicaIdentity,
	kFingerprint,
	kRowFilter,
	kColumns,
	kKey,
	kUniform,
	kTruncate,
	kPlainHeap,
	kCanSelect,
	kBytes,
	kRows,
	kColumnsDiffer,
	kStorage,
	kPartitions,
	kColumnLook,
	kSendsChanges,
};

/* Before 15 there are no filters and no column lists. */
constexpr char kEntriesBefore15[] = R"(
	SELECT DISTINCT p.oid AS pub, g.relid, NULL::int2vector AS attrs, NULL::text AS filter,
		NULL::text AS list
	FROM pubs p, LATERAL pg_get_publication_tables(p.pubname::text) g(relid))";

/* pg_get_expr() locks the table: of tables that were not asked for it must see nothing. */
constexpr char kEntries[] = R"(
	SELECT p.oid AS pub, g.relid, g.attrs,
		pg_get_expr(CASE WHEN %s THEN g.qual END, g.relid) AS filter,
		(SELECT r.prattrs::text FROM pg_publication_rel r
		 WHERE r.prrelid = g.relid AND r.prpubid = p.oid) AS list
	FROM pubs p, LATERAL pg_get_publication_tables(p.pubname::text) g)";

/* Where one table is asked for, only it and what it is published through. */
constexpr char kEntriesOfOne[] = R"(
	WHERE g.relid = %s OR g.relid IN (SELECT a.relid FROM pg_partition_ancestors(%s) a))";

constexpr char kSchemaMembers[] = R"(
		UNION ALL
		SELECT l.relid, 'n', s.oid
		FROM lineage l JOIN pg_class c ON c.oid = l.ancestor
		JOIN pg_publication_namespace s ON s.pnnspid = c.relnamespace
		JOIN pubs p ON p.oid = s.pnpubid
		UNION ALL
		SELECT l.relid, 'd', d.xmin::text::oid
		FROM lineage l JOIN pg_depend d ON d.classid = 'pg_class'::regclass
			AND d.objid = l.ancestor AND d.objsubid = 0 AND d.refclassid = 'pg_namespace'::regclass
		JOIN pg_publication_namespace s ON s.pnnspid = d.refobjid
		JOIN pubs p ON p.oid = s.pnpubid)";

constexpr char kAncestors[] = R"(
ancestors AS MATERIALIZED (
	SELECT e.relid, a.relid::oid AS ancestor
	FROM (SELECT DISTINCT relid FROM entries) e
	JOIN pg_class c ON c.oid = e.relid AND c.relispartition,
	LATERAL pg_partition_ancestors(e.relid) a
	WHERE a.relid <> e.relid
),
wanted AS MATERIALIZED (
	SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident
	FROM (SELECT DISTINCT relid FROM entries) e
	JOIN pg_class c ON c.oid = e.relid
	JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname !~ '^_timescaledb_' AND NOT EXISTS (
		SELECT FROM ancestors a JOIN entries ae ON ae.relid = a.ancestor
		JOIN pubs p ON p.oid = ae.pub AND p.pubviaroot
		WHERE a.relid = c.oid))";

/* An action's filter: none as soon as one publication sends the action without a filter. */
constexpr char kTables[] = R"(
lineage AS (
	SELECT oid AS relid, oid AS ancestor FROM wanted
	UNION ALL
	SELECT a.relid, a.ancestor FROM ancestors a JOIN wanted w ON w.oid = a.relid
),
tables AS (
	SELECT e.relid, count(*) AS pubs,
		coalesce(bool_or(p.pubinsert) AND bool_or(p.pubupdate) AND bool_or(p.pubdelete), false)
			AS complete,
		bool_or(p.pubupdate OR p.pubdelete) AS changes,
		bool_or(p.pubtruncate) AS truncate,
		CASE WHEN bool_and(e.filter IS NOT NULL) FILTER (WHERE p.pubinsert)
			THEN string_agg(DISTINCT '(' || e.filter || ')', ' OR ' ORDER BY '(' || e.filter || ')')
				FILTER (WHERE p.pubinsert) END AS insert_filter,
		CASE WHEN bool_and(e.filter IS NOT NULL) FILTER (WHERE p.pubupdate)
			THEN string_agg(DISTINCT '(' || e.filter || ')', ' OR ' ORDER BY '(' || e.filter || ')')
				FILTER (WHERE p.pubupdate) END AS update_filter,
		CASE WHEN bool_and(e.filter IS NOT NULL) FILTER (WHERE p.pubdelete)
			THEN string_agg(DISTINCT '(' || e.filter || ')', ' OR ' ORDER BY '(' || e.filter || ')')
				FILTER (WHERE p.pubdelete) END AS delete_filter,
		CASE WHEN bool_and(e.filter IS NOT NULL)
			THEN string_agg(DISTINCT '(' || e.filter || ')', ' OR ' ORDER BY '(' || e.filter || ')')
			END AS any_filter,
		string_agg(concat_ws('/', p.oid, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete,
			p.pubtruncate, p.pubviaroot, p.generated, coalesce(e.list, '*'), e.filter), ';'
			ORDER BY p.oid) AS description
	FROM entries e JOIN pubs p ON p.oid = e.pub JOIN wanted w ON w.oid = e.relid
	GROUP BY e.relid
),
members AS (
	SELECT m.relid, string_agg(m.kind || m.oid, ',' ORDER BY m.kind, m.oid) AS description
	FROM (
		SELECT l.relid, 'r' AS kind, r.oid
		FROM lineage l JOIN pg_publication_rel r ON r.prrelid = l.ancestor
		JOIN pubs p ON p.oid = r.prpubid
		UNION ALL
		SELECT l.relid, 'i', i.xmin::text::oid
		FROM lineage l JOIN pg_inherits i ON i.inhrelid = l.ancestor
		WHERE EXISTS (
			SELECT FROM ancestors a JOIN pg_publication_rel r ON r.prrelid = a.ancestor
			JOIN pubs p ON p.oid = r.prpubid WHERE a.relid = l.relid)%s) m
	GROUP BY m.relid
))";

constexpr char kColumnsAndKeys[] = R"(
columns AS (
	SELECT c.relid, array_agg(c.attname::text ORDER BY c.attnum) AS names,
		string_agg(concat_ws(':', c.attnum, quote_ident(c.attname), c.atttypid, c.atttypmod), ','
			ORDER BY c.attnum) AS description,
		)" COLUMNS_LOOK_SQL R"( AS look,
		NOT bool_and(c.everywhere) AS differ
	FROM (
		SELECT e.relid, a.attnum, a.attname, a.atttypid, a.atttypmod, count(*) = t.pubs AS everywhere,
			min(a.xmin::text) AS version
		FROM tables t JOIN entries e ON e.relid = t.relid
		JOIN pg_attribute a ON a.attrelid = e.relid AND a.attnum > 0 AND NOT a.attisdropped
			AND CASE WHEN e.attrs IS NULL THEN a.attgenerated = '' ELSE a.attnum = ANY (e.attrs) END
		GROUP BY e.relid, a.attnum, a.attname, a.atttypid, a.atttypmod, t.pubs) c
	GROUP BY c.relid
),
keys AS (
	SELECT w.oid AS relid, array_agg(a.attname::text ORDER BY k.place) AS names
	FROM wanted w
	JOIN pg_index i ON i.indrelid = w.oid AND i.indisvalid AND i.indimmediate
		AND i.indpred IS NULL AND i.indexprs IS NULL
		AND CASE w.relreplident WHEN 'i' THEN i.indisreplident WHEN 'n' THEN false
			ELSE i.indisprimary END
	CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
	JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = k.attnum
	WHERE k.place <= i.indnkeyatts
	GROUP BY w.oid
))";

/*
 * A size that was never estimated is measured, unless that would wait for a lock.  Reading a block
 * range needs the system column ctid, which a grant on columns must name as well.
 */
constexpr char kLeaves[] = R"(
tree AS (
	SELECT w.oid AS root, w.oid AS relid, w.relkind, NULL::text AS link FROM wanted w
	UNION ALL
	SELECT t.root, c.oid, c.relkind, i.inhrelid || ':' || i.xmin::text || ':' || c.relfilenode
	FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid%s JOIN pg_class c ON c.oid = i.inhrelid
	WHERE t.relkind = 'p'
),
locked AS MATERIALIZED (
	SELECT DISTINCT l.relation FROM pg_locks l
	WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
		AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
),
leaves AS (
	SELECT t.root,
		bool_and(c.relkind = 'r' AND m.amname = 'heap' AND c.relpersistence = 'p')
			FILTER (WHERE c.relkind <> 'p') AS plain,
		bool_and(has_schema_privilege(c.relnamespace, 'USAGE')
			AND CASE WHEN has_table_privilege(c.oid, 'SELECT') THEN true
				ELSE%s NOT EXISTS (
					SELECT FROM pg_attribute a, columns l
					WHERE l.relid = t.root AND a.attrelid = c.oid AND a.attname = ANY (l.names)
						AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')) END)
			FILTER (WHERE c.relkind <> 'p' OR c.oid = t.root) AS can_select,
		sum(CASE WHEN c.relkind <> 'r' THEN 0
			WHEN c.relpages > 0 OR c.oid IN (SELECT relation FROM locked)
			THEN c.relpages * current_setting('block_size')::bigint
			ELSE coalesce(pg_relation_size(c.oid), 0) END)::bigint AS bytes,
		sum(CASE WHEN c.relkind = 'r' THEN greatest(c.reltuples, 0) ELSE 0 END)::bigint AS rows,
		)" STORAGE_SQL R"( AS storage,
		md5(coalesce(string_agg(t.link, ',' ORDER BY t.relid), '')) AS partitions
	FROM tree t JOIN pg_class c ON c.oid = t.relid LEFT JOIN pg_am m ON m.oid = c.relam
	GROUP BY t.root
))";

#define FINGERPRINT                                                                                \
	"md5(concat_ws('|', w.oid, m.description, t.description)) || ':' || "                          \
	"md5(concat_ws('|', c.description, k.names))"

/*
 * The position is read after the sort, and so after all of the rest: it is not before the commit of
 * anything seen here.  There is a row even without tables, to carry it.
 */
constexpr char kResult[] = R"(
SELECT pg_current_wal_insert_lsn(), q.*
FROM (SELECT 1) one LEFT JOIN (
	SELECT w.oid, w.nspname, w.relname, w.relkind, w.relreplident,
		)" FINGERPRINT R"( AS fingerprint,
		CASE WHEN u.uniform THEN t.insert_filter ELSE t.any_filter END AS row_filter,
		c.names, CASE WHEN k.names <@ c.names THEN k.names ELSE '{}' END AS key,
		u.uniform, t.truncate, coalesce(v.plain, true) AS plain, coalesce(v.can_select, false),
		v.bytes, v.rows, coalesce(c.differ, false),
		v.storage, CASE w.relkind WHEN 'p' THEN v.partitions END,
		concat_ws('/', c.look, v.storage, )" KEY_LOOK_SQL("w.oid") R"(), t.changes
	FROM wanted w
	JOIN tables t ON t.relid = w.oid
	LEFT JOIN members m ON m.relid = w.oid
	LEFT JOIN columns c ON c.relid = w.oid
	LEFT JOIN keys k ON k.relid = w.oid
	LEFT JOIN leaves v ON v.root = w.oid
	CROSS JOIN LATERAL (SELECT t.complete AND t.insert_filter IS NOT DISTINCT FROM t.update_filter
		AND t.insert_filter IS NOT DISTINCT FROM t.delete_filter AS uniform) u
) q ON true
ORDER BY q.nspname, q.relname)";

/* What it does not need of the above the source does not even plan. */
constexpr char kFingerprintResult[] = R"(
SELECT )" FINGERPRINT R"(
FROM wanted w JOIN tables t ON t.relid = w.oid
LEFT JOIN members m ON m.relid = w.oid LEFT JOIN columns c ON c.relid = w.oid
LEFT JOIN keys k ON k.relid = w.oid)";

/* All but what is selected from it.  table: an expression for its oid, or nullptr for all. */
StringInfoData
begin_sql(Connection *control, int npublications, const char *const *publications,
		  const char *table)
{
	int version = control->server_version;
	const char *is_wanted = table != nullptr ? psprintf("g.relid = %s", table) : "true";
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "WITH RECURSIVE pubs AS MATERIALIZED (\n"
					 "\tSELECT p.*, %s AS generated FROM pg_publication p\n"
					 "\tWHERE p.pubname::text = ANY (%s)\n),\nentries AS MATERIALIZED (%s%s\n),",
					 version >= 180000 ? "p.pubgencols" : "NULL::text",
					 array_literal(npublications, publications),
					 version >= 150000 ? psprintf(kEntries, is_wanted) : kEntriesBefore15,
					 table != nullptr ? psprintf(kEntriesOfOne, table, table) : "");
	appendStringInfoString(&sql, kAncestors);
	if (table != nullptr)
		appendStringInfo(&sql, " AND c.oid = %s", table);
	appendStringInfoString(&sql, "\n),");
	appendStringInfo(&sql, kTables, version >= 150000 ? kSchemaMembers : "");
	appendStringInfo(&sql, ",%s,", kColumnsAndKeys);
	appendStringInfo(&sql, kLeaves, version >= 140000 ? " AND NOT i.inhdetachpending" : "",
					 version >= 140000 ? " has_column_privilege(c.oid, -1::int2, 'SELECT') AND"
									   : "");
	return sql;
}

PublishedTable
read_table(PGresult *result, int row)
{
	PublishedTable table = {};

	table.schema = get_text(result, row, kSchema);
	table.name = get_text(result, row, kName);
	table.oid = get_oid(result, row, kOid);
	table.kind = get_char(result, row, kKind);
	table.replica_identity = get_char(result, row, kReplicaIdentity);
	table.fingerprint = get_text(result, row, kFingerprint);
	table.row_filter = get_text(result, row, kRowFilter);
	table.columns = get_text_array(result, row, kColumns, &table.columns_count);
	table.key = get_text_array(result, row, kKey, &table.key_count);
	table.uniform = get_bool(result, row, kUniform);
	table.publishes_truncate = get_bool(result, row, kTruncate);
	table.plain_heap = get_bool(result, row, kPlainHeap);
	table.can_select = get_bool(result, row, kCanSelect);
	table.bytes = get_int64(result, row, kBytes);
	table.rows = get_int64(result, row, kRows);
	table.storage = get_text(result, row, kStorage);
	table.partitions = get_text(result, row, kPartitions);
	table.column_look = get_text(result, row, kColumnLook);
	table.sends_changes = get_bool(result, row, kSendsChanges);
	if (get_bool(result, row, kColumnsDiffer))
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the publications have different column lists for table \"%s.%s\"",
					table.schema, table.name),
			 errdetail("The source refuses to stream such a table."),
			 errhint(
				 "Give the table the same column list in each of the connector's publications.")));
	return table;
}

} // namespace

char *
published_tables_sql(Connection *control, int npublications, const char *const *publications)
{
	StringInfoData sql = begin_sql(control, npublications, publications, nullptr);

	appendStringInfoString(&sql, kResult);
	return sql.data;
}

PublishedTables
read_published_tables(PGresult *result)
{
	/* An error must not look like a publication without tables. */
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		raise_remote_error(nullptr, result, "read the publications of the source");

	PublishedTables tables = {};
	int rows = PQntuples(result);

	tables.tables = static_cast<PublishedTable *>(
		MemoryContextAllocHuge(CurrentMemoryContext, sizeof(PublishedTable) * Max(rows, 1)));
	for (int row = 0; row < rows; row++)
	{
		tables.insert_lsn = Max(tables.insert_lsn, get_lsn(result, row, kInsertLsn));
		if (!is_null(result, row, kOid))
			tables.tables[tables.count++] = read_table(result, row);
	}
	return tables;
}

char *
read_fingerprint(Connection *connection, int npublications, const char *const *publications,
				 Oid table)
{
	StringInfoData sql = begin_sql(connection, npublications, publications, "$1");

	appendStringInfoString(&sql, kFingerprintResult);
	prepare(connection, "(oid)", sql.data);
	PGresult *result = query(connection, psprintf("EXECUTE %s (%u)", kPreparedName, table));

	return PQntuples(result) == 0 ? nullptr : get_text(result, 0, 0);
}

} // namespace source
