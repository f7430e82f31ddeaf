/*
 * worker/table_setup.hpp
 *
 * The target of a table before its copy begins: created when it is missing, empty when it must be.
 */
#pragma once

#include "source/catalog.hpp"
#include "state/connector.hpp"
#include "state/synced_table.hpp"

namespace worker
{

/*
 * Create the target when it is missing and the connector may; then begin the copy: from the commit of this transaction
 * on, changes of the table go to its spool.  ERROR when the target cannot take the table.  is_partitioned: at the source.
 */
void begin_copy(const state::Connector *config, const state::SyncedTable *table,
				source::Connection *control, bool is_partitioned);

} // namespace worker
