/*
 * worker/drain.hpp
 *
 * Replays a table's spool, segment by segment, in stream order.  Copy workers use it to bring a long
 * spool down, the connector worker for the tail.
 *
 * In: a table whose row the caller holds, in a transaction.  Out: the segments replayed are deleted in the same
 * transaction.
 */
#pragma once

#include "base/change_counts.hpp"
#include "source/catalog.hpp"
#include "state/synced_table.hpp"
#include "target/apply.hpp"

namespace worker
{

/* A spool of so many changes is replayed by the connector worker; a longer one is brought down by copy workers. */
constexpr int kTailChanges = 2000;

enum class DrainResult
{
	empty,		 /* nothing is left */
	more,		 /* the bound was reached */
	again_later, /* a change waits for the source: roll back, try again */
	stopped, /* the target cannot take the form of what follows; all before it is done: commit, *failure says why */
	copy_again, /* the source rewrote its rows, or had no key for them: roll back, copy_again() */
	failed,		/* *failure says why: roll back, mark the table */
};

/* A change in a spool; segment 0: none. */
struct SpoolPlace
{
	int64 segment;
	int entry; /* from 0 */
	wire::MessageKind kind;
	wire::Lsn lsn;
};

struct Drain
{
	const state::SyncedTable *table;
	const char *connector;
	source::Connection *control;
	int most_segments; /* 0: all */
	target::ApplyFailure failure;
	base::ChangeCounts stats;
	bool has_refetched;
	/* what fails as a set is replayed one by one: `failing` is the first that does */
	bool finds_failing;
	SpoolPlace failing;
	wire::Lsn refetched; /* insert LSN of the source after the last refetch; 0: there was none */
};

DrainResult drain_spool(Drain *drain);

/* Bring back the rows that are still set aside, from the source; before the table streams. */
DrainResult restore_aside(Drain *drain);

/* Does a snapshot of the source, as text, see them all? */
bool are_visible(const uint32 *xids, int nxids, const char *snapshot_text);

/* What was fetched must be safe at the source before it is committed here, and the stream must pass it. */
void settle_refetches(Drain *drain);

/* Hooks for writing over rows of mixed versions, for chunks too.  columns: the source's, in the relation's order. */
target::CatchUp make_catch_up(Drain *drain, char **columns);

} // namespace worker
