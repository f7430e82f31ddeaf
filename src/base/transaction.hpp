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
	/* a transaction's now() is that of its statement, which in a background worker nobody else sets */
	SetCurrentStatementStartTimestamp();
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
