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
remember_aside(int64 table_id, int generation, const AsideKey &key)
{
	run_alone("INSERT INTO livesync.aside (table_id, generation, key_columns, key) "
			  "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			  {bigint_value(table_id), int_value(generation),
			   text_array_value(key.count, key.columns), text_array_value(key.count, key.texts)});
}

void
forget_aside(int64 table_id, int generation, const AsideKey &key)
{
	run_alone("DELETE FROM livesync.aside WHERE table_id = $1 AND generation = $2 "
			  "AND key_columns = $3 AND key = $4",
			  {bigint_value(table_id), int_value(generation),
			   text_array_value(key.count, key.columns), text_array_value(key.count, key.texts)});
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

bool
first_aside(int64 table_id, int generation, AsideKey *key)
{
	SqlScope scope = begin_sql();
	bool found = run_sql("SELECT key_columns, key FROM livesync.aside WHERE table_id = $1 "
						 "AND generation = $2 LIMIT 1",
						 {bigint_value(table_id), int_value(generation)}) == 1;

	if (found)
	{
		key->columns = get_text_array(scope, 0, 1, &key->count);
		key->texts = get_text_array(scope, 0, 2, &key->count);
	}
	end_sql();
	return found;
}

} // namespace state
