/*
 * target/utility.hpp
 *
 * Utility statements as a client would send them, so that other extensions see them.
 */
#pragma once

#include "base/pg.hpp"

namespace target
{

/* The number of rows that it processed.  As an expression tree, `sql` is the text that its locations refer to. */
uint64 run_utility(const char *sql);
uint64 run_utility(Node *statement, const char *sql);

} // namespace target
