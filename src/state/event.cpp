/*
 * state/event.cpp
 *
 * See event.hpp.
 */
#include "state/event.hpp"

using namespace base;

namespace state
{

void
record_event(const char *connector, const char *table, const char *event, const char *detail)
{
	run_alone("INSERT INTO livesync.event (connector, source_table, event, detail) "
			  "VALUES ($1, $2, $3, $4)",
			  {text_value(connector), text_value(table), text_value(event), text_value(detail)});
}

} // namespace state
