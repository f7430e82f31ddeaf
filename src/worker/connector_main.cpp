/*
 * worker/connector_main.cpp
 *
 * The connector worker: from its start to its end.  See connector.hpp.
 *
 * It never waits for anything but its latch and its sockets: what waits for the source (gates, chunks)
 * is done by copy workers, so that receiving and confirming go on.
 */
#include "worker/connector.hpp"

#include "base/compat.hpp"
#include "base/settings.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "target/origin.hpp"
#include "worker/process.hpp"
#include "worker/registry.hpp"
#include "worker/source_address.hpp"
#include "worker/streamed.hpp"

namespace worker
{
namespace
{

constexpr long kIdleMs = 500;
constexpr long kBusyMs = 20;
constexpr long kPollingMs =
	5; /* the answer to a look is taken in before changes come again, if they are few */
constexpr int64 kTablesEveryMs = 100;
constexpr int64 kTrimEveryMs = 60000;

constexpr int kSettledMs = 5000;
constexpr int kTriesTogether = 3; /* before a table is blamed for a lack of resources */

/* False: the connector is gone or paused. */
bool
load_config(ConnectorWorker *worker, int connector_id)
{
	MemoryContextReset(worker->config_context);
	worker->config = nullptr;
	base::begin_transaction();
	if (state::is_installed())
	{
		MemoryContext old = MemoryContextSwitchTo(worker->config_context);

		worker->config = state::load_connector(connector_id);
		MemoryContextSwitchTo(old);
		my_entry()->copy_limit = worker->config != nullptr ? worker->config->copy_workers : 0;
	}
	base::commit_transaction();
	/* only now: an error on the way says nothing about what is wanted */
	if (worker->config == nullptr)
		set_ending(Ending::forgotten);
	else
		set_ending(worker->config->enabled ? Ending::failed : Ending::stopped);
	if (worker->config == nullptr || !worker->config->enabled)
		return false;
	target::set_writer(worker->config->owner);
	return true;
}

void
keep_feedback(void *argument)
{
	send_position((ConnectorWorker *) argument, false);
}

void
connect(ConnectorWorker *worker)
{
	MemoryContext old = MemoryContextSwitchTo(worker->connection_context);
	const char *name = worker->config->slot_name;

	worker->control =
		source::open_connection(address_of(worker->config), name, source::Purpose::control);
	if (worker->config->ssh_tunnel != nullptr)
	{
		base::begin_transaction();
		keep_host_key(worker->config, worker->control);
		base::commit_transaction();
		MemoryContextSwitchTo(worker->connection_context);
	}
	worker->stream_connection =
		source::open_connection(address_of(worker->config), name, source::Purpose::stream);
	ensure_source(worker);
	MemoryContextSwitchTo(worker->connection_context);
	open_stream(worker);
	source::set_while_waiting(keep_feedback, worker);
	MemoryContextSwitchTo(old);
	show_slot(worker->config->name, name);
	worker->connected_since = GetCurrentTimestamp();
}

/* A fresh walsender and a fresh look at everything, through a fresh start of this process. */
[[noreturn]] void
restart(ConnectorWorker *worker)
{
	advance_idle(worker, worker->applied, true);
	send_position(worker, true);
	set_ending(Ending::again);
	proc_exit(0);
}

/* All that says where connections go, and for whom. */
char *
describe_source(const ConnectorWorker *worker)
{
	const state::Connector *config = worker->config;
	MemoryContext old = MemoryContextSwitchTo(worker->turn);
	char *text = psprintf("%u %s %s %s", config->owner, config->source,
						  config->ssh_tunnel ? config->ssh_tunnel : "",
						  config->ssh_known_hosts ? config->ssh_known_hosts : "");

	MemoryContextSwitchTo(old);
	return text;
}

/* The connector's row was changed by a call. */
void
take_over_changes(ConnectorWorker *worker)
{
	char *source = describe_source(worker);
	char *name = MemoryContextStrdup(worker->turn, worker->config->name);

	if (!load_config(worker, worker->config->id))
		proc_exit(0);
	worker->tables_changed = true;
	worker->poll_at = 0;

	bool is_renamed = strcmp(name, worker->config->name) != 0;

	if (is_renamed || strcmp(source, describe_source(worker)) != 0)
	{
		stop_copies(0);
		if (is_renamed)
		{
			base::begin_transaction();
			state::rename_events(worker->config, name);
			base::commit_transaction();
		}
		restart(worker);
	}
}

/* At each start too: a connector that keeps failing gets no further, and makes events. */
void
trim_history(ConnectorWorker *worker, TimestampTz now)
{
	int most = base::settings::max_events;

	if (most == 0 || !TimestampDifferenceExceeds(worker->trimmed_at, now, kTrimEveryMs))
		return;
	worker->trimmed_at = now;
	base::begin_transaction();
	if (state::is_installed())
		state::trim_events(most);
	base::commit_transaction();
}

/* Everything that is not applying, between two source transactions. */
void
do_housekeeping(ConnectorWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	ConnectorEntry *entry = my_entry();

	worker->housekept_at = now;
	if (entry->is_changed)
	{
		entry->is_changed = false;
		take_over_changes(worker);
	}
	if (worker->config->nnext_publications > 0 && worker->confirmed >= worker->config->next_lsn)
	{
		base::begin_transaction();
		state::switch_publications(worker->config->id);
		base::commit_transaction();
		/* they check chunks against the publications that they began with */
		stop_copies(0);
		restart(worker);
	}
	MemoryContextSwitchTo(worker->turn);
	if (worker->poll_at <= now || entry->refresh_wanted != entry->refresh_done)
		poll_source(worker);
	finish_poll(worker);
	trim_history(worker, now);
	sync_sequences(worker, now);
	if (worker->tables_changed || is_begin_due(worker) ||
		TimestampDifferenceExceeds(worker->tables_at, now, kTablesEveryMs))
	{
		worker->tables_at = now;
		bool has_changed = worker->tables_changed || entry->is_tables_changed;

		if (has_changed)
		{
			entry->is_tables_changed = false;
			reload_routes(worker);
		}
		pause_tables(worker);
		bool has_work = schedule_tables(worker);

		has_changed |= worker->tables_changed;
		/* nothing may be received with the routes of before: the spool of a table that streams is never read */
		if (worker->tables_changed)
			reload_routes(worker);
		if (has_changed && is_format_outdated(worker))
			worker->needs_reconnect = true;
		if (has_work || worker->has_index_jobs)
			schedule_copies(worker);
	}
	if (worker->needs_reconnect)
		restart(worker);
}

/* libpq gives the room for a huge row back when the connection ends; but rows of that size may come all the time. */
bool
is_swollen(const ConnectorWorker *worker)
{
	constexpr size_t kHuge = 64 * 1024 * 1024;

	return worker->largest_message >= kHuge &&
		   TimestampDifferenceExceeds(worker->connected_since, GetCurrentTimestamp(), kSettledMs);
}

/* Nothing that fails has come for a while, and nothing at all is left to do. */
void
settle(const ConnectorWorker *worker)
{
	if (my_entry()->failures > 0 &&
		TimestampDifferenceExceeds(worker->connected_since, GetCurrentTimestamp(), kSettledMs))
		note_progress();
}

void
wait_for_something(ConnectorWorker *worker)
{
	bool is_busy = worker->tables_changed || is_begin_due(worker);
	/* what is committed is flushed by the WAL writer, by and by */
	long rest_ms = worker->nmarks > 0 ? Min(WalWriterDelay, kIdleMs) : kIdleMs;
	long most_ms = worker->is_polling ? kPollingMs : is_busy ? kBusyMs : rest_ms;

	(void) source::wait_readable(worker->stream_connection, most_ms);
}

void
run(ConnectorWorker *worker)
{
	reload_routes(worker);
	/* what was asked for while nothing ran comes before anything is received */
	pause_tables(worker);
	pgstat_report_activity(STATE_RUNNING, psprintf("livesync connector %s", worker->config->name));
	for (;;)
	{
		if (!worker->in_local_transaction)
		{
			MemoryContextReset(worker->turn);
			MemoryContextSwitchTo(worker->turn);
		}

		bool is_more = receive_some(worker);

		if (!is_more && apply_early(worker))
			continue;
		if (!is_more && worker->has_uncommitted && !worker->has_napped && gathers(worker))
		{
			nap(worker);
			continue;
		}
		/* nothing more is there: what is whole is committed at once */
		if (!is_more && !worker->in_source_transaction && worker->has_uncommitted)
			commit_local(worker);
		send_position(worker, !is_more && !worker->in_source_transaction && is_answer_due(worker));
		CHECK_FOR_INTERRUPTS();
		check_configuration();
		if (is_at_boundary(worker))
		{
			if (!is_more)
			{
				advance_idle(worker, worker->received, false);
				settle(worker);
				worker->needs_reconnect |= is_swollen(worker);
			}
			do_housekeeping(worker);
		}
		else if (worker->has_uncommitted && !worker->in_source_transaction && is_batch_due(worker))
			commit_local(worker);
		if (is_more || apply_ahead(worker))
			continue;
		if (is_dense(worker))
			nap(worker);
		else
			wait_for_something(worker);
	}
}

ConnectorWorker *
make_worker()
{
	ConnectorWorker *worker =
		(ConnectorWorker *) MemoryContextAllocZero(TopMemoryContext, sizeof(ConnectorWorker));

	worker->config_context =
		AllocSetContextCreate(TopMemoryContext, "livesync connector", ALLOCSET_SMALL_SIZES);
	worker->connection_context =
		AllocSetContextCreate(TopMemoryContext, "livesync connection", ALLOCSET_DEFAULT_SIZES);
	worker->turn = AllocSetContextCreate(TopMemoryContext, "livesync turn", ALLOCSET_DEFAULT_SIZES);
	worker->arena = AllocSetContextCreate(TopMemoryContext, "livesync batch", 64 * 1024, 64 * 1024,
										  8 * 1024 * 1024);
	worker->routes = make_routes(TopMemoryContext);
	worker->streamed = make_streamed(TopMemoryContext);
	worker->has_index_jobs = true; /* not known yet */
	return worker;
}

} // namespace
} // namespace worker

extern "C" PGDLLEXPORT void
livesync_connector_main(Datum argument)
{
	using namespace worker;

	int slot = DatumGetInt32(argument);
	Oid database;

	memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof(database));
	begin_process(database);
	if (!attach_connector(slot))
		proc_exit(0);

	ConnectorWorker *worker = make_worker();
	int connector_id = slot_connector(slot);
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		if (!load_config(worker, connector_id))
			proc_exit(0);
		trim_history(worker, GetCurrentTimestamp());
		connect(worker);
		(void) base::blame_tables(my_entry()->failures >= kTriesTogether);
		run(worker);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		ErrorData *error = CopyErrorData();

		EmitErrorReport();
		FlushErrorState();
		target::forget_commit_position();
		/* it may come from within a subtransaction */
		AbortOutOfAnyTransaction();
		keep_behind(worker);
		note_missed_publication(worker, error);
		note_refused_format(worker, error);
		record_failure_and_exit(connector_id, error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
}
