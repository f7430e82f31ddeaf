/*
 * worker/finish.cpp
 *
 * After the last chunk, and long spools.  See copier.hpp.
 */
#include "worker/copier.hpp"

#include "base/failpoint.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "state/spool.hpp"
#include "target/relation.hpp"
#include "worker/drain.hpp"
#include "worker/failure.hpp"
#include "worker/follow.hpp"
#include "worker/indexes.hpp"
#include "worker/partitions.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

constexpr int kDrainLockMs = 1000;
constexpr int kSegmentsATime = 1000;

bool
end_load(Copier *copier, const state::SyncedTable *table)
{
	const char *name = state::source_table_name(table);

	base::failpoint("load_finished", name);
	if (restart_if_attached(copier, table))
		return true;
	switch (ensure_key_index(copier, table))
	{
		case KeyIndex::later:
			copier->is_held_up = true;
			return false;
		case KeyIndex::failed:
			return true;
		case KeyIndex::ready:
			break;
	}
	state::finish_load(table->id, source::wait_source_flushed(copier->connection));
	state::record_event(copier->config->name, name, "copy_finished", nullptr);
	return true;
}

} // namespace

bool
finish_one_table(Copier *copier)
{
	base::begin_transaction();
	int64 id =
		base::read_number("SELECT t.id FROM livesync.synced_table t WHERE t.connector_id = $1 "
						  "AND t.state = 'copying' AND t.phase = 'load' AND NOT EXISTS "
						  "(SELECT FROM livesync.chunk c WHERE c.table_id = t.id "
						  "AND c.generation = t.generation AND c.done_at IS NULL) LIMIT 1 "
						  "FOR NO KEY UPDATE OF t SKIP LOCKED",
						  {base::int_value(copier->config->id)});
	state::SyncedTable *table =
		id != 0 ? state::load_table(id, state::RowLock::try_update) : nullptr;
	bool is_done = table != nullptr && table->state == state::TableState::copying &&
				   table->phase == state::Phase::load &&
				   state::count_open_chunks(table->id, table->generation) == 0;

	if (is_done)
		set_copy_activity(table->id, 0, "ending the load");

	bool is_later = is_done && !end_load(copier, table);

	set_copy_activity(0, 0, nullptr);
	if (is_later)
	{
		AbortCurrentTransaction();
		return false;
	}
	base::commit_transaction();
	if (is_done)
		wake_connector();
	return is_done;
}

namespace
{

struct DrainJob
{
	Drain drain;
	DrainResult result;
};

void
drain_step(void *argument)
{
	DrainJob *job = (DrainJob *) argument;

	job->result = drain_spool(&job->drain);
}

} // namespace

bool
drain_locked(const Copier *copier, state::SyncedTable *table, int most_segments)
{
	DrainJob job{};

	job.drain.table = table;
	job.drain.connector = copier->config->name;
	job.drain.control = copier->connection;
	job.drain.most_segments = most_segments;
	bool blamed = base::blame_tables(true);
	ErrorData *error = base::run_limited(drain_step, &job, kDrainLockMs);

	(void) base::blame_tables(blamed);
	if (error == nullptr && job.result == DrainResult::failed)
		error = job.drain.failure.error;
	if (error != nullptr && base::is_lock_timeout(error))
	{
		set_table_wait(table->id, describe_lock_wait(error, table, RowExclusiveLock));
		return false;
	}
	if (error != nullptr)
	{
		AbortCurrentTransaction();
		base::begin_transaction();
		mark_drain_failed(copier->config->id, copier->config->name, table, error,
						  job.drain.failure);
		wake_connector();
		return true;
	}
	if (job.result == DrainResult::stopped)
	{
		mark_table_failed(copier->config->name, table->id, state::source_table_name(table),
						  job.drain.failure.error, job.drain.failure.lsn);
		state::move_end_lsn(table->id, job.drain.refetched);
		return true;
	}
	if (job.result == DrainResult::copy_again)
	{
		AbortCurrentTransaction();
		base::begin_transaction();
		copy_again(copier->config->name, table->id);
		return true;
	}
	if (job.result == DrainResult::again_later)
		return false;
	if (job.drain.refetched != wire::kInvalidLsn)
		state::move_end_lsn(table->id, job.drain.refetched);
	return true;
}

bool
drain_one_table(Copier *copier)
{
	MemoryContext before = begin_piece(copier);
	int64 id = base::read_number(
		"SELECT t.id FROM livesync.synced_table t WHERE t.connector_id = $1 "
		"AND t.state = 'catching_up' AND t.phase = '' AND (SELECT sum(s.changes) FROM livesync.spool s "
		"WHERE s.table_id = t.id AND s.generation = t.generation) > $2 "
		"AND NOT EXISTS (SELECT FROM livesync.wish w WHERE w.table_id = t.id) LIMIT 1 "
		"FOR NO KEY UPDATE OF t SKIP LOCKED",
		{base::int_value(copier->config->id), base::int_value(kTailChanges)});
	state::SyncedTable *table =
		id != 0 ? state::load_table(id, state::RowLock::try_update) : nullptr;
	bool keep = table != nullptr && table->state == state::TableState::catching_up &&
				table->phase == state::Phase::none && table->wish == state::Wish::none;

	if (keep)
	{
		set_copy_activity(table->id, 0, "catching up");
		keep = drain_locked(copier, table, kSegmentsATime);
		set_copy_activity(0, 0, nullptr);
	}

	return end_piece(before, keep);
}

} // namespace worker
