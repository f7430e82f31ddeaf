/*
 * worker/spooling.cpp
 *
 * Changes of tables that do not stream, into segments of their spools, in the local transaction.  See connector.hpp.
 */
#include "worker/connector.hpp"

#include "base/settings.hpp"
#include "state/spool.hpp"

namespace worker
{
namespace
{

constexpr int kSegmentBytes = 256 * 1024;

void
write_spool(Route *route)
{
	const state::SyncedTable *table = route->table;

	if (route->spool == nullptr || route->spool_changes == 0)
		return;
	/* one transaction may write any number of segments */
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "livesync segment", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	if (route->last_segment < 0)
		route->last_segment = state::last_segment(table->id, table->generation);
	state::write_segment(table->id, table->generation, ++route->last_segment, route->spool_changes,
						 route->spool);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	/* a kept buffer for each of many tables would be much */
	pfree(route->spool->data);
	pfree(route->spool);
	route->spool = nullptr;
	route->spool_changes = 0;
}

} // namespace

void
write_all_spools(ConnectorWorker *worker)
{
	for (Route *route = worker->routes->busy; route != nullptr; route = route->next_busy)
		write_spool(route);
	worker->spool_bytes = 0;
}

void
spool_change(ConnectorWorker *worker, Route *route, std::string_view raw, int changes)
{
	const StreamRelation *relation = find_relation(worker->routes, route->relid);
	wire::Lsn lsn = worker->commit_lsn;

	begin_local(worker);
	/* a huge one needs a segment for itself, which must not outgrow a value */
	if (raw.size() >= kSegmentBytes)
		write_spool(route);
	if (route->spool == nullptr)
	{
		MemoryContext old = MemoryContextSwitchTo(worker->routes->context);

		route->spool = makeStringInfo();
		MemoryContextSwitchTo(old);
		note_busy(worker->routes, route);
	}
	/* each segment can be read by itself */
	if (route->spool->len == 0 && relation != nullptr)
		state::append_entry(route->spool,
							{worker->xid, lsn, {relation->message, relation->message_size}});
	state::append_entry(route->spool, {worker->xid, lsn, raw});
	route->spool_changes += changes;
	worker->spool_bytes += raw.size();
	if (route->spool->len >= kSegmentBytes)
		write_spool(route);
	if (worker->spool_bytes >= (size_t) base::settings::batch_kb * 1024)
		write_all_spools(worker);
}

} // namespace worker
