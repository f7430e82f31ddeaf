/*
 * source/prerequisites.cpp
 *
 * See prerequisites.hpp.  One statement reads everything, then the checks follow in the order in
 * which one would mend things.
 */
#include "source/prerequisites.hpp"

#include "source/provider.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

enum Field
{
	kInRecovery,
	kWalLevel,
	kMaySlot,
	kFreeSlots,
	kMaxSlots,
	kFreeSenders,
	kMaxSenders,
	kMayCreate,
	kMissing,
	kUser,
	kDatabase,
};

/* In some places the right to replicate is membership of a role.  %1$s: publications; %2$s: such roles. */
constexpr char kSql[] = R"(
SELECT pg_is_in_recovery(), current_setting('wal_level'),
	(SELECT r.rolsuper OR r.rolreplication FROM pg_roles r WHERE r.rolname = current_user)
		OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = ANY (%2$s)
			AND pg_has_role(r.oid, 'member')),
	current_setting('max_replication_slots')::int
		- (SELECT count(*) FROM pg_replication_slots),
	current_setting('max_replication_slots'),
	current_setting('max_wal_senders')::int
		- (SELECT count(*) FROM pg_stat_get_wal_senders()),
	current_setting('max_wal_senders'),
	has_database_privilege(current_database(), 'CREATE'),
	(SELECT string_agg(quote_ident(n.name), ', ' ORDER BY n.name)
		FROM unnest(%1$s) n(name)
		WHERE NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = n.name)),
	current_user, current_database())";

void
check_version(const Connection *connection)
{
	int version = connection->server_version;

	if (version < 130000)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the source is too old"),
						errdetail("It is PostgreSQL %d; 13 or later is needed.", version / 10000),
						errhint("Upgrade the source, or copy it by other means.")));
}

void
check_server(const PGresult *result)
{
	if (get_bool(result, 0, kInRecovery))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the source is a standby"),
						errdetail("A standby does not know the locks of its primary, which the "
								  "copy of live tables needs."),
						errhint("Give the address of the primary.")));
	if (strcmp(PQgetvalue(result, 0, kWalLevel), "logical") != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("wal_level at the source is not logical"),
						errdetail("It is \"%s\".", PQgetvalue(result, 0, kWalLevel)),
						errhint("Set wal_level = logical at the source and restart it.  On Amazon "
								"RDS set rds.logical_replication = 1, on Google Cloud SQL "
								"cloudsql.logical_decoding = on.")));
}

void
check_slot(const PGresult *result)
{
	if (!get_bool(result, 0, kMaySlot))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("user \"%s\" may not replicate from the source",
							   PQgetvalue(result, 0, kUser)),
						errdetail("It is no superuser and has not the REPLICATION attribute."),
						errhint("Run at the source: ALTER ROLE %s REPLICATION.  On Amazon RDS: "
								"GRANT rds_replication TO %s.",
								quote_identifier(PQgetvalue(result, 0, kUser)),
								quote_identifier(PQgetvalue(result, 0, kUser)))));
	if (get_int64(result, 0, kFreeSlots) <= 0)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("the source has no free replication slot"),
						errdetail("All of max_replication_slots = %s are in use.",
								  PQgetvalue(result, 0, kMaxSlots)),
						errhint("Drop a slot that is not needed, or raise max_replication_slots at "
								"the source and restart it.")));
	if (get_int64(result, 0, kFreeSenders) <= 0)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("the source has no free walsender"),
						errdetail("All of max_wal_senders = %s are in use.",
								  PQgetvalue(result, 0, kMaxSenders)),
						errhint("Raise max_wal_senders at the source and restart it.")));
}

} // namespace

void
check_prerequisites(Connection *connection, int npublications, const char *const *publications,
					bool needs_slot)
{
	check_version(connection);

	bool named = publications != nullptr && npublications > 0;
	PGresult *result =
		query(connection, psprintf(kSql, array_literal(named ? npublications : 0, publications),
								   kReplicationRoles));

	check_server(result);
	if (needs_slot)
		check_slot(result);
	if (!is_null(result, 0, kMissing))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("publications do not exist at the source: %s",
							   PQgetvalue(result, 0, kMissing)),
						errdetail("They were looked for in database \"%s\".",
								  PQgetvalue(result, 0, kDatabase)),
						errhint("Create them there, or correct the names; upper and lower case "
								"matter.")));
	if (!named && !get_bool(result, 0, kMayCreate))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("user \"%s\" may not create a publication at the source",
							   PQgetvalue(result, 0, kUser)),
						errhint("Run at the source: GRANT CREATE ON DATABASE %s TO %s.  Or have a "
								"publication created there and name it in the call.",
								quote_identifier(PQgetvalue(result, 0, kDatabase)),
								quote_identifier(PQgetvalue(result, 0, kUser)))));
}

bool
is_this_database(Connection *connection)
{
	/* a standby that was promoted has our system identifier too, but not our start time */
	PGresult *result =
		query(connection,
			  "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, d.oid "
			  "FROM pg_database d WHERE d.datname = current_database()");
	int64 started = get_int64(result, 0, 0);
	int64 epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	return started == PgStartTime + epoch && get_oid(result, 0, 1) == MyDatabaseId;
}

} // namespace source
