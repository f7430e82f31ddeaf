/*
 * base/saved_plan.hpp
 *
 * Plans of our own statements, kept by the workers, who run the same few of them again and again: planning took as long
 * as running them.
 *
 * Surprising: a plan does not live long.  Our tables grow from nothing to thousands of rows, and nothing tells a saved plan
 * for a few rows, which walks through all of them.
 */
#pragma once

#include "base/pg.hpp"

namespace base
{

/*
 * A plan for the text, or nullptr: it is to be planned as it is run.  Needs an SPI connection.  No statement of ours
 * causes itself to be run, by a trigger: the plan that a statement runs by must not be replaced meanwhile.
 */
SPIPlanPtr find_saved_plan(const char *sql, int count, const Oid *types);

} // namespace base
