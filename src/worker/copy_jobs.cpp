/*
 * worker/copy_jobs.cpp
 *
 * As many copy workers as have something to do now, up to the connector's copy_workers.  What each of them does it finds
 * for itself: see copy_main.cpp.
 */
#include "worker/connector.hpp"

#include "base/sql.hpp"
#include "base/transaction.hpp"
#include "state/pending_index.hpp"
#include "worker/drain.hpp"
#include "worker/process.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

bool
start_copy_worker(int connector_id)
{
	int copy_slot = reserve_copy(connector_id);
	struct
	{
		Oid database;
		int copy_slot;
	} extra{MyDatabaseId, copy_slot};

	if (copy_slot < 0)
		return false;
	if (start_process("livesync copy", "livesync_copy_main", Int32GetDatum(my_connector_slot()),
					  &extra, sizeof(extra), nullptr))
		return true;
	release_copy(copy_slot);
	ereport(LOG,
			(errmsg("could not start a livesync copy worker: all background workers are in use"),
			 errhint("Raise max_worker_processes.")));
	return false;
}

/* How many copy workers have something to do now. */
int
count_copy_jobs(ConnectorWorker *worker)
{
	int connector_id = worker->config->id;

	base::begin_transaction();
	base::begin_sql();
	base::run_sql(
		"SELECT (SELECT count(*) FROM livesync.chunk c JOIN livesync.synced_table t "
		"ON t.id = c.table_id AND t.generation = c.generation WHERE t.connector_id = $1 "
		"AND t.state = 'copying' AND t.phase = 'load' AND c.done_at IS NULL "
		"AND NOT EXISTS (SELECT FROM livesync.wish w WHERE w.table_id = t.id)) + "
		"(SELECT count(*) FROM livesync.synced_table t WHERE t.connector_id = $1 AND "
		"(t.phase IN ('publish_gate', 'gate') AND t.state IN ('queued', 'copying') "
		"OR t.state = 'copying' AND t.phase = 'load' AND NOT EXISTS (SELECT FROM livesync.chunk c "
		"WHERE c.table_id = t.id AND c.generation = t.generation AND c.done_at IS NULL) "
		"OR t.state IN ('failed', 'catching_up') AND EXISTS (SELECT FROM livesync.wish w "
		"WHERE w.table_id = t.id AND w.wanted = 'skip') "
		"OR t.phase = 'exchange' AND t.shadow_of IS NOT NULL "
		"OR t.analyze_wanted AND t.state <> 'copying' AND NOT EXISTS (SELECT FROM livesync.synced_table o "
		"WHERE o.connector_id = $1 AND o.state IN ('queued', 'copying')) "
		"OR t.state = 'catching_up' AND t.phase = '' AND NOT EXISTS (SELECT FROM livesync.wish w "
		"WHERE w.table_id = t.id) AND (SELECT sum(s.changes) FROM livesync.spool s "
		"WHERE s.table_id = t.id AND s.generation = t.generation) > $2))",
		{base::int_value(connector_id), base::int_value(kTailChanges)});
	int jobs = (int) Min(base::get_bigint(0, 1), 1000);

	base::end_sql();
	int indexes = state::count_index_jobs(connector_id, worker->applied, kTailChanges);

	worker->has_index_jobs = indexes > 0;
	jobs += indexes;
	base::commit_transaction();
	return jobs;
}

} // namespace

void
schedule_copies(ConnectorWorker *worker)
{
	int running = count_copies(worker->config->id);

	if (running >= worker->config->copy_workers || !may_start_copies())
		return;
	int wanted = Min(count_copy_jobs(worker), worker->config->copy_workers);

	while (running < wanted && start_copy_worker(worker->config->id))
		running++;
}

} // namespace worker
