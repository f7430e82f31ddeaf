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
	run_alone("INSERT INTO livesync.event (connector, owner, source_table, event, detail) "
			  "VALUES ($1, (SELECT owner FROM livesync.connector WHERE name = $1), $2, $3, $4)",
			  {text_value(connector), text_value(table), text_value(event), text_value(detail)});
}

/*
 * The ids of the oldest are next to each other in the index, so this reads only what it deletes.  Several workers may do it
 * at once: who comes second leaves the rows to the first.
 */
void
trim_events(int most)
{
	run_alone("DELETE FROM livesync.event WHERE id IN (SELECT id FROM livesync.event "
			  "WHERE id <= (SELECT max(id) FROM livesync.event) - $1 FOR UPDATE SKIP LOCKED)",
			  {int_value(most)});
}

} // namespace state
