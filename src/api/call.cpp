/*
 * api/call.cpp
 *
 * See call.hpp.
 */
#include "api/call.hpp"

#include "base/compat.hpp"

namespace api
{

char *
text_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

char *
required_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not be NULL", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(number));
}

char **
text_array_argument(FunctionCallInfo fcinfo, int number, const char *name, int *count)
{
	Datum *elements;
	bool *nulls;

	*count = 0;
	if (PG_ARGISNULL(number))
		return nullptr;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(number), TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, count);
	char **texts = (char **) palloc(sizeof(char *) * (*count + 1));

	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument \"%s\" must not contain NULL", name)));
		texts[i] = TextDatumGetCString(elements[i]);
	}
	if (*count == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must not be empty", name),
						errhint("Leave it out, or name at least one.")));
	return texts;
}

namespace
{

void
hide_statement(void *)
{
	errhidestmt(true);
}

} // namespace

void
begin_hidden_statement(HiddenStatement *it)
{
	it->callback.callback = hide_statement;
	it->callback.arg = nullptr;
	it->callback.previous = error_context_stack;
	error_context_stack = &it->callback;
}

void
end_hidden_statement(const HiddenStatement *it)
{
	error_context_stack = it->callback.previous;
}

namespace
{

constexpr int kLongestName = 40; /* with a prefix and a suffix it still is an identifier */

} // namespace

void
check_new_name(const char *name)
{
	if (name == nullptr || name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a connector must have a name")));
	if (strlen(name) > kLongestName)
		ereport(ERROR, (errcode(ERRCODE_NAME_TOO_LONG),
						errmsg("name of connector \"%s\" is too long", name),
						errdetail("At most %d bytes are allowed.", kLongestName)));
	if (state::load_connector_by_name(name) != nullptr)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("connector \"%s\" already exists", name)));
}

state::Connector *
find_connector(const char *name)
{
	base::Role caller = base::become_extension();
	state::Connector *connector = state::load_connector_by_name(name);

	base::restore_role(caller);
	if (connector == nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("connector \"%s\" does not exist", name),
				 errhint("The view livesync.connectors lists the connectors of this database.")));
	require_owner(connector);
	return connector;
}

void
raise_dropped(const char *connector)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("connector \"%s\" does not exist any more", connector)));
}

void
raise_paused(const char *connector, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("connector \"%s\" is paused", connector),
					detail != nullptr ? errdetail("%s", detail) : 0,
					errhint("Call livesync.resume_connector() first.")));
}

state::SyncedTable *
find_table(const state::Connector *connector, const char *name, state::RowLock lock)
{
	int64 id = base::read_number("SELECT id FROM livesync.synced_table WHERE connector_id = $1 "
								 "AND source_schema || '.' || source_name = $2 AND NOT released "
								 "AND shadow_of IS NULL",
								 {base::int_value(connector->id), base::text_value(name)});
	state::SyncedTable *table = id != 0 ? state::load_table(id, lock) : nullptr;

	if (table == nullptr)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("connector \"%s\" has no table \"%s\"", connector->name, name),
						errhint("Give the table's name at the source, with its schema: the view "
								"livesync.tables lists them.")));
	return table;
}

constexpr int64 kLongestWaitMs = INT64CONST(1000) * 366 * 86400000;

int64
timeout_argument(FunctionCallInfo fcinfo, int number)
{
	if (PG_ARGISNULL(number))
		return -1;
	Interval *interval = PG_GETARG_INTERVAL_P(number);
	int64 milliseconds =
		interval->time / 1000 + ((int64) interval->day + (int64) interval->month * 30) * 86400000;

	/* a deadline that is over is one at once; nobody waits for longer than the calendar goes */
	return Max(0, Min(milliseconds, kLongestWaitMs));
}

/* Looking takes the time of those who work: the longer it takes, the less often. */
static long
pause_after(int64 look_us)
{
	constexpr int64 kShare = 50;

	return (long) Max(10, Min(200, look_us * kShare / 1000));
}

bool
wait_until(bool (*is_reached)(void *context), void *context, int64 timeout_ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);

	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
						errmsg("cannot wait in a transaction that keeps its first snapshot"),
						errhint("Use READ COMMITTED isolation.")));
	for (;;)
	{
		TimestampTz before = GetCurrentTimestamp();

		if (is_reached(context))
			return true;
		TimestampTz now = GetCurrentTimestamp();

		if (timeout_ms >= 0 && now >= end)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 pause_after(now - before), base::wait_event());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

} // namespace api
