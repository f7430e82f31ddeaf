/*
 * target/sliced_writes.hpp
 *
 * Writing to a hypertable: a set of rows is cut into slices by time, and each slice is a statement whose bounds are
 * constants to the planner.  Where the time is not among the values that find a row, it is first read where the rows are.
 *
 * Surprising: TimescaleDB takes everything out of the columnstore that a statement's constants do not exclude; what a join
 * would exclude, it does not see.
 */
#pragma once

#include "target/time_slices.hpp"

namespace target
{

/* As run_statement(), in as many statements as it takes; for those that find rows. */
uint64 run_sliced(const StatementRun &whole);

} // namespace target
