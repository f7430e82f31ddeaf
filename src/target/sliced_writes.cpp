/*
 * target/sliced_writes.cpp
 *
 * See sliced_writes.hpp.
 */
#include "target/sliced_writes.hpp"

#include "base/sql.hpp"
#include "target/hypertable.hpp"
#include "target/saved_statement.hpp"

namespace target
{
namespace
{

Oid
time_type(const TargetRelation *relation)
{
	return relation->columns[relation->time_column].type;
}

/* That of a chunk, in the unit of to_time(). */
int64
slice_length(const TargetRelation *relation)
{
	int64 length = relation->hypertable->chunk_length;

	return Max(time_type(relation) == DATEOID ? length / USECS_PER_DAY : length, 1);
}

/* A row with a NULL there is not in a hypertable; it may be looked for anywhere. */
int64
read_time(TargetRelation *relation, const WriteRow &row)
{
	const wire::Value &value = row.find[relation->time_find];
	bool has_value = value.kind == wire::ValueKind::text || value.kind == wire::ValueKind::binary;

	return has_value
			   ? to_time(time_type(relation), parse_value(relation, relation->time_column, value))
			   : 0;
}

TimeSlices
slice_by_values(const StatementRun &whole)
{
	int64 *times = (int64 *) palloc(sizeof(int64) * whole.count);

	for (size_t i = 0; i < whole.count; i++)
		times[i] = read_time(whole.relation, whole.rows[i]);
	return cut_rows_by_time(whole.rows, times, whole.count, slice_length(whole.relation));
}

TimeSlices
slice_by_place(const StatementRun &whole)
{
	StatementRun locate = whole;
	int64 *times = nullptr;

	/*
	 * Reading would lock the chunks too weakly: whoever compresses one asks in two steps, and would deadlock with a
	 * stronger lock that comes after his first one.
	 */
	base::run_alone(psprintf("LOCK TABLE %s IN ROW EXCLUSIVE MODE", whole.relation->insert_name));
	locate.kind = kLocate;
	locate.unchanged = nullptr;
	locate.times = &times;
	uint64 found = run_statement(locate);

	return cut_times(whole.rows, whole.count, times, found, slice_length(whole.relation));
}

} // namespace

uint64
run_sliced(const StatementRun &whole)
{
	TimeSlices slices =
		whole.relation->time_find >= 0 ? slice_by_values(whole) : slice_by_place(whole);
	uint64 processed = 0;

	for (size_t i = 0; i < slices.count; i++)
	{
		StatementRun part = whole;

		part.rows = slices.slices[i].rows;
		part.count = slices.slices[i].count;
		part.slice = &slices.slices[i];
		processed += run_statement(part);
	}
	return processed;
}

} // namespace target
