/*
 * worker/resync.hpp
 *
 * A table is copied again while it goes on, without a moment in which readers miss something:
 *
 *   resync_table()     a shadow of the table: a second synced table, its target a new one beside the table's
 *   as for any table   the shadow is copied and catches up; all changes go to both, the table streams on
 *   exchange           both stand at the same position and are parked; in one transaction a copy worker takes over
 *                      what differs, and drops the shadow
 *   as after a pause   the table applies what was parked meanwhile, and streams
 *
 * Why differences, and not another file under the table's name: rows of a new file are visible to none of the snapshots
 * that are older than its load; a reader would find the table empty, or half full.  And this way nothing that depends on
 * the table, stands in it besides the source's columns, or waits for a lock on it, ever notices.
 */
#pragma once

#include "state/connector.hpp"
#include "state/synced_table.hpp"

namespace worker
{

/* The shadow's own target: made at the first time, there at each further one. */
void prepare_shadow(const state::SyncedTable *shadow);
/* The table is not copied again; false: it was not anyway. */
bool cancel_resync(const state::Connector *config, const state::SyncedTable *table);
/* The targets of shadows, before their rows go with the connector. */
void drop_shadows(int connector_id);

} // namespace worker
