/*
 * state/aside.hpp
 *
 * Keys of rows that were set aside while a table was catching up: a row in the way of another
 * unique index was deleted, and its key is remembered in the same transaction, until it has been
 * written again.  A table streams only when no key is left here.
 *
 * A key is the texts of the key columns, and their names: a table may be given another key meanwhile.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

struct AsideKey
{
	int count;
	char **columns;
	char **texts;
};

void remember_aside(int64 table_id, int generation, const AsideKey &key);
void forget_aside(int64 table_id, int generation, const AsideKey &key);
void forget_all_aside(int64 table_id, int generation);
bool has_aside(int64 table_id, int generation);
/* One of them; false: there is none. */
bool first_aside(int64 table_id, int generation, AsideKey *key);

} // namespace state
