/*
 * base/failpoint.cpp
 *
 * See failpoint.hpp.
 */
#include "base/failpoint.hpp"

#include "base/compat.hpp"
#include "base/pg.hpp"
#include "base/settings.hpp"

#include <csignal>
#include <string_view>
#include <unistd.h>

namespace base
{
namespace
{

enum class Action
{
	none,
	wait,
	error,
	crash,
};

Action
action_of(std::string_view word)
{
	if (word == "wait")
		return Action::wait;
	if (word == "error")
		return Action::error;
	if (word == "crash")
		return Action::crash;
	return Action::none;
}

/* Cuts off what stands before `separator`, and the separator; all of it when there is none. */
std::string_view
next_part(std::string_view *rest, char separator)
{
	size_t length = 0;

	while (length < rest->size() && rest->data()[length] != separator)
		length++;
	std::string_view part(rest->data(), length);

	rest->remove_prefix(Min(length + 1, rest->size()));
	return part;
}

/* `place` is name or name/schema.table. */
bool
is_named(std::string_view place, std::string_view name, const char *table)
{
	if (next_part(&place, '/') != name)
		return false;
	return place.empty() || (table != nullptr && place == table);
}

Action
find_action(const char *name, const char *table)
{
	std::string_view rest = settings::failpoints ? settings::failpoints : "";

	while (!rest.empty())
	{
		std::string_view item = next_part(&rest, ',');

		while (!item.empty() && item.front() == ' ')
			item.remove_prefix(1);

		std::string_view place = next_part(&item, '=');

		if (is_named(place, name, table))
			return action_of(item);
	}
	return Action::none;
}

void
wait_here(const char *name, const char *table)
{
	pgstat_report_activity(STATE_RUNNING, psprintf("failpoint %s", name));
	while (find_action(name, table) == Action::wait)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100L,
						 wait_event());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	pgstat_report_activity(STATE_RUNNING, nullptr);
}

} // namespace

void
failpoint(const char *name, const char *table)
{
	if (likely(settings::failpoints == nullptr || settings::failpoints[0] == '\0'))
		return;

	switch (find_action(name, table))
	{
		case Action::none:
			break;
		case Action::wait:
			wait_here(name, table);
			break;
		case Action::error:
			ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
							errmsg("failpoint \"%s\" was reached", name)));
		case Action::crash:
			ereport(LOG, (errmsg("failpoint \"%s\" ends this process", name)));
			kill(getpid(), SIGKILL);
			break;
	}
}

} // namespace base
