/*
 * worker/launcher.cpp
 *
 * See launcher.hpp.
 */
#include "worker/launcher.hpp"

#include "base/compat.hpp"
#include "base/settings.hpp"
#include "worker/process.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

constexpr long kLongestSleepMs = 60000;

struct Databases
{
	int count;
	Oid *oids;
};

/* Databases that can be connected to; in the current memory context. */
Databases
list_databases()
{
	MemoryContext caller = CurrentMemoryContext;
	Databases list{0, nullptr};
	int room = 16;

	list.oids = (Oid *) palloc(sizeof(Oid) * room);
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	Relation rel = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, nullptr);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (!database->datallowconn)
			continue;
		if (list.count == room)
			list.oids = (Oid *) repalloc(list.oids, sizeof(Oid) * (room *= 2));
		list.oids[list.count++] = database->oid;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return list;
}

bool
has_database(Oid oid)
{
	Databases list = list_databases();
	bool found = false;

	for (int i = 0; i < list.count; i++)
		found |= list.oids[i] == oid;
	pfree(list.oids);
	return found;
}

/* Scouts run one after the other, beside the launcher's other work. */
struct Scouting
{
	Databases databases;
	int next;
	BackgroundWorkerHandle *current;
};

void
continue_scouting(Scouting *scouting)
{
	pid_t pid;

	if (scouting->current != nullptr)
	{
		if (GetBackgroundWorkerPid(scouting->current, &pid) != BGWH_STOPPED)
			return;
		pfree(scouting->current);
		scouting->current = nullptr;
	}
	if (scouting->next < scouting->databases.count)
	{
		Oid database = scouting->databases.oids[scouting->next];

		if (start_process("livesync scout", "livesync_scout_main", ObjectIdGetDatum(database),
						  nullptr, 0, &scouting->current))
			scouting->next++;
	}
}

bool
is_scouting(const Scouting &scouting)
{
	return scouting.current != nullptr || scouting.next < scouting.databases.count;
}

/* By slot: workers that were registered and are not known to have begun. */
BackgroundWorkerHandle **starting = nullptr;

void
start_connector(int slot)
{
	Oid database = slot_database(slot);

	if (!has_database(database))
	{
		forget_slot(slot);
		return;
	}
	mark_starting(slot, true);
	bool is_sweeper = slot_connector(slot) == kSweeper;

	if (!start_process(is_sweeper ? "livesync sweeper" : "livesync connector",
					   is_sweeper ? "livesync_sweeper_main" : "livesync_connector_main",
					   Int32GetDatum(slot), &database, sizeof(database), &starting[slot]))
	{
		ereport(LOG,
				(errmsg("could not start a livesync worker: all background workers are in use"),
				 errhint("Raise max_worker_processes.")));
		postpone(slot);
	}
}

/*
 * A worker may end before it reaches its main function (no connection is left, its database is
 * gone): then nobody else takes its mark away.
 */
void
check_starting()
{
	pid_t pid;

	for (int slot = 0; slot < base::settings::max_places(); slot++)
	{
		if (starting[slot] == nullptr)
			continue;
		BgwHandleStatus status = GetBackgroundWorkerPid(starting[slot], &pid);

		if (status == BGWH_NOT_YET_STARTED || (status == BGWH_STARTED && is_starting(slot)))
			continue;
		if (status == BGWH_STOPPED && is_starting(slot))
			postpone(slot);
		pfree(starting[slot]);
		starting[slot] = nullptr;
	}
}

void
start_what_is_due(long *wait_ms)
{
	int slot;

	while ((slot = next_to_start(wait_ms)) >= 0)
		start_connector(slot);
}

} // namespace

void
register_launcher()
{
	BackgroundWorker process;

	memset(&process, 0, sizeof(process));
	process.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	process.bgw_start_time = BgWorkerStart_RecoveryFinished;
	process.bgw_restart_time = 5;
	strlcpy(process.bgw_library_name, "pg_livesync", sizeof(process.bgw_library_name));
	strlcpy(process.bgw_function_name, "livesync_launcher_main", BGW_MAXLEN);
	strlcpy(process.bgw_name, "livesync launcher", BGW_MAXLEN);
	strlcpy(process.bgw_type, "livesync launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&process);
}

} // namespace worker

extern "C" PGDLLEXPORT void
livesync_launcher_main(Datum)
{
	using namespace worker;

	begin_process(InvalidOid);
	attach_launcher();

	Scouting scouting{list_databases(), 0, nullptr};

	starting = (BackgroundWorkerHandle **) palloc0(sizeof(BackgroundWorkerHandle *) *
												   base::settings::max_places());

	for (;;)
	{
		long wait_ms = kLongestSleepMs;

		continue_scouting(&scouting);
		check_starting();
		start_what_is_due(&wait_ms);
		if (is_scouting(scouting))
			wait_ms = Min(wait_ms, 200L);
		rest(wait_ms);
	}
}
