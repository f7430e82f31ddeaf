/*
 * source/provider.cpp
 *
 * See provider.hpp.
 */
#include "source/provider.hpp"

namespace source
{
namespace
{

constexpr Provider kProviders[] = {
	{"rds_superuser", "Amazon RDS or Aurora",
	 "Set rds.logical_replication = 1 in the parameter group (of the cluster for Aurora) and reboot "
	 "the instance.",
	 "Run at the source: GRANT rds_replication TO %s;"},
	{"cloudsqlsuperuser", "Google Cloud SQL",
	 "Set the flag cloudsql.logical_decoding = on; the instance restarts.",
	 "Run at the source, as a member of cloudsqlsuperuser: ALTER ROLE %s REPLICATION;"},
	{"alloydbsuperuser", "Google AlloyDB",
	 "Set the flag alloydb.logical_decoding = on; the instance restarts.",
	 "Run at the source, as a member of alloydbsuperuser: ALTER ROLE %s REPLICATION;"},
	{"azure_pg_admin", "Azure Database for PostgreSQL",
	 "Set the server parameter wal_level = logical and restart the server.",
	 "Run at the source, as the server's administrator: ALTER ROLE %s REPLICATION;"},
	{"neon_superuser", "Neon",
	 "Enable logical replication in the project's settings; its computes restart.",
	 "Use a role that was made in the console, or run at the source as one: ALTER ROLE %s "
	 "REPLICATION;"},
};

} // namespace

const char kProviderRoles[] = "'{rds_superuser,cloudsqlsuperuser,alloydbsuperuser,azure_pg_admin,"
							  "neon_superuser}'::name[]";

const char kReplicationRoles[] = "'{rds_replication,neon_superuser}'::name[]";

const Provider *
find_provider(const char *role)
{
	for (const Provider &provider : kProviders)
		if (strcmp(provider.role, role) == 0)
			return &provider;
	return nullptr;
}

} // namespace source
