/*
 * source/waiting.cpp
 *
 * See waiting.hpp.
 */
#include "source/waiting.hpp"

#include "base/compat.hpp"
#include "source/connection.hpp"

namespace source
{
namespace
{

constexpr long kLongestStep = 1000;

WhileWaiting while_waiting = nullptr;
void *while_waiting_argument = nullptr;
bool in_while_waiting = false;
TimestampTz last_call = 0;
bool swallowed_latch = false;

/*
 * The function may itself wait for the source; it is not entered a second time then.  Should it
 * raise an error, it is not called again before the next set_while_waiting(): the process ends.
 */
void
call_while_waiting()
{
	TimestampTz now = GetCurrentTimestamp();

	if (while_waiting == nullptr || in_while_waiting ||
		!TimestampDifferenceExceeds(last_call, now, static_cast<int>(kLongestStep) / 2))
		return;
	last_call = now;
	in_while_waiting = true;
	while_waiting(while_waiting_argument);
	in_while_waiting = false;
}

} // namespace

void
set_while_waiting(WhileWaiting function, void *argument)
{
	while_waiting = function;
	while_waiting_argument = argument;
	in_while_waiting = false;
}

int
wait_step(int socket, int events, long timeout_ms)
{
	int happened =
		WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | events, socket,
						  Min(timeout_ms, kLongestStep), base::wait_event());

	if (happened & WL_LATCH_SET)
	{
		ResetLatch(MyLatch);
		swallowed_latch = true;
	}
	CHECK_FOR_INTERRUPTS();
	call_while_waiting();
	return happened & WL_SOCKET_MASK;
}

void
end_waiting()
{
	if (swallowed_latch && !in_while_waiting)
	{
		swallowed_latch = false;
		SetLatch(MyLatch);
	}
}

long
remaining_ms(TimestampTz deadline)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
}

void
pause_ms(long ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);

	for (long left = ms; left > 0; left = remaining_ms(deadline))
		(void) wait_step(PGINVALID_SOCKET, 0, left);
	end_waiting();
}

/*
 * The stream waits here for nearly every message of a source that is slower than we are, so the
 * set of events is kept: making one costs half a dozen system calls.
 */
bool
wait_readable(Connection *connection, long timeout_ms)
{
	WaitEvent event = {};
	pgsocket socket = PQsocket(connection->raw);

	if (socket == PGINVALID_SOCKET)
		return true;
	if (connection->wait_events == nullptr)
	{
		connection->wait_events = base::create_wait_events(3);
		AddWaitEventToSet(connection->wait_events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch,
						  nullptr);
		AddWaitEventToSet(connection->wait_events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr,
						  nullptr);
		AddWaitEventToSet(connection->wait_events, WL_SOCKET_READABLE, socket, nullptr, nullptr);
	}
	(void) WaitEventSetWait(connection->wait_events, timeout_ms, &event, 1, base::wait_event());
	if (event.events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return (event.events & WL_SOCKET_READABLE) != 0;
}

} // namespace source
