/*
 * source/connection_failure.hpp
 *
 * Why no connection came about, in words that say what to do.  Collected over all hosts of a
 * connection string; libpq gives no SQLSTATE for these, so the hints follow its text and may be
 * missing when that is in another language.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

struct ConnectFailure
{
	char *text; /* libpq's, a line for each attempt; palloc'ed */
	bool timed_out;
	bool needs_password;
};

/* timeout_s: 0 unless it passed. */
/* What ssh said of an attempt through a tunnel. */
void note_tunnel(ConnectFailure *failure, const char *said);
void note_failure(ConnectFailure *failure, PGconn *raw, int timeout_s);
[[noreturn]] void raise_connect_failure(const ConnectFailure &failure);
/* Under an SQLSTATE of its own, so that livesync.check_source() can tell it from all others. */
[[noreturn]] void raise_pooler();

} // namespace source
