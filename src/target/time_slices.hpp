/*
 * target/time_slices.hpp
 *
 * Cuts rows that are to be written to a hypertable into slices by time, each no longer than a chunk: a statement for a
 * slice then concerns two chunks at most, whatever else the hypertable has, and takes only its own part out of the
 * columnstore.
 *
 * In: rows, and where among their values the time is; or the times of the rows as they are in the target.  Out: slices with
 * their bounds.  Must not know: statements.
 */
#pragma once

#include "target/table_writer.hpp"

namespace target
{

struct TimeSlice
{
	int64 low; /* as of to_time() */
	int64 high;
	const WriteRow *rows;
	size_t count;
};

struct TimeSlices
{
	size_t count;
	TimeSlice *slices; /* palloc'ed */
};

/* A value of the time column as a number in its own unit, days or microseconds or what its integers are; and back. */
int64 to_time(Oid type, Datum value);
Datum from_time(Oid type, int64 time);

/* Each row is in one slice; times[i] is that of rows[i]. */
TimeSlices cut_rows_by_time(const WriteRow *rows, const int64 *times, size_t count, int64 length);

/* All rows are in every slice: it is not known which row is where.  Sorts `times`. */
TimeSlices cut_times(const WriteRow *rows, size_t count, int64 *times, size_t ntimes, int64 length);

} // namespace target
