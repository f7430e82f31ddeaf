/*
 * worker/ahead.cpp
 *
 * A transaction that the source sends in pieces is applied ahead of its commit, in what would else be idle time.
 * See connector.hpp.
 *
 *   socket ──► file ──► the end of a batch ... ──► commit here, when its commit comes
 *                └──── read while the socket is empty
 *
 * A large transaction is decoded, sent and applied side by side in this way, and at its commit little is left to do.  The
 * local transaction stands for it alone: when anything else comes from the source, or wants to be done here, it is rolled
 * back, and the transaction is applied from its file at its commit, as if nothing had been.  After each time that the source
 * was the reason the next attempt waits for longer: a source with much going on at once costs no more than a few of them.
 *
 * Surprising: the position of its commit is not known yet, and whatever would be recorded with it (a failure, a spool, a
 * change of columns) must not be: then the worker starts again and leaves that transaction alone until its commit.
 */
#include "worker/connector.hpp"

#include "base/failpoint.hpp"
#include "worker/registry.hpp"
#include "worker/streamed.hpp"

namespace worker
{
namespace
{

/* After so many messages the socket gets its turn. */
constexpr int kMessagesATurn = 500;
/* Locks are not held for a source that says nothing, nor is other work put off for ever. */
constexpr int kMostSilenceMs = 3000;
constexpr int kMostDelayMs = 5 * 60 * 1000;
constexpr int64 kFirstPauseMs = 60 * 1000;
constexpr int64 kLongestPauseMs = 24 * 60 * 60 * 1000;

/* What is parked is parked with the position of its commit, so all tables must stream; they do until the next boundary. */
bool
may_begin(const ConnectorWorker *worker, TimestampTz now)
{
	return is_at_boundary(worker) && !worker->tables_changed && !my_entry()->keeps_behind &&
		   worker->ahead_after <= now && is_everything_streaming(worker->routes);
}

/* Counters that are not written would be lost with a rollback, or be written twice. */
void
begin(ConnectorWorker *worker, StreamedTransaction *it, TimestampTz now)
{
	advance_idle(worker, worker->applied, true);
	rewind_streamed(it);
	worker->ahead = it;
	worker->heard_ahead_at = now;
	begin_source_transaction(worker, xid_of(it), worker->received);
}

bool
is_something_else_wanted()
{
	const ConnectorEntry *entry = my_entry();

	return entry->is_changed || entry->is_tables_changed ||
		   entry->refresh_wanted != entry->refresh_done;
}

bool
takes_too_long(const ConnectorWorker *worker, TimestampTz now)
{
	return TimestampDifferenceExceeds(worker->heard_ahead_at, now, kMostSilenceMs) ||
		   TimestampDifferenceExceeds(worker->housekept_at, now, kMostDelayMs);
}

void
take_back(ConnectorWorker *worker)
{
	roll_back_local(worker);
	worker->ahead = nullptr;
	worker->in_source_transaction = false;
	base::failpoint("taken_back");
}

/* A description that differs may be of an uncommitted ALTER TABLE, and would outlive a rollback here. */
bool
is_known_relation(const ConnectorWorker *worker, uint32 relid, std::string_view raw)
{
	const StreamRelation *known = find_relation(worker->routes, relid);

	return known == nullptr || std::string_view(known->message, known->message_size) == raw;
}

} // namespace

bool
fits_ahead(const ConnectorWorker *worker, const wire::Message &message, std::string_view raw)
{
	switch (message.kind)
	{
		case wire::MessageKind::relation:
			return is_known_relation(worker, message.relation.relid, raw);
		case wire::MessageKind::insert:
		case wire::MessageKind::update:
		case wire::MessageKind::del:
		case wire::MessageKind::type:
			return true;
		default:
			return false;
	}
}

bool
apply_ahead(ConnectorWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	std::string_view raw;

	if (worker->ahead == nullptr)
	{
		StreamedTransaction *only = only_streamed(worker->streamed);

		if (only == nullptr || !may_begin(worker, now))
			return false;
		begin(worker, only, now);
	}
	if (is_something_else_wanted())
	{
		take_back(worker);
		return false;
	}
	if (takes_too_long(worker, now))
	{
		fall_behind(worker);
		return false;
	}
	int taken = 0;

	for (; taken < kMessagesATurn && next_kept(worker->ahead, &raw); taken++)
		if (!take_kept_message(worker, raw))
		{
			fall_behind(worker);
			return false;
		}
	if (taken > 0)
		base::failpoint("applied_ahead");
	return taken > 0;
}

void
go_on_ahead(ConnectorWorker *worker, const wire::Message &message)
{
	uint32 xid = xid_of(worker->ahead);
	bool is_next_piece = message.kind == wire::MessageKind::stream_start &&
						 message.stream_start.xid == xid && !message.stream_start.is_first_segment;
	bool is_commit =
		message.kind == wire::MessageKind::stream_commit && message.stream_commit.xid == xid;

	if (is_next_piece || is_commit)
		worker->heard_ahead_at = GetCurrentTimestamp();
	else
		fall_behind(worker);
}

void
end_ahead(ConnectorWorker *worker, wire::Lsn commit_lsn)
{
	worker->ahead = nullptr;
	worker->ahead_pause_ms = 0;
	worker->commit_lsn = commit_lsn;
	for (Route *route = worker->routes->busy; route != nullptr; route = route->next_busy)
		for (target::PendingChange *change = route->first; change != nullptr; change = change->next)
			change->lsn = commit_lsn;
}

void
fall_behind(ConnectorWorker *worker)
{
	int64 pause = worker->ahead_pause_ms;

	take_back(worker);
	worker->ahead_pause_ms = pause == 0 ? kFirstPauseMs : Min(pause * 2, kLongestPauseMs);
	worker->ahead_after =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), worker->ahead_pause_ms);
}

void
keep_behind(const ConnectorWorker *worker)
{
	if (worker->ahead != nullptr)
		my_entry()->keeps_behind = true;
}

void
start_again_behind(ConnectorWorker *worker)
{
	if (worker->ahead == nullptr)
		return;
	keep_behind(worker);
	abort_local();
	set_ending(Ending::again);
	proc_exit(0);
}

} // namespace worker
