/*
 * target/set_aside.hpp
 *
 * While a table catches up, rows of mixed versions may break a unique index (or exclusion
 * constraint) that is not the key's.  The row in the way is deleted and its key told to the caller,
 * who remembers it in the same transaction.
 */
#pragma once

#include "target/apply.hpp"

namespace target
{

/* Delete the rows that are in the way of `row`, other than the one with its key; how many. */
int set_aside_conflicts(TargetRelation *relation, const WriteRow &row, const CatchUp &catch_up);

} // namespace target
