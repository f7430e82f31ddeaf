/*
 * source/partition_tree.hpp
 *
 * The partition tree of a table at the source, as the start of a statement.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

/*
 * "WITH RECURSIVE tree AS (…)" with the columns relid and relkind: the table itself, and of a
 * partitioned one all partitions of any depth.  Read from pg_inherits, since pg_partition_tree()
 * locks each of them.
 */
char *partition_tree_sql(const Connection *control, Oid table);

} // namespace source
