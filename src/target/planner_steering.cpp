/*
 * target/planner_steering.cpp
 *
 * See planner_steering.hpp.
 */
#include "target/planner_steering.hpp"

namespace target
{
namespace
{

struct Ways
{
	bool sequential_scans;
	bool hash_joins;
	bool merge_joins;
};

const char *steered_text = nullptr; /* by its address: that of the plan's own copy */
Ways steered_ways;
bool is_installed = false;
planner_hook_type next_planner = nullptr;

Ways
set_ways(const Ways &ways)
{
	Ways before{enable_seqscan, enable_hashjoin, enable_mergejoin};

	enable_seqscan = ways.sequential_scans;
	enable_hashjoin = ways.hash_joins;
	enable_mergejoin = ways.merge_joins;
	return before;
}

PlannedStmt *
plan_with_next(Query *query, const char *text, int options, ParamListInfo parameters)
{
	return next_planner != nullptr ? next_planner(query, text, options, parameters)
								   : standard_planner(query, text, options, parameters);
}

PlannedStmt *
plan_steered(Query *query, const char *text, int options, ParamListInfo parameters)
{
	PlannedStmt *volatile planned = nullptr;

	if (text != steered_text)
		return plan_with_next(query, text, options, parameters);

	Ways before = set_ways(steered_ways);

	PG_TRY();
	{
		planned = plan_with_next(query, text, options, parameters);
	}
	PG_FINALLY();
	{
		(void) set_ways(before);
	}
	PG_END_TRY();
	return planned;
}

} // namespace

void
steer_planner(const TargetRelation *relation, SPIPlanPtr plan)
{
	bool may_walk = !relation->has_index;

	if (!is_installed)
	{
		next_planner = planner_hook;
		planner_hook = plan_steered;
		is_installed = true;
	}
	steered_text = ((CachedPlanSource *) linitial(SPI_plan_get_plan_sources(plan)))->query_string;
	steered_ways = Ways{may_walk, may_walk || relation->hypertable != nullptr, may_walk};
}

} // namespace target
