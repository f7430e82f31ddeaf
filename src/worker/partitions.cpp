/*
 * worker/partitions.cpp
 *
 * See partitions.hpp.
 *
 * Surprising: what a look finds missing is not recorded.  It is missing until a new copy is there, which brings the record of
 * its own end; so whatever becomes of that copy, the next look finds it again.
 *
 * Surprising: a copy reads the partitions as they are, and may yet be wrong because of one that was away before it read anything:
 *
 *   the copy begins ─► row is changed ─► DETACH ─► row is changed again ─► ATTACH ─► plan, load ─► catch up
 *                      in the spool                no change brings that             has it        puts the former value over it
 *
 * So the note that the plan compares with is older than the position at which the copy begins: a partition that has changes in
 * the spool, and was away since, has another link than the note's.
 */
#include "worker/partitions.hpp"

#include "base/failpoint.hpp"
#include "source/partitions.hpp"
#include "state/event.hpp"
#include "state/partitions.hpp"

namespace worker
{
namespace
{

constexpr int kLookLockMs = 200;
constexpr int kAgainSeconds = 600; /* after a copy that could not be taken over */

/* Its first copy is whole, and nobody copies it again: the end of a copy looks for itself. */
bool
is_ours_to_look(const state::SyncedTable *table)
{
	return state::may_resync(table) &&
		   (table->came_from == state::TableState::streaming ||
			table->came_from == state::TableState::catching_up) &&
		   state::load_shadow(table->id, state::RowLock::none) == nullptr;
}

bool
was_not_resynced_lately(const ConnectorWorker *worker, const char *name)
{
	return base::run_alone("SELECT FROM livesync.event WHERE connector = $1 AND source_table = $2 "
						   "AND event = 'table_not_resynced' AND at > pg_catalog.clock_timestamp() "
						   "- pg_catalog.make_interval(secs => $3) LIMIT 1",
						   {base::text_value(worker->config->name), base::text_value(name),
							base::int_value(kAgainSeconds)}) > 0;
}

void
tell_truncated(const char *connector, const char *name, const source::PartitionLook &look)
{
	if (look.truncated != nullptr)
		state::record_event(
			connector, name, "partition_truncated",
			psprintf("%s; the rows that it had stay here until livesync.resync_table().",
					 look.truncated));
}

/* With all events of it. */
void
tell(const ConnectorWorker *worker, const char *name, const source::PartitionLook &look)
{
	tell_truncated(worker->config->name, name, look);
	if (look.came != nullptr)
		state::record_event(worker->config->name, name, "partition_added", look.came);
	if (look.gone != nullptr)
		state::record_event(
			worker->config->name, name, "partition_removed",
			psprintf("%s; the rows that it had stay here until livesync.resync_table().",
					 look.gone));
}

void
copy_again(ConnectorWorker *worker, const state::SyncedTable *table, const char *name,
		   const source::PartitionLook &look)
{
	if (!try_copy_again(worker, table))
		return;
	tell(worker, name, look);
	state::record_event(
		worker->config->name, name, "table_resync_wanted",
		psprintf("Attached at the source with rows that no change brings: %s.", look.attached));
}

void
accept(ConnectorWorker *worker, const state::SyncedTable *table, const char *name,
	   const source::PartitionLook &look)
{
	state::record_partitions(table->id, look.links);
	tell(worker, name, look);
	if (look.attached != nullptr)
		state::record_event(
			worker->config->name, name, "partition_not_copied",
			psprintf("The table is synced without copying, so rows that these had when they "
					 "were attached are not here: %s. livesync.resync_table() copies all.",
					 look.attached));
}

} // namespace

bool
try_copy_again(ConnectorWorker *worker, const state::SyncedTable *table)
{
	if (was_not_resynced_lately(worker, state::source_table_name(table)) ||
		!state::add_shadow(table->id))
		return false;
	worker->tables_changed = true;
	return true;
}

void
follow_partitions(ConnectorWorker *worker, const state::SyncedTable *table,
				  const source::PublishedTable &published)
{
	source::PartitionLook look;

	if (published.partitions == nullptr ||
		(table->partitions != nullptr && strcmp(table->partitions, published.partitions) == 0) ||
		!is_ours_to_look(table))
		return;

	/* of a table that is not copied nothing is known at first, and nothing was promised */
	char *links = state::load_partitions(table->id);

	if (links == nullptr)
	{
		state::record_partitions(table->id,
								 source::read_partition_links(worker->control, table->source_oid));
		return;
	}
	/* somebody works on the new partition, or on the table here: the next look */
	if (!source::try_look_at_partitions(worker->control, table->source_oid, links, kLookLockMs,
										&look))
		return;
	table = state::load_table(table->id, state::RowLock::try_update);
	if (table == nullptr || !is_ours_to_look(table))
		return;

	const char *name = state::source_table_name(table);

	base::failpoint("partitions_seen", name);
	if (look.attached != nullptr && table->copy_data)
		copy_again(worker, table, name, look);
	else
		accept(worker, table, name, look);
}

bool
restart_if_attached(const Copier *copier, const state::SyncedTable *table)
{
	if (state::has_chunk_of(table->id, table->generation, table->source_oid))
		return false; /* it is not partitioned */

	char *links = state::load_partitions(table->id);
	source::PartitionLook look;

	(void) source::try_look_at_partitions(copier->connection, table->source_oid,
										  links != nullptr ? links : "", 0, &look);
	if (look.attached != nullptr)
	{
		restart_table(
			copier, table,
			psprintf("A partition was attached at the source during the copy: %s.", look.attached));
		return true;
	}
	tell_truncated(copier->config->name, state::source_table_name(table), look);
	state::record_partitions(table->id, look.links);
	return false;
}

} // namespace worker
