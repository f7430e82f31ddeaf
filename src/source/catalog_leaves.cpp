/*
 * source/catalog_leaves.cpp
 *
 * Owns: what of a table is stored where: its leaves with their files and sizes.
 *
 * Surprising: the size is measured with a lock on each leaf for that moment, so this waits for an
 * ALTER TABLE that is under way.  A plan made then would be for nothing anyway.
 */
#include "source/catalog.hpp"
#include "source/partition_tree.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

constexpr char kLeavesSql[] = R"(
SELECT c.oid, n.nspname, c.relname, pg_relation_filenode(c.oid),
	pg_relation_size(c.oid) / current_setting('block_size')::bigint
FROM tree t JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
ORDER BY c.oid)";

} // namespace

char *
partition_tree_sql(const Connection *control, Oid table)
{
	return psprintf(R"(WITH RECURSIVE tree AS (
	SELECT c.oid AS relid, c.relkind FROM pg_class c WHERE c.oid = %u
	UNION ALL
	SELECT c.oid, c.relkind
	FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid%s JOIN pg_class c ON c.oid = i.inhrelid
	WHERE t.relkind = 'p'
))",
					table, control->server_version >= 140000 ? " AND NOT i.inhdetachpending" : "");
}

Leaves
read_leaves(Connection *control, Oid table)
{
	Leaves leaves = {};
	PGresult *result =
		query(control, psprintf("%s%s", partition_tree_sql(control, table), kLeavesSql));
	int rows = PQntuples(result);

	leaves.leaves = static_cast<Leaf *>(palloc0(sizeof(Leaf) * Max(rows, 1)));
	for (int row = 0; row < rows; row++)
	{
		/* Dropped in between. */
		if (is_null(result, row, 3) || is_null(result, row, 4))
			continue;

		Leaf *leaf = &leaves.leaves[leaves.count++];

		leaf->oid = get_oid(result, row, 0);
		leaf->schema = get_text(result, row, 1);
		leaf->name = get_text(result, row, 2);
		leaf->filenode = get_oid(result, row, 3);
		leaf->blocks = get_int64(result, row, 4);
	}
	return leaves;
}

} // namespace source
