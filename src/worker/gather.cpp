/*
 * worker/gather.cpp
 *
 * Under load: let messages gather for a moment, instead of waking up for each.  See connector.hpp.
 *
 * When we are faster than the source, each of its messages finds us asleep.  To be woken takes longer than to apply a row, and
 * waking takes as long at the source, which then sends half as fast as it could.  So when many messages come, each batch begins
 * with a nap of a millisecond; when few come, none waits.
 */
#include "worker/connector.hpp"

#include "base/compat.hpp"

namespace worker
{
namespace
{

constexpr int kWindowMs = 10;
constexpr int kManyInAWindow = 200;
constexpr long kNapMs = 1;

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

void
nap(ConnectorWorker *worker)
{
	int events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;

	worker->has_napped = true;
	(void) WaitLatch(MyLatch, events, kNapMs, base::wait_event());
	ResetLatch(MyLatch);
}

} // namespace worker
