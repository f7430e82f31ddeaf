/*
 * state/partitions.cpp
 *
 * See partitions.hpp.
 */
#include "state/partitions.hpp"

using namespace base;

namespace state
{

char *
load_partitions(int64 table_id)
{
	SqlScope scope = begin_sql();
	char *links = run_sql("SELECT partitions FROM livesync.synced_table WHERE id = $1",
						  {bigint_value(table_id)}) == 1
					  ? get_text(scope, 0, 1)
					  : nullptr;

	end_sql();
	return links;
}

void
record_partitions(int64 table_id, const char *links)
{
	run_alone("UPDATE livesync.synced_table SET partitions = $2 WHERE id = $1",
			  {bigint_value(table_id), text_value(links != nullptr ? links : "")});
}

} // namespace state
