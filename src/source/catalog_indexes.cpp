/*
 * source/catalog_indexes.cpp
 *
 * Owns: the indexes of one table, as far as indexes like them can be built elsewhere.
 *
 * Surprising: what the server says of an index names the table and its schema, which are others at
 * the target.  Nothing is replaced in the text here: who builds the index parses it.  And a key
 * WITHOUT OVERLAPS (18) is an exclusion constraint in all but its name.
 */
#include "source/catalog.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

enum Field
{
	kName,
	kDefinition,
	kConstraint,
	kConstraintName,
	kConstraintDefinition,
	kDeferrable,
	kDeferred,
	kPrimary,
	kUnique,
	kPlain,
	kKeyColumns,
	kColumns,
};

/* Columns in expressions and predicates are in pg_depend; those of a constraint's index only in indkey. */
constexpr char kIndexesSql[] = R"(
SELECT c.relname, pg_get_indexdef(i.indexrelid),
	CASE WHEN i.indisexclusion THEN 'x' ELSE k.contype END, k.conname,
	CASE WHEN i.indisexclusion THEN pg_get_constraintdef(k.oid) END, k.condeferrable, k.condeferred,
	i.indisprimary, i.indisunique,
	i.indimmediate AND NOT i.indisexclusion AND i.indpred IS NULL AND i.indexprs IS NULL,
	(SELECT array_agg(a.attname::text ORDER BY u.place)
		FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, place)
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
		WHERE u.place <= i.indnkeyatts),
	(SELECT array_agg(a.attname::text) FROM pg_attribute a
		WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND (a.attnum = ANY (i.indkey::int2[])
			OR a.attnum IN (SELECT d.refobjsubid FROM pg_depend d
				WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
					AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid)))
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
	AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = %u AND i.indisvalid AND i.indisready AND i.indislive
ORDER BY i.indisprimary DESC, c.relname)";

SourceIndex
read_index(const PGresult *result, int row)
{
	SourceIndex index = {};

	index.name =
		get_text(result, row, is_null(result, row, kConstraintName) ? kName : kConstraintName);
	index.constraint = get_char(result, row, kConstraint);
	index.definition =
		get_text(result, row,
				 is_null(result, row, kConstraintDefinition) ? kDefinition : kConstraintDefinition);
	index.is_deferrable = get_bool(result, row, kDeferrable);
	index.is_deferred = get_bool(result, row, kDeferred);
	index.is_primary = get_bool(result, row, kPrimary);
	index.is_unique = get_bool(result, row, kUnique);
	index.is_plain = get_bool(result, row, kPlain);
	index.key = get_text_array(result, row, kKeyColumns, &index.nkey);
	index.columns = get_text_array(result, row, kColumns, &index.ncolumns);
	return index;
}

} // namespace

SourceIndexes
read_indexes(Connection *control, Oid table)
{
	PGresult *result = query(control, psprintf(kIndexesSql, table));
	SourceIndexes indexes = {};

	indexes.count = PQntuples(result);
	indexes.indexes =
		static_cast<SourceIndex *>(palloc(sizeof(SourceIndex) * Max(indexes.count, 1)));
	for (int row = 0; row < indexes.count; row++)
		indexes.indexes[row] = read_index(result, row);
	return indexes;
}

} // namespace source
