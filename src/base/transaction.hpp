/*
 * base/transaction.hpp
 *
 * A transaction of a background worker, with the active snapshot that SPI wants to find.
 *
 * Surprising: both ends switch the memory context: to the transaction's at the beginning, to
 * TopMemoryContext at the end.
 */
#pragma once

#include "base/pg.hpp"

namespace base
{

/*
 * Keeps the extension from being dropped until the end.  DROP EXTENSION locks the extension first, and
 * then its tables in an order of its own: without this lock that could be a deadlock with us.
 */
void begin_transaction();
void commit_transaction();

} // namespace base
