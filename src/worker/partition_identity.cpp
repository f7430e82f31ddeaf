/*
 * worker/partition_identity.cpp
 *
 * See partition_identity.hpp.
 *
 * Surprising: one query looks at all roots, at each look.  Nothing tells that the identity of a partition has changed, and to
 * be late by one look is to lose the changes of that time.
 */
#include "worker/partition_identity.hpp"

#include "base/subtransaction.hpp"
#include "source/partition_identity.hpp"

namespace worker
{
namespace
{

struct RaiseStep
{
	const source::OddPartition *odd;
	const char *table;
};

void
raise_step(void *argument)
{
	const RaiseStep *step = (const RaiseStep *) argument;

	source::raise_odd_partition(
		*step->odd, step->table,
		"livesync.resync_table(), as changes may have been missed meanwhile");
}

/* One that is copied fails when that is done, one that is to be copied when it begins. */
bool
is_applied_to(const state::SyncedTable *table)
{
	return table->state == state::TableState::streaming ||
		   table->state == state::TableState::catching_up;
}

void
fail(ConnectorWorker *worker, const Route *route, const source::OddPartition &odd)
{
	RaiseStep step{&odd, route->name};
	/* somebody works on it: the next look */
	const state::SyncedTable *table =
		is_applied_to(route->table)
			? state::load_table(route->table->id, state::RowLock::try_update)
			: nullptr;

	if (table == nullptr || !is_applied_to(table))
		return;
	mark_table_failed(worker->config->name, table->id, route->name,
					  base::run_in_subtransaction(raise_step, &step), worker->applied);
	worker->tables_changed = true;
}

/* As far as it is known. */
bool
has_key(const Route *route)
{
	return route->target == nullptr || (route->target->nkeys > 0 && !route->target->borrows_keys);
}

} // namespace

void
follow_partition_identities(ConnectorWorker *worker, const source::PublishedTables &published)
{
	Oid *roots = (Oid *) palloc(sizeof(Oid) * (published.count + 1));
	int count = 0;

	for (int i = 0; i < published.count; i++)
		if (published.tables[i].kind == RELKIND_PARTITIONED_TABLE &&
			published.tables[i].sends_changes &&
			find_route(worker->routes, published.tables[i].oid) != nullptr)
			roots[count++] = published.tables[i].oid;

	source::OddPartitions odd = source::find_odd_partitions(worker->control, count, roots);

	for (int i = 0; i < count; i++)
	{
		Route *route = find_route(worker->routes, roots[i]);
		const source::OddPartition *it = source::find_odd_partition(odd, roots[i], has_key(route));

		route->has_odd_partition = it != nullptr;
		if (it != nullptr)
			fail(worker, route, *it);
	}
}

} // namespace worker
