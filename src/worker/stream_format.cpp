/*
 * worker/stream_format.cpp
 *
 * Text or binary: the form of the values in the stream.  See connector.hpp.
 *
 *            all that is known fits                   a change comes that does not fit
 *   connect ─────────────────────────► binary stream ─────────────────────────────────► connect
 *       └────────────────────────────► text stream
 *            something does not fit
 *
 * It is one choice for all tables of the connector, since the source is asked once.  It falls back at
 * once, from the position that is applied, so that no value that does not fit is ever read; it comes
 * back with a connection that is made for another reason, so that nothing goes to and fro.
 *
 * Surprising: a change does not fit before its table's new columns are recorded, and when they are
 * it is applied: so the reason is recorded by itself, until the columns say the same.
 */
#include "worker/connector.hpp"

#include "base/settings.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "state/stream_format.hpp"
#include "target/binary_value.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

/* The output plugin has had binary values since 14. */
bool
can_send_binary(const ConnectorWorker *worker)
{
	return worker->stream_connection->server_version >= 140000;
}

char *
describe_type(const char *table, const char *column, const char *objection)
{
	return psprintf("Column \"%s\" of table \"%s\" has a type whose binary form%s.", column, table,
					objection);
}

char *
describe_difference(const char *table, const char *column, Oid target_type)
{
	return psprintf("Column \"%s\" of table \"%s\" has another type here, %s.", column, table,
					format_type_be(target_type));
}

/* nullptr: values of this type may come in binary form. */
char *
why_text(const ConnectorWorker *worker, Oid type, const char *table, const char *column)
{
	if (!target::is_binary_type(type, worker->stream_connection->server_version))
		return describe_type(table, column, " another server may take for something else");
	if (state::contains_type(worker->unreadable_types, type))
		return describe_type(table, column, ", as the source writes it, could not be read here");
	return nullptr;
}

/* nullptr: all tables fit as far as their columns are known. */
const char *
find_misfit(const ConnectorWorker *worker)
{
	state::ColumnTypesList list = state::load_column_types(worker->config->id);

	for (int i = 0; i < list.count; i++)
	{
		const state::ColumnTypes &it = list.types[i];
		const char *reason = why_text(worker, it.source_type, it.table, it.column);

		if (reason != nullptr)
			return reason;
		if (OidIsValid(it.target_type) && it.target_type != it.source_type)
			return describe_difference(it.table, it.column, it.target_type);
	}
	return nullptr;
}

void
load_unreadable_types(ConnectorWorker *worker)
{
	MemoryContext old = MemoryContextSwitchTo(worker->connection_context);

	worker->unreadable_types = state::load_unreadable_types(worker->config->id);
	MemoryContextSwitchTo(old);
}

const char *
find_reason_for_text(const ConnectorWorker *worker)
{
	if (!base::settings::binary_values)
		return "The setting livesync.binary_values is off.";

	const char *reason = state::load_text_reason(worker->config->id, worker->origin);

	return reason != nullptr ? reason : find_misfit(worker);
}

/* Ends the process; the source sends all that is not committed here again, as text. */
[[noreturn]] void
fall_back_to_text(ConnectorWorker *worker, const Route *route, const char *reason)
{
	start_again_behind(worker);

	char *text = MemoryContextStrdup(TopMemoryContext, reason);
	int connector_id = worker->config->id;
	int64 table_id = route->table->id;

	begin_record();
	/* what is recorded may say the same already, and will be mended there */
	if (find_misfit(worker) == nullptr)
		state::record_text_reason(connector_id, table_id, worker->commit_lsn, text);
	start_again();
}

} // namespace

void
choose_format(ConnectorWorker *worker)
{
	const char *name = worker->config->name;

	worker->is_binary = false;
	if (!can_send_binary(worker))
		return;

	base::begin_transaction();
	load_unreadable_types(worker);
	const char *reason = find_reason_for_text(worker);

	worker->is_binary = reason == nullptr;
	if (state::record_format(worker->config->id, worker->is_binary))
		state::record_event(name, nullptr,
							worker->is_binary ? "stream_in_binary" : "stream_in_text", reason);
	base::commit_transaction();
}

void
check_format(ConnectorWorker *worker, const Route *route, StreamRelation *relation)
{
	if (!worker->is_binary || relation->is_binary)
		return;
	begin_local(worker);
	for (int i = 0; i < relation->ncolumns; i++)
	{
		const char *reason =
			why_text(worker, relation->types[i], route->name, relation->columns[i]);

		if (reason != nullptr)
			fall_back_to_text(worker, route, reason);
	}
	relation->is_binary = true;
}

void
check_target_format(ConnectorWorker *worker, const Route *route)
{
	const target::TargetRelation *target = route->target;

	for (int i = 0; i < target->ncolumns && worker->is_binary; i++)
		if (target->columns[i].type != target->columns[i].sent_type)
			fall_back_to_text(
				worker, route,
				describe_difference(route->name, target->columns[i].name, target->columns[i].type));
}

void
fall_back_from_value(ConnectorWorker *worker, const Route *route,
					 const target::ApplyFailure &failure)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	char *connector = pstrdup(worker->config->name);
	char *table = pstrdup(route->name);
	char *reason = psprintf("A value of column \"%s\" could not be read in binary form: %s.",
							failure.unreadable_column, failure.error->message);
	int connector_id = worker->config->id;

	MemoryContextSwitchTo(old);
	begin_record();
	state::note_unreadable_type(connector_id, failure.unreadable_type);
	state::record_event(connector, table, "value_unreadable", reason);
	start_again();
}

/* A drain has met such a value. */
bool
is_format_outdated(const ConnectorWorker *worker)
{
	if (!worker->is_binary)
		return false;
	base::begin_transaction();
	bool is_outdated =
		state::load_unreadable_types(worker->config->id).count > worker->unreadable_types.count;

	base::commit_transaction();
	return is_outdated;
}

void
note_refused_format(const ConnectorWorker *worker, const ErrorData *error)
{
	if (!worker->is_binary || error->sqlerrcode != ERRCODE_UNDEFINED_FUNCTION)
		return;
	base::begin_transaction();
	state::record_text_reason(
		worker->config->id, 0, worker->received,
		psprintf("The source cannot send a value in binary form: %s.", error->message));
	base::commit_transaction();
}

} // namespace worker
