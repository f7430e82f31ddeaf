/*
 * api/notices.cpp
 *
 * NOTIFY on channel "livesync": the triggers on our tables that send it, in the transaction that changes a state or
 * records an event.  Triggers, so that no way to change a state can forget it.  What a payload is, is told where the
 * triggers are made, in the extension's script.
 *
 * Surprising: the state of a connector is not stored, it follows from its row and its tables.  So the change of a table's
 * state may be a change of its connector's, too: it is, when this table was or is the only one that copies.
 */
#include "base/sql.hpp"

using namespace base;

namespace api
{
namespace
{

struct Notice
{
	const char *connector;
	const char *table; /* "schema.table" at the source, or nullptr */
	const char *state;
	const char *event;
	const char *detail;
};

/*
 * A payload must be shorter than 8000 bytes.  A character takes at most 6 of them in JSON (\u0001): 1000 of the detail,
 * and the names at their longest, are less.
 */
void
send(const Notice &it)
{
	run_alone("SELECT pg_catalog.pg_notify('livesync', pg_catalog.json_build_object("
			  "'at', pg_catalog.clock_timestamp(), 'connector', $1, 'source_table', $2, "
			  "'state', $3, 'event', $4, 'detail', pg_catalog.\"left\"($5, 1000))::text)",
			  {text_value(it.connector), text_value(it.table), text_value(it.state),
			   text_value(it.event), text_value(it.detail)});
}

/* One row of a trigger's table; values by column name. */
struct TriggerRow
{
	HeapTuple tuple; /* nullptr: there is none */
	TupleDesc columns;
};

char *
get_value(const TriggerRow &row, const char *column)
{
	int number = SPI_fnumber(row.columns, column);

	if (number <= 0)
		elog(ERROR, "trigger of livesync on a table without column \"%s\"", column);
	return row.tuple != nullptr ? SPI_getvalue(row.tuple, row.columns, number) : nullptr;
}

bool
is_true(const TriggerRow &row, const char *column)
{
	const char *value = get_value(row, column);

	return value != nullptr && value[0] == 't';
}

bool
is_same(const char *one, const char *other)
{
	return one == other || (one != nullptr && other != nullptr && strcmp(one, other) == 0);
}

struct Change
{
	TriggerRow before;
	TriggerRow after;
};

Change
read_change(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("this function can only be called by a trigger")));

	const TriggerData *trigger = (const TriggerData *) fcinfo->context;
	TupleDesc columns = RelationGetDescr(trigger->tg_relation);

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		return Change{{trigger->tg_trigtuple, columns}, {trigger->tg_newtuple, columns}};
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return Change{{trigger->tg_trigtuple, columns}, {nullptr, columns}};
	return Change{{nullptr, columns}, {trigger->tg_trigtuple, columns}};
}

/*
 * Tables.
 */

/* A table that left the publication is none. */
char *
table_state(const TriggerRow &row)
{
	return row.tuple == nullptr || is_true(row, "released") ? nullptr : get_value(row, "state");
}

bool
is_in_copy(const char *state)
{
	return is_same(state, "queued") || is_same(state, "copying") || is_same(state, "catching_up");
}

/* As the view `connectors` has it. */
void
tell_connector_of(const TriggerRow &table, const char *name, bool is_copying)
{
	SqlScope scope = begin_sql();

	(void) scope;
	bool is_it = run_sql("SELECT FROM livesync.connector c WHERE c.id = $1 AND c.enabled "
						 "AND c.last_error IS NULL AND c.listed_at IS NOT NULL AND NOT EXISTS ("
						 "SELECT FROM livesync.synced_table t WHERE t.connector_id = c.id "
						 "AND t.id <> $2 AND NOT t.released "
						 "AND t.state IN ('queued', 'copying', 'catching_up'))",
						 {int_value(pg_strtoint32(get_value(table, "connector_id"))),
						  bigint_value(strtoll(get_value(table, "id"), nullptr, 10))}) > 0;

	end_sql();
	if (is_it)
		send(Notice{name, nullptr, is_copying ? "copying" : "streaming", nullptr, nullptr});
}

char *
connector_name(const TriggerRow &table)
{
	SqlScope scope = begin_sql();
	bool found = run_sql("SELECT name FROM livesync.connector WHERE id = $1",
						 {int_value(pg_strtoint32(get_value(table, "connector_id")))}) > 0;
	char *name = found ? get_text(scope, 0, 1) : nullptr;

	end_sql();
	return name;
}

void
tell_table(const Change &change)
{
	const char *was = table_state(change.before);
	const char *is = table_state(change.after);
	const TriggerRow &row = change.after;

	if (is_same(was, is))
		return;
	const char *connector = connector_name(row);

	if (connector == nullptr)
		return;
	const char *table =
		psprintf("%s.%s", get_value(row, "source_schema"), get_value(row, "source_name"));
	const char *error = is_same(is, "failed") ? get_value(row, "last_error") : nullptr;

	send(Notice{connector, table, is != nullptr ? is : "released", nullptr, error});
	if (is_in_copy(was) != is_in_copy(is))
		tell_connector_of(row, connector, is_in_copy(is));
}

/*
 * Connectors.
 */

bool
copies_tables(const TriggerRow &connector)
{
	return run_alone("SELECT FROM livesync.synced_table WHERE connector_id = $1 AND NOT released "
					 "AND state IN ('queued', 'copying', 'catching_up') LIMIT 1",
					 {int_value(pg_strtoint32(get_value(connector, "id")))}) > 0;
}

/* As the view has it while the worker runs. */
const char *
connector_state(const TriggerRow &row)
{
	if (row.tuple == nullptr)
		return nullptr;
	if (!is_true(row, "enabled"))
		return "paused";
	if (get_value(row, "last_error") != nullptr)
		return "failing";
	if (get_value(row, "listed_at") == nullptr)
		return "starting";
	return copies_tables(row) ? "copying" : "streaming";
}

void
tell_connector(const Change &change)
{
	const char *was = connector_state(change.before);
	const char *is = connector_state(change.after);

	if (is_same(was, is))
		return;
	if (is == nullptr)
		send(Notice{get_value(change.before, "name"), nullptr, "dropped", nullptr, nullptr});
	else
		send(Notice{get_value(change.after, "name"), nullptr, is, nullptr,
					get_value(change.after, "last_error")});
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_tell_event);
PG_FUNCTION_INFO_V1(livesync_tell_table_state);
PG_FUNCTION_INFO_V1(livesync_tell_connector_state);

PGDLLEXPORT Datum
livesync_tell_event(PG_FUNCTION_ARGS)
{
	using namespace api;

	Change change = read_change(fcinfo);

	send(Notice{get_value(change.after, "connector"), get_value(change.after, "source_table"),
				nullptr, get_value(change.after, "event"), get_value(change.after, "detail")});
	return PointerGetDatum(nullptr);
}

PGDLLEXPORT Datum
livesync_tell_table_state(PG_FUNCTION_ARGS)
{
	api::tell_table(api::read_change(fcinfo));
	return PointerGetDatum(nullptr);
}

PGDLLEXPORT Datum
livesync_tell_connector_state(PG_FUNCTION_ARGS)
{
	api::tell_connector(api::read_change(fcinfo));
	return PointerGetDatum(nullptr);
}
}
