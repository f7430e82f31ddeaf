/*
 * worker/registry_workers.cpp
 *
 * What workers do with the registry: take their entry, tell of themselves, leave.  See registry.hpp.
 */
#include "worker/registry.hpp"

#include "base/subtransaction.hpp"
#include "worker/registry_memory.hpp"

#include <csignal>

namespace worker
{
namespace
{

int my_slot = -1;	   /* of my connector, in both kinds of worker */
int my_copy_slot = -1; /* in copy workers */
Ending my_ending = Ending::failed;

void
detach_connector(int, Datum)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	ConnectorEntry &entry = registry->connectors[my_slot];

	entry.pid = 0;
	entry.latch = nullptr;
	entry.is_starting = false;
	entry.waiting_for[0] = '\0';
	switch (my_ending)
	{
		case Ending::failed:
			delay_restart(&entry);
			break;
		case Ending::again:
			entry.restart_at = 0;
			break;
		case Ending::stopped:
			entry.is_wanted = entry.is_changed;
			break;
		case Ending::forgotten:
			entry.is_used = entry.is_changed || entry.holds > 0;
			entry.is_wanted = entry.is_changed;
			break;
	}
	LWLockRelease(registry->lock);
	wake_launcher();
}

void
detach_copy(int, Datum)
{
	release_copy(my_copy_slot);
	wake_connector();
}

} // namespace

bool
attach_connector(int slot)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	ConnectorEntry &entry = registry->connectors[slot];
	bool is_wanted = entry.is_used && entry.holds == 0 && entry.pid == 0;

	entry.is_starting = false;
	if (is_wanted)
	{
		entry.pid = MyProcPid;
		entry.latch = MyLatch;
		entry.is_changed = false;
		my_slot = slot;
	}
	LWLockRelease(registry->lock);
	if (is_wanted)
		before_shmem_exit(detach_connector, (Datum) 0);
	return is_wanted;
}

void
set_ending(Ending ending)
{
	my_ending = ending;
}

void
note_progress()
{
	registry->connectors[my_slot].failures = 0;
	(void) base::blame_tables(false);
}

void
show_slot(const char *connector, const char *slot_name)
{
	ConnectorEntry *entry = my_entry();

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	strlcpy(entry->name, connector, sizeof(entry->name));
	strlcpy(entry->slot_name, slot_name, sizeof(entry->slot_name));
	LWLockRelease(registry->lock);
}

ConnectorEntry *
my_entry()
{
	return &registry->connectors[my_slot];
}

int
my_connector_slot()
{
	return my_slot;
}

namespace
{

/* What does not fit is left out, whole characters of it: the views could not show half a one. */
void
keep_text(char *place, const char *text)
{
	int size = text != nullptr ? pg_mbcliplen(text, (int) strlen(text), kTextSize - 1) : 0;

	if (size > 0)
		memcpy(place, text, (size_t) size);
	place[size] = '\0';
}

} // namespace

void
set_waiting_for(const char *text_form)
{
	ConnectorEntry *entry = my_entry();

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	keep_text(entry->waiting_for, text_form);
	LWLockRelease(registry->lock);
}

void
set_slot_health(const SlotHealth &health)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	my_entry()->slot = health;
	LWLockRelease(registry->lock);
}

namespace
{

constexpr int kReservedMs = 60000;

/* Taken, or about to be: a worker may end before it could take its place. */
bool
is_taken(const CopyEntry &copy)
{
	return copy.is_used &&
		   (copy.pid != 0 ||
			!TimestampDifferenceExceeds(copy.reserved_at, GetCurrentTimestamp(), kReservedMs));
}

} // namespace

int
reserve_copy(int connector_id)
{
	int found = -1;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < registry->ncopies && found < 0; i++)
		if (!is_taken(registry->copies[i]))
		{
			found = i;
			registry->copies[i] = CopyEntry{};
			registry->copies[i].is_used = true;
			registry->copies[i].reserved_at = GetCurrentTimestamp();
			registry->copies[i].database = MyDatabaseId;
			registry->copies[i].connector_id = connector_id;
		}
	LWLockRelease(registry->lock);
	return found;
}

