/*
 * worker/open_target.cpp
 *
 * The target of a table that streams, open and as the source describes the table now.  See connector.hpp.
 */
#include "worker/connector.hpp"

#include "base/settings.hpp"
#include "base/subtransaction.hpp"
#include "worker/follow.hpp"

namespace worker
{
namespace
{

struct OpenTarget
{
	ConnectorWorker *worker;
	Route *route;
	const StreamRelation *relation;
	uint32 xid; /* of the first change it is opened for */
	wire::Lsn lsn;
	FollowResult followed;
};

void
follow_relation(void *argument)
{
	OpenTarget *it = (OpenTarget *) argument;
	FollowContext context{it->worker->config->name, it->worker->control, it->route->table};

	it->followed = follow_stream(context, it->relation, it->xid, it->lsn);
	if (it->followed == FollowResult::done)
		it->route->followed_version = it->relation->version;
}

void
open_target_of(void *argument)
{
	OpenTarget *it = (OpenTarget *) argument;

	(void) open_route_target(it->route, it->relation, TopMemoryContext);
}

} // namespace

target::TargetRelation *
ensure_target(ConnectorWorker *worker, Route *route)
{
	OpenTarget it{worker,
				  route,
				  find_relation(worker->routes, route->relid),
				  route->first != nullptr ? route->first->xid : worker->xid,
				  route->first != nullptr ? route->first->lsn : worker->commit_lsn,
				  FollowResult::done};
	const StreamRelation *relation = it.relation;

	begin_local(worker);
	if (relation == nullptr)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the source sent changes of table \"%s\" without describing it",
							   route->name)));
	if (route->target != nullptr && route->target_version == relation->version &&
		route->target_changes == target::definition_changes())
		return route->target;

	worker->open_targets += route->target == nullptr;
	int limit = base::begin_lock_limit(base::settings::lock_timeout_ms);
	ErrorData *error = nullptr;

	if (route->followed_version != relation->version)
	{
		error = base::run_in_subtransaction(follow_relation, &it);
		/* what came before has to be committed, then it stops: replaying the spool can do that */
		if ((error != nullptr && !base::is_lock_timeout(error)) ||
			it.followed == FollowResult::again_later)
			begin_table_catch_up(worker, route, worker->commit_lsn);
	}
	if (error == nullptr && it.followed == FollowResult::done)
		error = base::run_in_subtransaction(open_target_of, &it);
	base::end_lock_limit(limit);
	if (error != nullptr)
		set_table_apart(worker, route, error, worker->commit_lsn);
	if (it.followed == FollowResult::copy_again)
		begin_table_anew(worker, route);
	check_target_format(worker, route);
	return route->target;
}

} // namespace worker
