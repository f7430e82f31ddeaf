/*
 * worker/resync.cpp
 *
 * See resync.hpp.
 */
#include "worker/resync.hpp"

#include "base/failpoint.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "state/spool.hpp"
#include "target/exchange.hpp"
#include "worker/connector.hpp"
#include "worker/copier.hpp"
#include "worker/failure.hpp"
#include "worker/registry.hpp"
#include "worker/routes.hpp"

namespace worker
{
namespace
{

constexpr int kExchangeLockMs = 1000;

/* Only what we made: before its first copy began there is nothing. */
void
drop_target(const state::SyncedTable *shadow)
{
	if (shadow->generation > 0)
		target::drop_shadow(shadow->target_schema, shadow->target_name);
}

struct ExchangeJob
{
	const state::SyncedTable *table;
	const state::SyncedTable *shadow;
	target::Differences differences;
};

void
exchange_step(void *argument)
{
	ExchangeJob *job = (ExchangeJob *) argument;
	target::TargetRelation *target = open_recorded_target(job->table, CurrentMemoryContext);

	job->differences =
		target::take_over(target, job->shadow->target_schema, job->shadow->target_name);
	target::close_target(target);
	drop_target(job->shadow);
}

void
finish(const Copier *copier, const ExchangeJob &job)
{
	state::finish_exchange(job.table, job.shadow);
	state::delete_table(job.shadow->id);
	state::record_event(copier->config->name, state::source_table_name(job.table), "table_resynced",
						psprintf("Rows that differed: " INT64_FORMAT " deleted, " INT64_FORMAT
								 " changed, " INT64_FORMAT " inserted.",
								 job.differences.deleted, job.differences.updated,
								 job.differences.inserted));
}

void
give_up(const Copier *copier, const ExchangeJob &job, const ErrorData *error)
{
	AbortCurrentTransaction();
	base::begin_transaction();
	const state::SyncedTable *table = state::load_table(job.table->id, state::RowLock::update);

	/* the rollback let another worker take it up, which has failed in the same way */
	if (table == nullptr || table->phase != state::Phase::exchange ||
		state::load_table(job.shadow->id, state::RowLock::none) == nullptr)
		return;
	state::leave_exchange(job.table->id);
	drop_target(job.shadow);
	state::delete_table(job.shadow->id);
	state::record_event(copier->config->name, state::source_table_name(job.table),
						"table_not_resynced", describe_error(error));
}

/* False: nothing came of it, roll back. */
bool
exchange_locked(const Copier *copier, const state::SyncedTable *table,
				const state::SyncedTable *shadow)
{
	ExchangeJob job{table, shadow, {}};

	set_copy_activity(shadow->id, 0, "taking over the new copy");
	pgstat_report_activity(STATE_RUNNING, psprintf("livesync takes over the new copy of %s",
												   state::source_table_name(table)));
	ErrorData *error = base::run_limited(exchange_step, &job, kExchangeLockMs);

	if (error != nullptr && base::is_lock_timeout(error))
	{
		set_table_wait(table->id, describe_lock_wait(error, table, RowExclusiveLock));
		return false;
	}
	set_table_wait(table->id, nullptr);
	if (error != nullptr)
		give_up(copier, job, error);
	else
		finish(copier, job);
	base::failpoint("exchanged", state::source_table_name(table));
	return true;
}

} // namespace

bool
try_begin_exchange(ConnectorWorker *worker, const state::SyncedTable *shadow)
{
	state::SyncedTable *table = state::load_table(shadow->shadow_of, state::RowLock::try_update);

	if (table == nullptr || !state::may_resync(table))
	{
		set_table_wait(shadow->id, "the table itself, which is paused or in use");
		return false;
	}
	set_table_wait(shadow->id, nullptr);
	state::begin_exchange(table, shadow, state::last_segment(table->id, table->generation),
						  worker->applied);
	return true;
}

bool
exchange_one_table(Copier *copier)
{
	MemoryContext before = begin_piece(copier);
	int64 id = base::read_number("SELECT id FROM livesync.synced_table WHERE connector_id = $1 "
								 "AND shadow_of IS NOT NULL AND phase = 'exchange' LIMIT 1 "
								 "FOR NO KEY UPDATE SKIP LOCKED",
								 {base::int_value(copier->config->id)});
	state::SyncedTable *shadow =
		id != 0 ? state::load_table(id, state::RowLock::try_update) : nullptr;
	state::SyncedTable *table =
		shadow ? state::load_table(shadow->shadow_of, state::RowLock::try_update) : nullptr;
	bool keep = table != nullptr && table->phase == state::Phase::exchange;

	if (keep)
	{
		base::failpoint("exchange", state::source_table_name(table));
		keep = exchange_locked(copier, table, shadow);
	}
	(void) end_piece(before, keep);
	set_copy_activity(0, 0, nullptr);
	return keep;
}

void
prepare_shadow(const state::SyncedTable *shadow)
{
	state::SyncedTable *table = state::load_table(shadow->shadow_of, state::RowLock::none);

	if (shadow->generation > 0)
		return;
	target::TargetRelation *target = open_recorded_target(table, CurrentMemoryContext);

	target::create_shadow(target, shadow->target_schema, shadow->target_name);
	target::close_target(target);
}

bool
cancel_resync(const state::Connector *config, const state::SyncedTable *table)
{
	state::SyncedTable *shadow = state::load_shadow(table->id, state::RowLock::none);

	if (shadow == nullptr)
		return false;
	stop_copies(shadow->id);
	/* waits for the row locks of what was stopped */
	shadow = state::load_table(shadow->id, state::RowLock::update);
	if (shadow == nullptr)
		return false;
	state::leave_exchange(table->id);
	drop_target(shadow);
	state::delete_table(shadow->id);
	state::record_event(config->name, state::source_table_name(table), "table_not_resynced",
						"The source publishes the table in another way, or not any more.");
	return true;
}

void
drop_shadows(int connector_id)
{
	state::SyncedTables list = state::load_tables(connector_id);

	for (int i = 0; i < list.count; i++)
		if (list.tables[i]->shadow_of != 0)
			drop_target(list.tables[i]);
}

} // namespace worker
