/*
 * worker/gather.cpp
 *
 * Under load: let messages gather for a moment, instead of waking up for each.  See connector.hpp.
 *
 * When we are faster than the source, each of its messages finds us asleep.  To be woken takes longer than to apply a row, and
 * waking takes as long at the source, which then sends half as fast as it could.  So when many messages come, each batch begins
 * with a nap of a millisecond; when few come, none waits.
 *
 * A longer nap lets the source fill what TCP has room for, so that its next messages join those that wait to be sent, which takes
 * half as long as to send each (8 instead of 13 us for a transaction of one row, over loopback).  But then rows come later, which
 * is no matter to who is a second behind.  It ends when nothing more comes: the source has no more, or TCP no more room.  A
 * Unix-domain socket has no such room, there the source would only wait.
 *
 * When few come, each of the three messages of a lone change is sent by itself, and we are faster than that: the change is
 * applied before its commit has come.  (To look again and again for a moment in place of sleeping takes the processor from the
 * walsender where there are not many.)
 */
#include "worker/connector.hpp"

#include "base/compat.hpp"
#include "source/stream.hpp"

namespace worker
{
namespace
{

constexpr int kWindowMs = 10;
constexpr int kManyInAWindow = 200;
constexpr long kNapMs = 1;
constexpr long kLongNapMs = 30;
constexpr long kStepMs = 5;
constexpr int64 kBehindUs = USECS_PER_SEC;

/*
 * The one change of the batch: a row may need that another one goes first, which comes after it, where a constraint of the source
 * waits for the commit and ours does not.  A key never waits.  Without a key each set takes a scan, so it waits for the others.
 */
bool
stands_alone(const Routes *routes)
{
	for (const Route *route = routes->busy; route != nullptr; route = route->next_busy)
		if (route->first != nullptr)
			return route->target != nullptr && route->target->nkeys > 0 &&
				   !route->target->has_other_unique;
	return false;
}

/* What set the latch before is looked at in each turn, it must not cut this short. */
bool
rest(long milliseconds)
{
	int events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;

	ResetLatch(MyLatch);
	return (WaitLatch(MyLatch, events, milliseconds, base::wait_event()) & WL_LATCH_SET) == 0;
}

void
nap_while_more_comes(const ConnectorWorker *worker)
{
	int before = 0;

	for (long rested = 0; rested < kLongNapMs && rest(kStepMs); rested += kStepMs)
	{
		int unread = source::unread_bytes(worker->stream);

		if (unread <= before)
			return;
		before = unread;
	}
}

} // namespace

bool
is_dense(ConnectorWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	int64 age_us = now - worker->window_at;

	if (age_us >= kWindowMs * 1000)
	{
		worker->is_dense = worker->window_messages * kWindowMs * 1000 >= kManyInAWindow * age_us;
		worker->window_at = now;
		worker->window_messages = 0;
	}
	return worker->is_dense;
}

bool
gathers(ConnectorWorker *worker)
{
	return worker->is_behind || is_dense(worker);
}

void
note_age(ConnectorWorker *worker, TimestampTz commit_time)
{
	worker->is_behind = worker->sent_at - commit_time >= kBehindUs;
}

void
nap(ConnectorWorker *worker)
{
	worker->has_napped = true;
	if (worker->is_behind && source::has_room(worker->stream))
		nap_while_more_comes(worker);
	else
		(void) rest(kNapMs);
}

bool
apply_early(ConnectorWorker *worker)
{
	bool is_first = worker->in_source_transaction && !worker->in_local_transaction &&
					worker->batch_changes == 1;

	if (!is_first || worker->ahead != nullptr || gathers(worker))
		return false;
	if (stands_alone(worker->routes))
		flush_batch(worker);
	else
		begin_local(worker);
	return true;
}

} // namespace worker
