/*
 * target/keyless.hpp
 *
 * Changes of a table without a key (REPLICA IDENTITY FULL, or inserts only): runs of one kind in
 * their order, each run one statement that finds rows equal in all columns by one scan.
 *
 * Surprising: a run of updates is cut where a change's old row was written by the same run, because
 * one statement does not see its own rows.
 */
#pragma once

#include "target/apply.hpp"

namespace target
{

void apply_keyless(TargetRelation *relation, const PendingChange *first,
				   base::ChangeCounts *counts);

} // namespace target
