/*
 * worker/registry.cpp
 *
 * The memory itself, and the entries of connectors.  See registry.hpp.
 */
#include "worker/registry.hpp"

#include "worker/registry_memory.hpp"

#include "base/compat.hpp"
#include "base/settings.hpp"
#include "source/ssh_files.hpp"

#include <csignal>

namespace worker
{

Registry *registry = nullptr;

namespace
{

constexpr int64 kLongestDelayMs = 60000;

shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

Size
registry_size()
{
	Size size = sizeof(Registry);

	size = add_size(size, mul_size(base::settings::max_places(), sizeof(ConnectorEntry)));
	return add_size(size, mul_size(base::settings::max_copy_processes(),
								   sizeof(CopyEntry) + sizeof(TableWait)));
}

void
request_memory()
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(registry_size());
	RequestNamedLWLockTranche("livesync", 1);
}

void
start_memory()
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	/* also after a crash, when nothing runs any more: keys must not lie about */
	source::remove_all_ssh_folders();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	registry = (Registry *) ShmemInitStruct("livesync", registry_size(), &found);
	if (!found)
	{
		memset(registry, 0, registry_size());
		registry->lock = &GetNamedLWLockTranche("livesync")->lock;
		registry->nconnectors = base::settings::max_places();
		registry->ncopies = base::settings::max_copy_processes();
		registry->connectors = (ConnectorEntry *) (registry + 1);
		registry->copies = (CopyEntry *) (registry->connectors + registry->nconnectors);
		registry->waits = (TableWait *) (registry->copies + registry->ncopies);
	}
	LWLockRelease(AddinShmemInitLock);
}

int64
delay_ms(int failures)
{
	int64 delay = base::settings::retry_delay_ms;

	for (int i = 1; i < failures && delay < kLongestDelayMs; i++)
		delay *= 2;
	delay = Min(delay, kLongestDelayMs);
	/* jitter: connectors that failed together do not come back together */
	return delay - (int64) ((uint64) GetCurrentTimestamp() % (uint64) (delay / 4 + 1));
}

} // namespace

int
find_connector(Oid database, int connector_id)
{
	for (int i = 0; i < registry->nconnectors; i++)
	{
		const ConnectorEntry &it = registry->connectors[i];

		if (it.is_used && it.database == database && it.connector_id == connector_id)
			return i;
	}
	return -1;
}

TimestampTz
delayed_time(int failures)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay_ms(failures));
}

/* A drop must not wait for a place: those of sweepers are their own. */
int
find_or_add_connector(Oid database, int connector_id)
{
	int slot = find_connector(database, connector_id);
	int alike = 0;
	int unused = -1;

	if (slot >= 0)
		return slot;
	for (int i = 0; i < registry->nconnectors; i++)
	{
		const ConnectorEntry &it = registry->connectors[i];

		if (!it.is_used)
			unused = i;
		else if ((it.connector_id == kSweeper) == (connector_id == kSweeper))
			alike++;
	}
	if (unused < 0 || alike >= base::settings::max_connectors)
		return -1;
	registry->connectors[unused] = ConnectorEntry{};
	registry->connectors[unused].is_used = true;
	registry->connectors[unused].database = database;
	registry->connectors[unused].connector_id = connector_id;
	return unused;
}

void
delay_restart(ConnectorEntry *entry)
{
	entry->failures++;
	entry->restart_at = delayed_time(entry->failures);
}

void
wake_launcher()
{
	Latch *launcher = registry->launcher;

	if (launcher != nullptr)
		SetLatch(launcher);
}

void
reserve_shared_memory()
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
}

void
require_preloaded()
{
	if (registry == nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_livesync must be loaded via \"shared_preload_libraries\""),
				 errhint("Add pg_livesync to shared_preload_libraries in postgresql.conf and "
						 "restart the server.")));
}

namespace
{

void
detach_launcher(int, Datum)
{
	registry->launcher = nullptr;
}

} // namespace

void
attach_launcher()
{
	registry->launcher = MyLatch;
	before_shmem_exit(detach_launcher, (Datum) 0);
}

void
register_connector(Oid database, int connector_id)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	int slot = find_or_add_connector(database, connector_id);

	if (slot >= 0)
	{
		registry->connectors[slot].is_wanted = true;
		registry->connectors[slot].failures = 0;
		registry->connectors[slot].restart_at = 0;
		registry->connectors[slot].copy_failures = 0;
		registry->connectors[slot].copy_restart_at = 0;
		registry->connectors[slot].is_changed = true;
		if (registry->connectors[slot].latch != nullptr)
			SetLatch(registry->connectors[slot].latch);
	}
	LWLockRelease(registry->lock);
	wake_launcher();
	if (slot < 0)
		ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						  errmsg("no place for another connector"),
						  errhint("Raise livesync.max_connectors and restart the server.")));
}

int
next_to_start(long *wait_ms)
{
	TimestampTz now = GetCurrentTimestamp();
	int found = -1;

	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < registry->nconnectors && found < 0; i++)
	{
		const ConnectorEntry &it = registry->connectors[i];

		if (!it.is_used || !it.is_wanted || it.is_starting || it.holds > 0 || it.pid != 0)
			continue;
		if (it.restart_at <= now)
			found = i;
		else
			*wait_ms = Min(*wait_ms, TimestampDifferenceMilliseconds(now, it.restart_at) + 1);
	}
	LWLockRelease(registry->lock);
	return found;
}

void
mark_starting(int slot, bool value)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	registry->connectors[slot].is_starting = value;
	LWLockRelease(registry->lock);
}

bool
is_starting(int slot)
{
	return registry->connectors[slot].is_starting;
}

void
postpone(int slot)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	registry->connectors[slot].is_starting = false;
	delay_restart(&registry->connectors[slot]);
	LWLockRelease(registry->lock);
}

void
forget_slot(int slot)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	registry->connectors[slot].is_used = false;
	LWLockRelease(registry->lock);
}

Oid
slot_database(int slot)
{
	return registry->connectors[slot].database;
}

int
slot_connector(int slot)
{
	return registry->connectors[slot].connector_id;
}

SlotInUse *
list_slots(Oid database, int *count)
{
	SlotInUse *list = (SlotInUse *) palloc(sizeof(SlotInUse) * (registry->nconnectors + 1));

	*count = 0;
	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < registry->nconnectors; i++)
	{
		const ConnectorEntry &it = registry->connectors[i];

		if (!it.is_used || it.database != database || it.slot_name[0] == '\0')
			continue;
		memcpy(list[*count].connector, it.name, NAMEDATALEN);
		memcpy(list[(*count)++].slot_name, it.slot_name, NAMEDATALEN);
	}
	LWLockRelease(registry->lock);
	return list;
}

void
stop_database(Oid database)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < registry->nconnectors; i++)
	{
		ConnectorEntry &it = registry->connectors[i];

		if (!it.is_used || it.database != database)
			continue;
		it.restart_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 10000);
		if (it.pid != 0)
			kill(it.pid, SIGTERM);
	}
	for (int i = 0; i < registry->ncopies; i++)
		if (registry->copies[i].is_used && registry->copies[i].database == database &&
			registry->copies[i].pid != 0)
			kill(registry->copies[i].pid, SIGTERM);
	LWLockRelease(registry->lock);
}

} // namespace worker
