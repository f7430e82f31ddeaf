/*
 * target/write_fold.hpp
 *
 * Writes what a fold has left of a run of changes: a statement for its deletes, one for its inserts, and between them one for
 * each set of columns that updates leave alone.
 *
 * As the table's owner, in the current memory context.
 */
#pragma once

#include "target/apply.hpp"

namespace target
{

void write_fold(TargetRelation *relation, const Fold &fold, base::ChangeCounts *counts);

} // namespace target
