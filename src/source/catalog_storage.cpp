/*
 * source/catalog_storage.cpp
 *
 * Owns: what the catalogs tell of rows that were there before a column was.
 *
 *   ADD COLUMN                     no row is touched: the value is NULL
 *   ADD COLUMN … DEFAULT constant  no row is touched: the value is in the catalog (attmissingval)
 *   ADD COLUMN … DEFAULT volatile  every row is written anew, into another file
 *
 * Surprising: the catalog's value is the one of the moment of ADD COLUMN, whatever the default was
 * changed to since; a later rewrite puts it into the rows and takes it out of the catalog.
 */
#include "source/catalog.hpp"
#include "source/catalog_sql.hpp"
#include "source/partition_tree.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

constexpr char kAddedValueSql[] = R"(
SELECT count(*) FILTER (WHERE NOT a.atthasmissing) = 0
		AND count(DISTINCT a.attmissingval::text) = 1
	OR count(*) FILTER (WHERE a.atthasmissing) = 0,
	min((a.attmissingval::text::text[])[1])
FROM tree t JOIN pg_class c ON c.oid = t.relid AND c.relkind = 'r'
JOIN pg_attribute a ON a.attrelid = t.relid AND a.attname = %s AND NOT a.attisdropped)";

constexpr char kStorageSql[] =
	"\nSELECT " STORAGE_SQL " FROM tree t JOIN pg_class c ON c.oid = t.relid";

constexpr char kTypeSql[] = R"(
SELECT format_type(t.oid, %d) FROM pg_type t WHERE t.oid = %u)";

} // namespace

AddedValue
read_added_value(Connection *control, Oid table, const char *column)
{
	char *sql = psprintf(kAddedValueSql, quote_string(column));
	PGresult *result = query(control, psprintf("%s%s", partition_tree_sql(control, table), sql));

	return AddedValue{get_bool(result, 0, 0), get_text(result, 0, 1)};
}

char *
read_storage(Connection *control, Oid table)
{
	return get_text(
		query(control, psprintf("%s%s", partition_tree_sql(control, table), kStorageSql)), 0, 0);
}

char *
read_type_name(Connection *control, Oid type, int32 modifier)
{
	PGresult *result = query(control, psprintf(kTypeSql, modifier, type));

	return PQntuples(result) == 1 ? get_text(result, 0, 0) : nullptr;
}

} // namespace source
