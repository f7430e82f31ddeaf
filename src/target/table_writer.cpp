/*
 * target/table_writer.cpp
 *
 * See table_writer.hpp.
 */
#include "target/table_writer.hpp"

#include "base/settings.hpp"
#include "target/binary_value.hpp"
#include "target/hypertable.hpp"
#include "target/look_alikes.hpp"
#include "target/planner_steering.hpp"
#include "target/row_origin.hpp"
#include "target/saved_statement.hpp"
#include "target/sliced_writes.hpp"
#include "target/statement_text.hpp"

namespace target
{
namespace
{

/* Says which column a value did not fit, without the value. */
struct ConversionContext
{
	TargetRelation *relation;
	int column;
	wire::ValueKind kind;
};

/* A value of another type than the column's has been read as its own before it does not fit. */
bool
is_read_as_it_is(const TargetColumn &column, wire::ValueKind kind)
{
	return kind == wire::ValueKind::binary &&
		   (!OidIsValid(column.sent_type) || column.sent_type == column.type);
}

void
describe_conversion(void *argument)
{
	const ConversionContext *at = (const ConversionContext *) argument;

	if (at->column < 0)
		return;

	const TargetColumn &column = at->relation->columns[at->column];

	if (is_read_as_it_is(column, at->kind))
		at->relation->unreadable = at->column;
	errcontext("value of column \"%s\" of target table \"%s.%s\"", column.name,
			   at->relation->schema, at->relation->name);
}

/* In the current (per-row) context. */
Datum
to_datum(TargetColumn *column, const wire::Value &value)
{
	if (value.kind == wire::ValueKind::text)
	{
		char *text_form = (char *) palloc(value.bytes.size() + 1);

		memcpy(text_form, value.bytes.data(), value.bytes.size());
		text_form[value.bytes.size()] = '\0';
		return InputFunctionCall(&column->input, text_form, column->io_parameter, column->modifier);
	}
	return receive_value(column, value.bytes);
}

void
fill_row(TargetRelation *relation, const WriteRow &row, Datum *datums, bool *nulls,
		 ConversionContext *at)
{
	int nfind = relation->row_shape->natts - relation->ncolumns;

	memset(nulls, true, sizeof(bool) * relation->row_shape->natts);
	if (row.values != nullptr)
		for (int i = 0; i < relation->ncolumns; i++)
		{
			wire::ValueKind kind = row.values[i].kind;

			if (kind == wire::ValueKind::unchanged && row.find == nullptr)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("the source sent a new row without the value of column \"%s\"",
								relation->columns[i].name),
						 errdetail("An update made the row match the row filter, and a large "
								   "value that it did not change is not sent."),
						 errhint("Publish insert, update and delete of the table under one "
								 "filter.")));
			if (kind == wire::ValueKind::null || kind == wire::ValueKind::unchanged)
				continue;
			at->column = i;
			at->kind = kind;
			datums[i] = to_datum(&relation->columns[i], row.values[i]);
			nulls[i] = false;
		}
	if (row.find != nullptr)
		for (int k = 0; k < nfind; k++)
		{
			int index = relation->nkeys > 0 ? relation->keys[k] : k;
			wire::ValueKind kind = row.find[k].kind;

			if (kind == wire::ValueKind::null || kind == wire::ValueKind::unchanged)
				continue;
			at->column = index;
			at->kind = kind;
			datums[relation->ncolumns + k] = to_datum(&relation->columns[index], row.find[k]);
			nulls[relation->ncolumns + k] = false;
		}
	at->column = -1;
}

/* In the order of row_shape. */
void
read_row(TargetRelation *relation, const WriteRow &row, Datum *datums, bool *nulls)
{
	ConversionContext at{relation, -1, wire::ValueKind::null};
	ErrorContextCallback callback{error_context_stack, describe_conversion, &at};

	error_context_stack = &callback;
	fill_row(relation, row, datums, nulls, &at);
	error_context_stack = callback.previous;
}

} // namespace

