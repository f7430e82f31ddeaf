/*
 * target/apply_one.hpp
 *
 * One change of the stream, as it stands: what a fold cannot take, and each change when a set of them met an error.
 *
 * Conflicts: the source wins.  A row that exists at INSERT is updated (unless the source may have both: then the table
 * fails); one that stands at the new key of an UPDATE gives way; a row that is missing at UPDATE or DELETE is left missing
 * (as the server's own apply does).  Each is counted.
 *
 * As the table's owner, in the current memory context.
 */
#pragma once

#include "target/apply.hpp"

namespace target
{

void apply_one(TargetRelation *relation, const PendingChange *change, base::ChangeCounts *counts);

} // namespace target