bool
attach_copy(int connector_slot, int copy_slot)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	const ConnectorEntry &entry = registry->connectors[connector_slot];
	CopyEntry &copy = registry->copies[copy_slot];
	bool is_wanted = copy.is_used && copy.pid == 0 && entry.is_used && entry.holds == 0 &&
					 entry.pid != 0 && entry.connector_id == copy.connector_id;

	if (is_wanted)
	{
		copy.pid = MyProcPid;
		my_slot = connector_slot;
		my_copy_slot = copy_slot;
	}
	else if (copy.pid == 0)
		copy.is_used = false;
	LWLockRelease(registry->lock);
	if (is_wanted)
		before_shmem_exit(detach_copy, (Datum) 0);
	return is_wanted;
}

void
release_copy(int copy_slot)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	registry->copies[copy_slot].is_used = false;
	LWLockRelease(registry->lock);
}

int
count_copies(int connector_id)
{
	int count = 0;

	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < registry->ncopies; i++)
	{
		const CopyEntry &copy = registry->copies[i];

		count +=
			is_taken(copy) && copy.database == MyDatabaseId && copy.connector_id == connector_id;
	}
	LWLockRelease(registry->lock);
	return count;
}

void
note_copy_failure()
{
	ConnectorEntry *entry = my_entry();

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	entry->copy_restart_at = delayed_time(++entry->copy_failures);
	LWLockRelease(registry->lock);
}

void
note_copy_success()
{
	my_entry()->copy_failures = 0;
}

bool
may_start_copies()
{
	return my_entry()->copy_restart_at <= GetCurrentTimestamp();
}

void
set_copy_activity(int64 table_id, int chunk, const char *text_form)
{
	CopyEntry &copy = registry->copies[my_copy_slot];

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	copy.table_id = table_id;
	copy.chunk = chunk;
	strlcpy(copy.activity, text_form ? text_form : "", kTextSize);
	LWLockRelease(registry->lock);
}

bool
is_surplus_copy()
{
	int limit = my_entry()->copy_limit;
	int before = 0;

	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < my_copy_slot; i++)
	{
		const CopyEntry &copy = registry->copies[i];

		before += copy.is_used && copy.pid != 0 && copy.database == MyDatabaseId &&
				  copy.connector_id == my_entry()->connector_id;
	}
	LWLockRelease(registry->lock);
	return limit > 0 && before >= limit;
}

TimestampTz
book_copied(uint64 bytes, uint64 bytes_per_second)
{
	ConnectorEntry *entry = my_entry();
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	TimestampTz free_at =
		Max(entry->copy_free_at, now) + (TimestampTz) (bytes * USECS_PER_SEC / bytes_per_second);

	entry->copy_free_at = free_at;
	LWLockRelease(registry->lock);
	return free_at;
}

void
stop_copies(int64 table_id)
{
	int connector_id = my_entry()->connector_id;

	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < registry->ncopies; i++)
	{
		const CopyEntry &copy = registry->copies[i];

		if (copy.is_used && copy.pid != 0 && copy.database == MyDatabaseId &&
			copy.connector_id == connector_id && (table_id == 0 || copy.table_id == table_id))
			kill(copy.pid, SIGTERM);
	}
	LWLockRelease(registry->lock);
}

void
wake_connector()
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	registry->connectors[my_slot].is_tables_changed = true;
	if (registry->connectors[my_slot].latch != nullptr)
		SetLatch(registry->connectors[my_slot].latch);
	LWLockRelease(registry->lock);
}

void
set_table_wait(int64 table_id, const char *text_form)
{
	TableWait *place = nullptr;
	TableWait *unused = nullptr;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < registry->ncopies; i++)
	{
		TableWait &wait = registry->waits[i];

		if (wait.is_used && wait.database == MyDatabaseId && wait.table_id == table_id)
			place = &wait;
		else if (!wait.is_used && unused == nullptr)
			unused = &wait;
	}
	if (place == nullptr && text_form != nullptr)
		place = unused;
	if (place != nullptr)
	{
		place->is_used = text_form != nullptr;
		place->database = MyDatabaseId;
		place->table_id = table_id;
		keep_text(place->waiting_for, text_form);
	}
	LWLockRelease(registry->lock);
}

} // namespace worker
