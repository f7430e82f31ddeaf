/*
 * source/check_extensions.cpp
 *
 * Which extensions tables need, for the types of their columns and for their indexes.  See check.hpp.
 */
#include "source/check.hpp"

#include "source/result.hpp"

namespace source
{
namespace
{

/* %s: oids of tables.  What an index needs are its operator classes, functions and collations. */
constexpr char kSql[] = R"(
WITH listed AS (
	SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = ANY ('{%s}'::oid[])
),
uses AS (
	SELECT l.oid AS relid, 'pg_type'::regclass::oid AS classid,
		CASE WHEN t.typlen = -1 AND t.typelem <> 0 THEN t.typelem ELSE t.oid END AS objid, true AS is_type
	FROM listed l JOIN pg_attribute a ON a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped
	JOIN pg_type t ON t.oid = a.atttypid
	UNION
	SELECT l.oid, d.refclassid, d.refobjid, false
	FROM listed l JOIN pg_index i ON i.indrelid = l.oid
	JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
)
SELECT e.extname, l.nspname, l.relname, bool_or(u.is_type)
FROM uses u JOIN listed l ON l.oid = u.relid
JOIN pg_depend d ON d.classid = u.classid AND d.objid = u.objid AND d.deptype = 'e'
	AND d.refclassid = 'pg_extension'::regclass
JOIN pg_extension e ON e.oid = d.refobjid
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3)";

} // namespace

ExtensionUses
read_extension_uses(Connection *connection, int count, const Oid *tables)
{
	ExtensionUses uses{};
	StringInfoData oids;

	initStringInfo(&oids);
	for (int i = 0; i < count; i++)
		appendStringInfo(&oids, "%s%u", i > 0 ? "," : "", tables[i]);

	PGresult *result = query(connection, psprintf(kSql, oids.data));

	uses.count = PQntuples(result);
	uses.list = static_cast<ExtensionUse *>(palloc(sizeof(ExtensionUse) * Max(uses.count, 1)));
	for (int row = 0; row < uses.count; row++)
		uses.list[row] = ExtensionUse{get_text(result, row, 0), get_text(result, row, 1),
									  get_text(result, row, 2), get_bool(result, row, 3)};
	return uses;
}

} // namespace source
