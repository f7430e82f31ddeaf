/*
 * worker/pace.cpp
 *
 * See pace.hpp.
 */
#include "worker/pace.hpp"

#include "base/compat.hpp"
#include "base/settings.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

constexpr uint64 kBookedAtOnce = 64 * 1024;
constexpr long kStepUs = 50000;

bool
wait_until(TimestampTz time)
{
	bool has_waited = false;
	TimestampTz now;

	pgstat_report_wait_start(base::wait_event());
	while (!InterruptPending && PostmasterIsAlive() && (now = GetCurrentTimestamp()) < time)
	{
		has_waited = true;
		pg_usleep(Min((long) (time - now), kStepUs));
	}
	pgstat_report_wait_end();
	return has_waited;
}

} // namespace

bool
pace_copy(Pace *pace, size_t bytes)
{
	uint64 limit = (uint64) base::settings::copy_rate_kb * 1024;

	pace->unbooked += bytes;
	if (limit == 0 || pace->unbooked < Min(kBookedAtOnce, limit / 10))
		return false;
	TimestampTz free_at = book_copied(pace->unbooked, limit);

	pace->unbooked = 0;
	return wait_until(free_at);
}

} // namespace worker
