/*
 * source/cancel.hpp
 *
 * Stopping a statement that still runs at the source, so that its connection can be used again.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

/* Cancel it, read away what still comes, end its transaction.  ERROR when that takes too long. */
void stop_statement(Connection *connection);

/* ROLLBACK unless no transaction is open. */
void end_transaction(Connection *connection);

} // namespace source
