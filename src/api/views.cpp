/*
 * api/views.cpp
 *
 * The functions behind the views: what the workers tell through shared memory.
 */
#include "api/ownership.hpp"
#include "source/connection.hpp"
#include "worker/registry.hpp"

namespace
{

struct Row
{
	Datum values[16];
	bool nulls[16];
	int count;
};

void
add(Row *row, Datum value, bool is_null = false)
{
	row->values[row->count] = value;
	row->nulls[row->count++] = is_null;
}

void
add_lsn(Row *row, XLogRecPtr lsn)
{
	add(row, LSNGetDatum(lsn), lsn == InvalidXLogRecPtr);
}

void
add_text(Row *row, const char *text_form)
{
	add(row, text_form[0] ? CStringGetTextDatum(text_form) : (Datum) 0, text_form[0] == '\0');
}

void
put(FunctionCallInfo fcinfo, Row *row)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	tuplestore_putvalues(result->setResult, result->setDesc, row->values, row->nulls);
}

/* What a COPY has done so far: shown to superusers and pg_monitor only, so it is read as the extension. */
struct RunningCopy
{
	int pid;
	int64 rows;
	int64 bytes;
	int64 began_at;
};

struct RunningCopies
{
	int count;
	RunningCopy *list;
};

RunningCopies
read_running_copies()
{
	base::Role caller = base::become_extension();
	base::SqlScope scope = base::begin_sql();
	RunningCopies it{};

	it.count = (int) base::run_sql("SELECT p.pid, p.tuples_processed, p.bytes_processed, "
								   "a.xact_start FROM pg_stat_progress_copy p "
								   "JOIN pg_stat_activity a ON a.pid = p.pid "
								   "WHERE p.datname = current_database()");
	it.list = (RunningCopy *) MemoryContextAlloc(scope.caller,
												 sizeof(RunningCopy) * (Size) (it.count + 1));
	for (int i = 0; i < it.count; i++)
	{
		uint64 row = (uint64) i;

		it.list[i] = RunningCopy{base::get_int(row, 1), base::get_bigint(row, 2),
								 base::get_bigint(row, 3), base::get_bigint(row, 4)};
	}
	base::end_sql();
	base::restore_role(caller);
	return it;
}

void
add_progress(Row *row, const RunningCopies &running, int pid)
{
	RunningCopy found{};

	for (int i = 0; i < running.count; i++)
		if (pid != 0 && running.list[i].pid == pid)
			found = running.list[i];
	add(row, Int64GetDatum(found.rows), found.pid == 0);
	add(row, Int64GetDatum(found.bytes), found.pid == 0);
	add(row, TimestampTzGetDatum(found.began_at), found.began_at == 0);
}

} // namespace

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_connector_activity);
PG_FUNCTION_INFO_V1(livesync_copy_activity);
PG_FUNCTION_INFO_V1(livesync_table_waits);
PG_FUNCTION_INFO_V1(livesync_hide_secrets);

PGDLLEXPORT Datum
livesync_connector_activity(PG_FUNCTION_ARGS)
{
	int count;

	worker::require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	worker::ConnectorEntry *list = worker::list_connectors(&count);
	api::Visible visible = api::visible_connectors();

	for (int i = 0; i < count; i++)
	{
		const worker::ConnectorEntry &it = list[i];
		Row row{};

		if (it.connector_id == worker::kSweeper || !api::is_visible(visible, it.connector_id))
			continue;
		add(&row, Int32GetDatum(it.connector_id));
		add(&row, Int32GetDatum(it.pid), it.pid == 0);
		add_lsn(&row, it.received);
		add_lsn(&row, it.applied);
		add_lsn(&row, it.flushed);
		add_lsn(&row, it.source);
		add(&row, TimestampTzGetDatum(it.applied_at), it.applied_at == 0);
		add(&row, Int64GetDatum(it.slot.retained_bytes));
		add_text(&row, it.waiting_for);
		add_text(&row, it.slot.wal_status);
		add(&row, Int64GetDatum(it.slot.safe_bytes),
			it.slot.wal_status[0] == '\0' || it.slot.safe_bytes < 0);
		add_text(&row, it.slot.invalidation);
		put(fcinfo, &row);
	}
	return (Datum) 0;
}

PGDLLEXPORT Datum
livesync_copy_activity(PG_FUNCTION_ARGS)
{
	int count;

	worker::require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	worker::CopyEntry *list = worker::list_copies(&count);
	api::Visible visible = api::visible_connectors();
	RunningCopies running = read_running_copies();

	for (int i = 0; i < count; i++)
	{
		const worker::CopyEntry &it = list[i];
		Row row{};

		if (!api::is_visible(visible, it.connector_id))
			continue;
		add(&row, Int32GetDatum(it.connector_id));
		add(&row, Int32GetDatum(it.pid), it.pid == 0);
		add(&row, Int64GetDatum(it.table_id), it.table_id == 0);
		add(&row, Int32GetDatum(it.chunk), it.chunk == 0);
		add_text(&row, it.activity);
		add_progress(&row, running, it.pid);
		put(fcinfo, &row);
	}
	return (Datum) 0;
}

PGDLLEXPORT Datum
livesync_table_waits(PG_FUNCTION_ARGS)
{
	int count;

	worker::require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	worker::TableWait *list = worker::list_table_waits(&count);
	api::Visible visible = api::visible_tables();

	for (int i = 0; i < count; i++)
	{
		Row row{};

		if (!api::is_visible(visible, list[i].table_id))
			continue;
		add(&row, Int64GetDatum(list[i].table_id));
		add_text(&row, list[i].waiting_for);
		put(fcinfo, &row);
	}
	return (Datum) 0;
}

PGDLLEXPORT Datum
livesync_hide_secrets(PG_FUNCTION_ARGS)
{
	char *hidden = source::describe_connection_string(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_TEXT_P(cstring_to_text(hidden));
}
}
