/*
 * state/aside.cpp
 *
 * See aside.hpp.
 */
#include "state/aside.hpp"

using namespace base;

namespace state
{

void
remember_aside(int64 table_id, int generation, int nkeys, const char *const *key)
{
	run_alone("INSERT INTO livesync.aside (table_id, generation, key) VALUES ($1, $2, $3) "
			  "ON CONFLICT DO NOTHING",
			  {bigint_value(table_id), int_value(generation), text_array_value(nkeys, key)});
}

void
forget_aside(int64 table_id, int generation, int nkeys, const char *const *key)
{
	run_alone("DELETE FROM livesync.aside WHERE table_id = $1 AND generation = $2 AND key = $3",
			  {bigint_value(table_id), int_value(generation), text_array_value(nkeys, key)});
}

void
forget_all_aside(int64 table_id, int generation)
{
	run_alone("DELETE FROM livesync.aside WHERE table_id = $1 AND generation = $2",
			  {bigint_value(table_id), int_value(generation)});
}

bool
has_aside(int64 table_id, int generation)
{
	return run_alone("SELECT FROM livesync.aside WHERE table_id = $1 AND generation = $2 LIMIT 1",
					 {bigint_value(table_id), int_value(generation)}) > 0;
}

char **
first_aside(int64 table_id, int generation, int *nkeys)
{
	SqlScope scope = begin_sql();
	char **key = nullptr;

	if (run_sql("SELECT key FROM livesync.aside WHERE table_id = $1 AND generation = $2 LIMIT 1",
				{bigint_value(table_id), int_value(generation)}) == 1)
		key = get_text_array(scope, 0, 1, nkeys);
	end_sql();
	return key;
}

} // namespace state
