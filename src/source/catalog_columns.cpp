/*
 * source/catalog_columns.cpp
 *
 * Owns: the columns of one table, as far as a table like it can be made from them elsewhere.
 *
 * Surprising: whether a default needs anything of the source is asked of pg_depend and not of the
 * expression's text.  What is built in leaves no row there; everything else does: functions,
 * types and collations of users and extensions, and a sequence in nextval('…'::regclass).  Only a
 * sequence given as plain text escapes, so the sequence functions are looked for by their oids.
 */
#include "source/catalog.hpp"
#include "source/catalog_sql.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

enum Field
{
	kName,
	kType,
	kTypeOid,
	kTypeModifier,
	kIsReg,
	kCollation,
	kNotNull,
	kIdentity,
	kGenerated,
	kDefault,
};

/* 1574 to 1576 and 1765: nextval, currval, setval; 2559: lastval. */
constexpr char kColumnsSql[] = R"(
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod,
	b.typnamespace = 'pg_catalog'::regnamespace AND b.typname LIKE 'reg%%' AS is_reg,
	CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
		THEN (SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname)
			FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
			WHERE l.oid = a.attcollation) END AS collation,
	)" HAS_NO_NULLS_SQL R"( AS not_null,
	a.attidentity, a.attgenerated,
	CASE WHEN a.attgenerated = ''
		AND d.adbin::text !~ ':funcid (157[456]|1765|2559) '
		AND NOT EXISTS (
			SELECT FROM pg_depend p
			WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
				AND NOT (p.refclassid = 'pg_class'::regclass AND p.refobjid = d.adrelid
					AND p.refobjsubid = d.adnum))
		THEN pg_get_expr(d.adbin, d.adrelid) END AS constant_default
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type b ON b.oid = CASE WHEN t.typlen = -1 AND t.typelem <> 0 THEN t.typelem ELSE t.oid END
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %u AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum)";

constexpr char kKeySql[] = R"(
SELECT array_agg(a.attname::text ORDER BY k.place)
FROM (
	SELECT i.indkey, i.indnkeyatts FROM pg_index i
	WHERE i.indrelid = %u AND (i.indisprimary OR i.indisreplident)
	ORDER BY i.indisprimary DESC LIMIT 1) i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
JOIN pg_attribute a ON a.attrelid = %u AND a.attnum = k.attnum
WHERE k.place <= i.indnkeyatts)";

SourceColumn
read_column(const PGresult *result, int row)
{
	SourceColumn column = {};

	column.name = get_text(result, row, kName);
	column.type = get_text(result, row, kType);
	column.type_oid = get_oid(result, row, kTypeOid);
	column.type_modifier = (int32) get_int64(result, row, kTypeModifier);
	column.type_is_builtin = column.type_oid < FirstNormalObjectId;
	column.type_is_reg = get_bool(result, row, kIsReg);
	column.collation = get_text(result, row, kCollation);
	column.not_null = get_bool(result, row, kNotNull);
	column.identity = get_char(result, row, kIdentity);
	column.generated = get_char(result, row, kGenerated);
	column.constant_default = get_text(result, row, kDefault);
	return column;
}

} // namespace

SourceColumns
read_columns(Connection *control, Oid table)
{
	SourceColumns columns = {};
	/* pg_get_expr() locks the table */
	PGresult *result = query(control, limit_lock_wait(psprintf(kColumnsSql, table), LockTimeout));

	columns.count = PQntuples(result);
	columns.columns =
		static_cast<SourceColumn *>(palloc(sizeof(SourceColumn) * Max(columns.count, 1)));
	for (int row = 0; row < columns.count; row++)
		columns.columns[row] = read_column(result, row);

	return columns;
}

char **
read_key_columns(Connection *control, Oid table, int *count)
{
	return get_text_array(query(control, psprintf(kKeySql, table, table)), 0, 0, count);
}

} // namespace source
