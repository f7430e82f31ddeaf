/*
 * source/remote_error.hpp
 *
 * Raising what the source answered.  The public half is in connection.hpp.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

/* What the stream does, as raise_remote_error() is told it. */
inline constexpr char kReceiveChanges[] = "receive changes";

/*
 * As raise_remote_error(), with the statement as context; any of the arguments may be NULL.
 */
[[noreturn]] void raise_statement_error(Connection *connection, PGresult *result, const char *doing,
										const char *sql);

} // namespace source
