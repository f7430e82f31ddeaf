/*
 * target/time_slices.cpp
 *
 * See time_slices.hpp.
 */
#include "target/time_slices.hpp"

#include "base/pg.hpp"

namespace target
{
namespace
{

struct TimedRow
{
	int64 time;
	WriteRow row;
};

int
compare_times(const void *left, const void *right)
{
	int64 a = *(const int64 *) left;
	int64 b = *(const int64 *) right;

	return a < b ? -1 : a > b ? 1 : 0;
}

/* Infinite times are as far away as can be. */
bool
is_beyond(const TimeSlice &slice, int64 time, int64 length)
{
	int64 distance;

	return pg_sub_s64_overflow(time, slice.low, &distance) || distance >= length;
}

} // namespace

int64
to_time(Oid type, Datum value)
{
	switch (type)
	{
		case DATEOID:
			return DatumGetDateADT(value);
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		default:
			return DatumGetInt64(value);
	}
}

Datum
from_time(Oid type, int64 time)
{
	switch (type)
	{
		case DATEOID:
			return DateADTGetDatum((DateADT) time);
		case INT2OID:
			return Int16GetDatum((int16) time);
		case INT4OID:
			return Int32GetDatum((int32) time);
		default:
			return Int64GetDatum(time);
	}
}

TimeSlices
cut_rows_by_time(const WriteRow *rows, const int64 *times, size_t count, int64 length)
{
	TimedRow *timed = (TimedRow *) palloc(sizeof(TimedRow) * (count + 1));
	WriteRow *sorted = (WriteRow *) palloc(sizeof(WriteRow) * (count + 1));
	TimeSlices it{0, (TimeSlice *) palloc(sizeof(TimeSlice) * (count + 1))};

	for (size_t i = 0; i < count; i++)
		timed[i] = TimedRow{times[i], rows[i]};
	qsort(timed, count, sizeof(TimedRow), compare_times);
	for (size_t i = 0; i < count; i++)
	{
		int64 time = timed[i].time;

		sorted[i] = timed[i].row;
		if (it.count == 0 || is_beyond(it.slices[it.count - 1], time, length))
			it.slices[it.count++] = TimeSlice{time, time, &sorted[i], 0};
		it.slices[it.count - 1].high = time;
		it.slices[it.count - 1].count++;
	}
	return it;
}

TimeSlices
cut_times(const WriteRow *rows, size_t count, int64 *times, size_t ntimes, int64 length)
{
	TimeSlices it{0, (TimeSlice *) palloc(sizeof(TimeSlice) * (ntimes + 1))};

	qsort(times, ntimes, sizeof(int64), compare_times);
	for (size_t i = 0; i < ntimes; i++)
	{
		if (it.count == 0 || is_beyond(it.slices[it.count - 1], times[i], length))
			it.slices[it.count++] = TimeSlice{times[i], times[i], rows, count};
		it.slices[it.count - 1].high = times[i];
	}
	return it;
}

} // namespace target
