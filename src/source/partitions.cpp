/*
 * source/partitions.cpp
 *
 * See partitions.hpp.
 *
 *   CREATE TABLE … PARTITION OF   one command writes the table's columns, and then its link
 *   ATTACH PARTITION              the link is of another transaction than the table; or, when both are of one transaction, the
 *                                 columns were all written anew by the command that made the link
 *
 * The xmin and cmin of the catalogs' rows tell that, also after VACUUM FREEZE.  Where they leave a doubt (a row that has an
 * xmax, columns that were all altered since) it counts as attached: that costs a copy, the other mistake rows.
 *
 * Surprising: a partition whose own link is known may have been away with the partitioned table that it is in.  So what was
 * attached is handed down the tree.
 */
#include "source/partitions.hpp"

#include "source/partition_tree.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

/* Columns of the result. */
enum Field
{
	kLinks,
	kCame,
	kAttached,
	kGone,
	kTruncated,
};

/* As published_tables_sql() has it for its hash. */
constexpr char kLinksSql[] = R"(
SELECT string_agg(t.relid || ':' || i.xmin::text || ':' || c.relfilenode, ',' ORDER BY t.relid)
FROM tree t JOIN pg_inherits i ON i.inhrelid = t.relid JOIN pg_class c ON c.oid = t.relid
WHERE t.relid <> %u)";

/*
 * -6: a system column, whose row nothing writes anew.  TRUNCATE gives a new file without any statistics.  That of the root gives
 * one to each partition in one transaction, and is in the stream.
 */
constexpr char kLookSql[] = R"(
WITH RECURSIVE known AS MATERIALIZED (
	SELECT split_part(link, ':', 1) || ':' || split_part(link, ':', 2) AS link,
		split_part(link, ':', 3) AS file
	FROM unnest(string_to_array(%s, ',')) link
),
tree AS (
	SELECT c.oid AS relid, c.relkind, NULL::text AS link, false AS is_new, false AS has_new_file,
		false AS is_attached
	FROM pg_class c WHERE c.oid = %u
	UNION ALL
	SELECT c.oid, c.relkind, i.inhrelid || ':' || i.xmin::text || ':' || c.relfilenode,
		k.link IS NULL, k.file <> c.relfilenode::text,
		t.is_attached OR k.link IS NULL AND (i.xmin <> s.xmin OR i.xmax::text <> '0'
			OR NOT EXISTS (
				SELECT FROM pg_attribute a
				WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
					AND a.xmin = i.xmin AND a.xmax::text = '0'
					AND a.cmin::text::bigint < i.cmin::text::bigint))
	FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid%s
	JOIN pg_class c ON c.oid = i.inhrelid
	JOIN pg_attribute s ON s.attrelid = c.oid AND s.attnum = -6
	LEFT JOIN known k ON k.link = i.inhrelid || ':' || i.xmin::text
	WHERE t.relkind = 'p'
),
of_root AS (
	SELECT count(*) > 1 AND bool_and(t.has_new_file) AND count(DISTINCT c.xmin::text) = 1 AS is_it
	FROM tree t JOIN pg_class c ON c.oid = t.relid WHERE t.relkind = 'r' AND NOT t.is_new
),
found AS (
	SELECT 'came' AS what, t.relid FROM tree t WHERE t.is_new
	UNION ALL
	SELECT 'attached', t.relid FROM tree t
	WHERE CASE WHEN t.is_attached AND t.relkind = 'r' THEN pg_relation_size(t.relid) > 0 END
	UNION ALL
	SELECT 'gone', o.relid FROM known k
	CROSS JOIN LATERAL (SELECT split_part(k.link, ':', 1)::oid AS relid) o
	WHERE o.relid NOT IN (SELECT t.relid FROM tree t)
	UNION ALL
	SELECT 'truncated', t.relid FROM tree t JOIN pg_class c ON c.oid = t.relid, of_root
	WHERE t.has_new_file AND t.relkind = 'r' AND c.relpages = 0 AND c.reltuples <= 0
		AND NOT of_root.is_it
),
named AS (
	SELECT f.what, coalesce(n.nspname || '.' || c.relname, 'one that was dropped') AS name,
		row_number() OVER (PARTITION BY f.what ORDER BY f.relid) AS place
	FROM found f LEFT JOIN pg_class c ON c.oid = f.relid
	LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
),
lists AS (
	SELECT what, string_agg(name, ', ' ORDER BY place) FILTER (WHERE place <= 5)
		|| CASE WHEN count(*) > 5 THEN ' and ' || count(*) - 5 || ' more' ELSE '' END AS names
	FROM named GROUP BY what
)
SELECT (SELECT string_agg(link, ',' ORDER BY relid) FROM tree),
	(SELECT names FROM lists WHERE what = 'came'),
	(SELECT names FROM lists WHERE what = 'attached'),
	(SELECT names FROM lists WHERE what = 'gone'),
	(SELECT names FROM lists WHERE what = 'truncated'))";

char *
look_sql(const Connection *control, Oid table, const char *links)
{
	return psprintf(kLookSql, quote_string(links), table,
					control->server_version >= 140000 ? " AND NOT i.inhdetachpending" : "");
}

} // namespace

char *
read_partition_links(Connection *control, Oid table)
{
	PGresult *result = query(
		control, psprintf("%s%s", partition_tree_sql(control, table), psprintf(kLinksSql, table)));

	return get_text(result, 0, 0);
}

bool
try_look_at_partitions(Connection *control, Oid table, const char *links, int lock_ms,
					   PartitionLook *look)
{
	char *sql = look_sql(control, table, links);
	PGresult *result = try_query(control, lock_ms > 0 ? limit_lock_wait(sql, lock_ms) : sql);

	if (strcmp(result_sqlstate(result), "55P03") == 0)
		return false;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		raise_remote_error(control, result, "read the partitions of a table");
	*look = PartitionLook{get_text(result, 0, kLinks), get_text(result, 0, kCame),
						  get_text(result, 0, kAttached), get_text(result, 0, kGone),
						  get_text(result, 0, kTruncated)};
	return true;
}

} // namespace source
