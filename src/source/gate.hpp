/*
 * source/gate.hpp
 *
 * The write-lock gate: which transactions of the source may still have made changes of a table
 * that we would neither see in a chunk nor get through the spool.
 *
 * Used as CREATE INDEX CONCURRENTLY waits for writers: list once, then wait until each one listed
 * has ended.  A transaction keeps its locks until after it is visible to snapshots, also while its
 * commit waits for a synchronous standby.  Prepared transactions keep their virtualtransaction only
 * on newer minors, so every prepared transaction that holds a write lock is waited for by its gid.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

struct Gate
{
	char *holders; /* opaque text, kept between polls: what is still waited for; "" = passed */
	char *
		waiting_for; /* for people: "pid 1234 (psql, idle in transaction since 3 s, xid 789)"; "" when passed */
};

/* List the holders of write locks (RowExclusive, ShareRowExclusive and stronger) on the table and its leaves. */
Gate open_gate(Connection *control, Oid table);
/* Which of the listed are still there.  After a reconnect open_gate again. */
bool poll_gate(Connection *control, Oid table, Gate *gate);

} // namespace source
