/*
 * target/row_origin.hpp
 *
 * Who wrote a row last, for the conflicts update_origin_differs and delete_origin_differs.  A server with
 * track_commit_timestamp knows of each transaction when it committed and under which replication origin.
 *
 *   our origin           applied from the stream
 *   DoNotReplicateId     by a copy worker: its copy, and what caught up
 *   any other, or none   somebody else: counted when it was after the table began to stream
 *
 * Must not know: what the rows are found for.
 *
 * Surprising: what was applied from a stream, ours or another's, has the time of its commit at that source, by its clock.
 */
#pragma once

#include "base/pg.hpp"

namespace target
{

/* Can it be known here?  The setting changes with a restart only. */
bool is_origin_kept();

/* Of rows, by their xmin in the one column of the result. Those that were written before `since` belong to nobody. */
int64 count_others(const SPITupleTable *writers, TimestampTz since);

} // namespace target
