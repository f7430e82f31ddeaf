/*
 * state/aside.hpp
 *
 * Keys of rows that were set aside while a table was catching up: a row in the way of another
 * unique index was deleted, and its key is remembered in the same transaction, until it has been
 * written again.  A table streams only when no key is left here.
 *
 * Keys are texts of the key columns in their order.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

void remember_aside(int64 table_id, int generation, int nkeys, const char *const *key);
void forget_aside(int64 table_id, int generation, int nkeys, const char *const *key);
void forget_all_aside(int64 table_id, int generation);
bool has_aside(int64 table_id, int generation);
/* One of them, or nullptr. */
char **first_aside(int64 table_id, int generation, int *nkeys);

} // namespace state
