/*
 * source/column_versions.cpp
 *
 * See column_versions.hpp.
 */
#include "source/column_versions.hpp"

#include "source/catalog_sql.hpp"
#include "source/partition_tree.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

constexpr char kSql[] = R"(
, files AS (
	SELECT )" STORAGE_SQL R"( AS storage FROM tree t JOIN pg_class c ON c.oid = t.relid)
SELECT array_prepend(coalesce(f.storage, ''), v.texts) || concat_ws(':', 0, coalesce(k.oid, 0),
		(r.relreplident = 'f')::int, coalesce(k.xmin::text, '0'), ''),
	concat_ws('/', v.look, f.storage, )" KEY_LOOK_SQL("r.oid") R"(),
	r.relkind = 'p'
FROM pg_class r LEFT JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype = 'p', files f, (
	SELECT array_agg(concat_ws(':', c.attnum, c.atttypid, c.atttypmod, c.version, c.attname)
			ORDER BY c.attnum) AS texts,
		)" COLUMNS_LOOK_SQL R"( AS look
	FROM (
		SELECT a.attnum, a.atttypid, a.atttypmod, a.attname, a.xmin AS version
		FROM pg_attribute a
		WHERE a.attrelid = %u AND a.attnum > 0 AND NOT a.attisdropped
			AND a.attname::text = ANY (%s)) c) v
WHERE r.oid = %u)";

} // namespace

ColumnVersions
read_column_versions(Connection *control, Oid table, int ncolumns, const char *const *columns)
{
	const char *tree = partition_tree_sql(control, table);
	char *sql = psprintf(kSql, table, array_literal(ncolumns, columns), table);
	PGresult *result = query(control, psprintf("%s%s", tree, sql));
	ColumnVersions it = {};

	it.texts = get_text_array(result, 0, 0, &it.count);
	it.look = get_text(result, 0, 1);
	it.is_partitioned = !is_null(result, 0, 2) && get_bool(result, 0, 2);
	return it;
}

ColumnVersion
parse_column_version(const char *text)
{
	ColumnVersion it = {};
	char *at;

	it.number = (int) strtol(text, &at, 10);
	it.type = (Oid) strtoul(at + 1, &at, 10);
	it.modifier = (int32) strtol(at + 1, &at, 10);
	it.written_by = (uint32) strtoul(at + 1, &at, 10);
	it.name = at + 1;
	return it;
}

bool
is_key_version(const ColumnVersion &it)
{
	return it.number == 0;
}

} // namespace source
