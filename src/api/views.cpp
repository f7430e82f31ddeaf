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