void
add_to_store(TargetRelation *relation, Tuplestorestate *store, const WriteRow *rows, size_t count)
{
	int width = relation->row_shape->natts;
	Datum *datums = (Datum *) palloc0(sizeof(Datum) * (width + 1));
	bool *nulls = (bool *) palloc(sizeof(bool) * (width + 1));
	MemoryContext per_row =
		AllocSetContextCreate(CurrentMemoryContext, "livesync row", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(per_row);

	for (size_t i = 0; i < count; i++)
	{
		read_row(relation, rows[i], datums, nulls);
		tuplestore_putvalues(store, relation->row_shape, datums, nulls);
		MemoryContextReset(per_row);
	}
	relation->unreadable = -1; /* it was a notice at most */
	MemoryContextSwitchTo(old);
	MemoryContextDelete(per_row);
}

namespace
{

Tuplestorestate *
store_rows(TargetRelation *relation, const WriteRow *rows, size_t count)
{
	/* the batch has its bounds already: in a file it would only be written and read back */
	Tuplestorestate *store =
		tuplestore_begin_heap(true, false, Max(work_mem, 4 * base::settings::batch_kb));

	add_to_store(relation, store, rows, count);
	return store;
}

/* Tables that do not stream yet belong to nobody; a hypertable's rows may have no transaction of their own. */
bool
counts_others(const TargetRelation *relation)
{
	return relation->tells_writers && relation->streams_since != 0;
}

} // namespace

void
register_store(TargetRelation *relation, Tuplestorestate *store, size_t count)
{
	EphemeralNamedRelation entry =
		(EphemeralNamedRelation) palloc0(sizeof(EphemeralNamedRelationData));

	entry->md.name = pstrdup(kBatchName);
	entry->md.reliddesc = InvalidOid;
	entry->md.tupdesc = relation->row_shape;
	entry->md.enrtype = ENR_NAMED_TUPLESTORE;
	entry->md.enrtuples = (double) count;
	entry->reldata = store;
	if (SPI_register_relation(entry) != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed");
}

namespace
{

uint64
execute(const StatementRun &what, Datum *parameters, const char *nulls)
{
	SPIPlanPtr plan = saved_plan(what);

	steer_planner(what.relation, plan);
	int result = SPI_execute_plan(plan, parameters, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

uint64
run_lone(const StatementRun &what)
{
	int width = what.relation->row_shape->natts;
	Datum *datums = (Datum *) palloc0(sizeof(Datum) * (width + 1));
	bool *nulls = (bool *) palloc(sizeof(bool) * (width + 1));
	char *flags = (char *) palloc(width + 1);

	read_row(what.relation, *what.rows, datums, nulls);
	what.relation->unreadable = -1;
	for (int i = 0; i < width; i++)
		flags[i] = nulls[i] ? 'n' : ' ';
	return execute(what, datums, flags);
}

uint64
run_set(const StatementRun &what)
{
	Tuplestorestate *store = store_rows(what.relation, what.rows, what.count);
	Datum bounds[2] = {};

	register_store(what.relation, store, what.count);
	if (what.slice != nullptr)
	{
		Oid type = what.relation->columns[what.relation->time_column].type;

		bounds[0] = from_time(type, what.slice->low);
		bounds[1] = from_time(type, what.slice->high);
	}
	uint64 processed = execute(what, bounds, nullptr);

	tuplestore_end(store);
	return processed;
}

/* The one column of the result. */
int64 *
read_times(const TargetRelation *relation, uint64 count, MemoryContext context)
{
	Oid type = relation->columns[relation->time_column].type;
	int64 *times = (int64 *) MemoryContextAllocHuge(context, sizeof(int64) * (count + 1));
	bool is_null;

	for (uint64 i = 0; i < count; i++)
		times[i] =
			to_time(type, SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
	return times;
}

uint64
run(TargetRelation *relation, int kind, const Bitmapset *unchanged, const WriteRow *rows,
	size_t count, int64 *differs)
{
	StatementRun whole{relation, kind, unchanged, rows, count, nullptr, nullptr, differs};
	bool is_sliced = relation->time_column >= 0 && kind != (int) Statement::insert &&
					 kind != (int) Statement::upsert;

	if (count == 0)
		return 0;
	return is_sliced ? run_sliced(whole) : run_statement(whole);
}

} // namespace

uint64
run_statement(const StatementRun &what)
{
	MemoryContext caller = CurrentMemoryContext;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	int settings = NewGUCNestLevel();

	if (what.relation->hypertable != nullptr)
		set_for_hypertable();
	uint64 processed = is_lone(what) ? run_lone(what) : run_set(what);
	StatementRun rest = look_alikes_wanted(what, processed, caller);

	if (what.times != nullptr)
		*what.times = read_times(what.relation, processed, caller);
	if (what.differs != nullptr && counts_others(what.relation) && SPI_tuptable != nullptr)
		*what.differs += count_others(SPI_tuptable, what.relation->streams_since);
	AtEOXact_GUC(true, settings);
	SPI_finish();
	return rest.count > 0 ? processed + run_statement(rest) : processed;
}

Datum
parse_value(TargetRelation *relation, int column, const wire::Value &value)
{
	ConversionContext at{relation, column, value.kind};
	ErrorContextCallback callback{error_context_stack, describe_conversion, &at};

	error_context_stack = &callback;
	Datum datum = to_datum(&relation->columns[column], value);

	error_context_stack = callback.previous;
	relation->unreadable = -1;
	return datum;
}

uint64
write_rows(TargetRelation *relation, Statement statement, const Bitmapset *unchanged,
		   const WriteRow *rows, size_t count, int64 *differs)
{
	if (differs != nullptr && counts_others(relation))
		(void) run(relation, kWriters, nullptr, rows, count, differs);
	return run(relation, (int) statement, unchanged, rows, count, nullptr);
}

uint64
delete_equal_rows(TargetRelation *relation, const WriteRow *rows, size_t count, int64 *differs)
{
	return run(relation, kDeleteSame, nullptr, rows, count, differs);
}

uint64
update_equal_rows(TargetRelation *relation, const Bitmapset *unchanged, const WriteRow *rows,
				  size_t count, int64 *differs)
{
	return run(relation, kUpdateSame, unchanged, rows, count, differs);
}

void
register_batch(TargetRelation *relation, const WriteRow *rows, size_t count)
{
	register_store(relation, store_rows(relation, rows, count), count);
}

Bitmapset *
unchanged_columns(const TargetRelation *relation, const wire::Value *values)
{
	Bitmapset *unchanged = nullptr;

	for (int i = 0; i < relation->ncolumns; i++)
		if (values[i].kind == wire::ValueKind::unchanged)
			unchanged = bms_add_member(unchanged, i);
	return unchanged;
}

} // namespace target
