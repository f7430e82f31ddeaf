/*
 * api/check_target_server.cpp
 *
 * Whether this server has room for one more connector.  See check.hpp.
 */
#include "api/check.hpp"

#include "base/role.hpp"
#include "base/settings.hpp"
#include "base/sql.hpp"

using namespace base;
using source::Check;
using source::CheckList;
using source::CheckStatus;

namespace api
{
namespace
{

constexpr int kDefaultProcesses = 5; /* a connector worker and the default of four copy workers */

} // namespace

void
check_target_server(CheckList *list)
{
	Role caller = become_extension();
	SqlScope scope = begin_sql();

	(void) run_sql(
		"SELECT current_setting('max_worker_processes')::int, "
		"(SELECT count(*)::int FROM pg_stat_activity WHERE backend_type NOT IN ('client backend', "
		"'autovacuum launcher', 'autovacuum worker', 'background writer', 'checkpointer', "
		"'archiver', 'startup', 'walreceiver', 'walsender', 'walwriter', 'walsummarizer', "
		"'slotsync worker', 'io worker')), "
		"coalesce(current_setting('max_active_replication_origins', true), "
		"current_setting('max_replication_slots'))::int, "
		"(SELECT count(*)::int FROM pg_replication_origin_status), "
		"(SELECT count(*)::int FROM livesync.connector), "
		"CASE WHEN current_setting('max_active_replication_origins', true) IS NULL "
		"THEN 'max_replication_slots' ELSE 'max_active_replication_origins' END, "
		"pg_is_in_recovery()");
	int most = get_int(0, 1);
	int free_processes = most - get_int(0, 2);
	int most_origins = get_int(0, 3);
	int free_origins = most_origins - get_int(0, 4);
	int connectors = get_int(0, 5);
	char *origin_setting = get_text(scope, 0, 6);
	bool standby = get_bool(0, 7);

	end_sql();
	restore_role(caller);
	if (standby)
		source::add_check(list, Check{"target primary", "target", CheckStatus::error,
									  "this server is a standby", "Work at its primary."});
	source::add_check(
		list, Check{"worker processes", "target",
					free_processes >= kDefaultProcesses ? CheckStatus::ok
					: free_processes >= 2				? CheckStatus::warning
														: CheckStatus::error,
					psprintf("%d free of max_worker_processes = %d", Max(free_processes, 0), most),
					free_processes >= kDefaultProcesses
						? nullptr
						: "Raise max_worker_processes here and restart: a connector needs 1, and 1 "
						  "for each of its copy_workers (4 unless given)."});
	source::add_check(
		list,
		Check{"origins", "target", free_origins > 0 ? CheckStatus::ok : CheckStatus::error,
			  psprintf("%d free of %s = %d", Max(free_origins, 0), origin_setting, most_origins),
			  free_origins > 0
				  ? nullptr
				  : psprintf("Raise %s here and restart: a connector needs 1.", origin_setting)});
	source::add_check(
		list, Check{"connectors", "target",
					connectors < settings::max_connectors ? CheckStatus::ok : CheckStatus::error,
					psprintf("%d in this database, livesync.max_connectors = %d in all", connectors,
							 settings::max_connectors),
					connectors < settings::max_connectors
						? nullptr
						: "Raise livesync.max_connectors here and restart."});
}

} // namespace api
