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

inline void
begin_transaction()
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

inline void
commit_transaction()
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

} // namespace base
