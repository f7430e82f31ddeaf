/*
 * target/planner_steering.hpp
 *
 * Which ways to a table's rows the planner may take for a statement of the writer, whenever the server comes to plan it.
 *
 * Where an index leads to the rows, nothing else may be planned: the estimates of a batch say little, and a sequential scan
 * of a big table for ten rows would be a disaster.  A chunk of a hypertable that was in the columnstore when the statement was
 * planned has no index that the planner would use: then each row of the batch must not scan it.
 *
 * Surprising: this is no matter of settings.  A saved plan is nearly always there, and to set and reset three of them each time
 * took a tenth of the time of a lone change; so the planner's switches are turned while it plans that statement.
 */
#pragma once

#include "target/relation.hpp"

namespace target
{

/* From now on, until another plan is steered.  A statement of the same session that is planned meanwhile is left alone. */
void steer_planner(const TargetRelation *relation, SPIPlanPtr plan);

} // namespace target
