/*
 * worker/registry_calls.cpp
 *
 * What SQL calls do with the registry: hold a connector for a transaction, have it looked at when the transaction ends,
 * and read what the workers tell.  See registry.hpp.
 */
#include "worker/registry.hpp"

#include "base/compat.hpp"
#include "base/settings.hpp"
#include "worker/registry_memory.hpp"

#include <csignal>

namespace worker
{
namespace
{

struct PendingLook
{
	int connector_id;
	bool is_held;
	PendingLook *next;
};

/* Of the current top transaction; in TopTransactionContext. */
PendingLook *pending = nullptr;
bool has_callback = false;

void
release_hold(int connector_id)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	int slot = find_connector(MyDatabaseId, connector_id);

	if (slot >= 0 && registry->connectors[slot].holds > 0)
		registry->connectors[slot].holds--;
	LWLockRelease(registry->lock);
}

void
at_transaction_end(XactEvent event, void *)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	for (PendingLook *it = pending; it != nullptr; it = it->next)
	{
		if (it->is_held)
			release_hold(it->connector_id);
		register_connector(MyDatabaseId, it->connector_id);
	}
	pending = nullptr;
}

void
add_pending(int connector_id, bool is_held)
{
	if (!has_callback)
	{
		RegisterXactCallback(at_transaction_end, nullptr);
		has_callback = true;
	}
	PendingLook *it =
		(PendingLook *) MemoryContextAlloc(TopTransactionContext, sizeof(PendingLook));

	*it = PendingLook{connector_id, is_held, pending};
	pending = it;
}

/* SIGTERM to all processes of a connector; false: there were none. */
bool
signal_processes(int connector_id)
{
	bool any = false;

	LWLockAcquire(registry->lock, LW_SHARED);
	int slot = find_connector(MyDatabaseId, connector_id);

	if (slot >= 0)
	{
		const ConnectorEntry &entry = registry->connectors[slot];

		any = entry.pid != 0;
		if (entry.pid != 0)
			kill(entry.pid, SIGTERM);
	}
	for (int i = 0; i < registry->ncopies; i++)
	{
		const CopyEntry &copy = registry->copies[i];

		if (!copy.is_used || copy.database != MyDatabaseId || copy.connector_id != connector_id)
			continue;
		/* one that has not begun yet sees the hold and ends */
		any |= copy.pid != 0;
		if (copy.pid != 0)
			kill(copy.pid, SIGTERM);
	}
	LWLockRelease(registry->lock);
	return any;
}

} // namespace

void
look_at_transaction_end(int connector_id)
{
	add_pending(connector_id, false);
}

void
claim_place(int connector_id)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	int slot = find_or_add_connector(MyDatabaseId, connector_id);

	if (slot >= 0)
		registry->connectors[slot].holds++;
	LWLockRelease(registry->lock);
	if (slot < 0)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("no place for another connector"),
						errdetail("All %d places of this server are in use.",
								  base::settings::max_connectors),
						errhint("Raise livesync.max_connectors and restart the server, or drop a "
								"connector.")));
	add_pending(connector_id, true);
}

void
hold_connector(int connector_id)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	int slot = find_connector(MyDatabaseId, connector_id);

	if (slot >= 0)
		registry->connectors[slot].holds++;
	LWLockRelease(registry->lock);
	add_pending(connector_id, slot >= 0);

	while (signal_processes(connector_id))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 20L,
						 base::wait_event());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

uint32
request_refresh(int connector_id)
{
	uint32 request = 0;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	int slot = find_connector(MyDatabaseId, connector_id);

	if (slot >= 0)
	{
		request = ++registry->connectors[slot].refresh_wanted;
		if (registry->connectors[slot].latch != nullptr)
			SetLatch(registry->connectors[slot].latch);
	}
	LWLockRelease(registry->lock);
	return request;
}

bool
is_refreshed(int connector_id, uint32 request)
{
	ConnectorEntry entry;

	return read_entry(connector_id, &entry) && (int32) (entry.refresh_done - request) >= 0;
}

bool
read_entry(int connector_id, ConnectorEntry *copy)
{
	LWLockAcquire(registry->lock, LW_SHARED);
	int slot = find_connector(MyDatabaseId, connector_id);

	if (slot >= 0)
		*copy = registry->connectors[slot];
	LWLockRelease(registry->lock);
	return slot >= 0;
}

ConnectorEntry *
list_connectors(int *count)
{
	ConnectorEntry *list =
		(ConnectorEntry *) palloc(sizeof(ConnectorEntry) * (registry->nconnectors + 1));

	*count = 0;
	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < registry->nconnectors; i++)
		if (registry->connectors[i].is_used && registry->connectors[i].database == MyDatabaseId)
			list[(*count)++] = registry->connectors[i];
	LWLockRelease(registry->lock);
	return list;
}

CopyEntry *
list_copies(int *count)
{
	CopyEntry *list = (CopyEntry *) palloc(sizeof(CopyEntry) * (registry->ncopies + 1));

	*count = 0;
	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < registry->ncopies; i++)
		if (registry->copies[i].is_used && registry->copies[i].database == MyDatabaseId)
			list[(*count)++] = registry->copies[i];
	LWLockRelease(registry->lock);
	return list;
}

TableWait *
list_table_waits(int *count)
{
	TableWait *list = (TableWait *) palloc(sizeof(TableWait) * (registry->ncopies + 1));

	*count = 0;
	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < registry->ncopies; i++)
		if (registry->waits[i].is_used && registry->waits[i].database == MyDatabaseId)
			list[(*count)++] = registry->waits[i];
	LWLockRelease(registry->lock);
	return list;
}

} // namespace worker
