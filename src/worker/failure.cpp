/*
 * worker/failure.cpp
 *
 * What happens to errors: a table's is recorded with the table and the others go on; a connector's
 * is recorded with the connector, and the launcher starts it again.
 *
 * Surprising: when a table fails in the stream, the local transaction may already hold changes of it that were good, or of the
 * same source transaction in other tables.  So all of it is rolled back, the table is marked, and the worker begins again
 * at the origin's position: this time the table's changes go to its spool.
 */
#include "worker/connector.hpp"

#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "state/stream_format.hpp"
#include "target/origin.hpp"
#include "worker/follow.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

/* It catches up from that commit on, which must have been received again first: the one before may end where it begins. */
void
catch_up_from(int64 table_id, wire::Lsn commit_lsn)
{
	state::finish_load(table_id, commit_lsn + 1);
}

/* It catches up as soon as the lock is free. */
void
park_table(const char *connector, int64 table_id, const char *table, const ErrorData *error,
		   wire::Lsn lsn)
{
	const state::SyncedTable *it = state::load_table(table_id, state::RowLock::update);

	catch_up_from(table_id, lsn);
	if (it != nullptr)
		set_table_wait(table_id, describe_lock_wait(error, it, RowExclusiveLock));
	state::record_event(connector, table, "table_waits_for_lock", nullptr);
}

struct FailureStep
{
	const char *connector;
	const char *table;
	int64 table_id;
	const ErrorData *error;
	wire::Lsn lsn;
};

/*
 * In a subtransaction of its own: mostly the transaction holds the row's lock, and a step that changed the row was rolled
 * back.  Where the transaction itself changes a row after that, an assertion of the server fails, which is too strict.
 */
void
mark_step(void *argument)
{
	const FailureStep *it = (const FailureStep *) argument;
	char *description = describe_error(it->error);

	(void) state::load_table(it->table_id, state::RowLock::update);
	state::set_failed(it->table_id, description,
					  it->error->hint
						  ? it->error->hint
						  : "Mend the cause, then call livesync.retry_table(); it is tried "
							"again by itself as well.",
					  it->lsn);
	state::record_event(it->connector, it->table, "table_failed", description);
	ereport(LOG, (errmsg("connector \"%s\": table \"%s\" failed: %s", it->connector, it->table,
						 description)));
}

} // namespace

/* What violates a constraint is told with the row, or its key, in the detail. */
char *
describe_error(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return error->detail && category != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION
			   ? psprintf("%s (%s)", error->message, error->detail)
			   : pstrdup(error->message);
}

void
mark_table_failed(const char *connector, int64 table_id, const char *table, const ErrorData *error,
				  wire::Lsn lsn)
{
	FailureStep step{connector, table, table_id, error, lsn};
	ErrorData *failure = base::run_in_subtransaction(mark_step, &step);

	if (failure != nullptr)
		ReThrowError(failure);
}

void
mark_drain_failed(int connector_id, const char *connector, const state::SyncedTable *table,
				  const ErrorData *error, const target::ApplyFailure &failure)
{
	if (OidIsValid(failure.unreadable_type))
		state::note_unreadable_type(connector_id, failure.unreadable_type);
	mark_table_failed(connector, table->id, state::source_table_name(table), error, failure.lsn);
}

void
begin_record()
{
	abort_local();
	base::begin_transaction();
}

void
start_again()
{
	base::commit_transaction();
	set_ending(Ending::again);
	proc_exit(0);
}

void
set_table_apart(ConnectorWorker *worker, Route *route, const ErrorData *error, wire::Lsn lsn)
{
	start_again_behind(worker);

	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData *copy = (ErrorData *) palloc0(sizeof(ErrorData));
	char *table = pstrdup(route->name);
	char *connector = pstrdup(worker->config->name);
	int64 table_id = route->table->id;

	copy->sqlerrcode = error->sqlerrcode;
	copy->message = pstrdup(error->message ? error->message : "unknown error");
	copy->detail = error->detail ? pstrdup(error->detail) : nullptr;
	copy->hint = error->hint ? pstrdup(error->hint) : nullptr;
	MemoryContextSwitchTo(old);

	begin_record();
	if (base::is_lock_timeout(copy))
		park_table(connector, table_id, table, copy, lsn);
	else
		mark_table_failed(connector, table_id, table, copy, lsn);
	start_again();
}

void
begin_table_catch_up(ConnectorWorker *worker, const Route *route, wire::Lsn lsn)
{
	start_again_behind(worker);

	int64 table_id = route->table->id;

	begin_record();
	(void) state::load_table(table_id, state::RowLock::update);
	catch_up_from(table_id, lsn);
	start_again();
}

void
begin_table_anew(ConnectorWorker *worker, const Route *route)
{
	start_again_behind(worker);

	char *connector = MemoryContextStrdup(TopMemoryContext, worker->config->name);
	int64 table_id = route->table->id;

	begin_record();
	copy_again(connector, table_id);
	start_again();
}

void
record_failure_and_exit(int connector_id, const ErrorData *error)
{
	/* a commit that failed has left its position, and any commit of this process would take it over */
	target::forget_commit_position();
	base::begin_transaction();
	if (state::is_installed())
	{
		state::Connector *connector = state::load_connector(connector_id);

		if (connector != nullptr)
		{
			char *description = describe_error(error);

			state::record_connector_error(connector_id, description, error->hint);
			state::record_event(connector->name, nullptr, "connector_failed", description);
		}
	}
	base::commit_transaction();
	proc_exit(1);
}

} // namespace worker
