/*
 * source/check_server.cpp
 *
 * The source server as a whole.  See check.hpp.
 *
 * One statement reads everything; the findings follow in the order in which one would mend things.
 */
#include "source/check.hpp"

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
	kUser,
	kDatabase,
	kSuper,
	kReplication,
	kReplicationRole,
	kFreeSlots,
	kMaxSlots,
	kFreeSenders,
	kMaxSenders,
	kFreeConnections,
	kMaxConnections,
	kEncoding,
	kSenderTimeout,
	kSlotKeep,
	kIdleSlot,
	kProvider,
	kVersion,
};

/* %1$s: roles that give the right to replicate; %2$s: roles that tell the provider. */
constexpr char kSql[] = R"(
SELECT pg_is_in_recovery(), current_setting('wal_level'), current_user, current_database(),
	r.rolsuper, r.rolreplication,
	(SELECT min(x.rolname) FROM pg_roles x WHERE x.rolname = ANY (%1$s)
		AND pg_has_role(x.oid, 'member')),
	current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots),
	current_setting('max_replication_slots'),
	current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_get_wal_senders()),
	current_setting('max_wal_senders'),
	least(current_setting('max_connections')::int
			- current_setting('superuser_reserved_connections')::int
			- (SELECT sum(d.numbackends) FROM pg_stat_database d),
		CASE WHEN r.rolconnlimit >= 0 THEN r.rolconnlimit
			- (SELECT count(*) FROM pg_stat_activity a WHERE a.usename = current_user) END)::bigint,
	current_setting('max_connections'),
	getdatabaseencoding(), current_setting('wal_sender_timeout'),
	current_setting('max_slot_wal_keep_size'),
	current_setting('idle_replication_slot_timeout', true),
	(SELECT min(x.rolname) FROM pg_roles x WHERE x.rolname = ANY (%2$s)),
	current_setting('server_version')
FROM pg_roles r WHERE r.rolname = current_user)";

/*
 * Up to these minors a table that is added to a publication while a transaction writes to it could
 * stay unknown to a running walsender.
 */
constexpr int kFirstFixed[] = {130021, 140018, 150013, 160009, 170005};

void
add(CheckList *list, const char *name, CheckStatus status, const char *detail,
	const char *hint = nullptr)
{
	add_check(list, Check{name, nullptr, status, detail, hint});
}

/* nullptr: nobody's cloud. */
const Provider *
provider_of(const PGresult *result)
{
	return find_provider(PQgetvalue(result, 0, kProvider));
}

void
check_version(CheckList *list, const PGresult *result, int version)
{
	const char *detail = psprintf("PostgreSQL %s", PQgetvalue(result, 0, kVersion));

	for (int fixed : kFirstFixed)
	{
		if (version / 10000 == fixed / 10000 && version < fixed)
			return add(list, "version", CheckStatus::warning, detail,
					   psprintf("Update the source to %d.%d or later: older minor releases can "
								"miss changes of a table that is published while it is written to. "
								"The connector works around it.",
								fixed / 10000, fixed % 10000));
	}
	if (version < 130000)
		return add(list, "version", CheckStatus::error, detail,
				   "Upgrade the source to PostgreSQL 13 or later, or copy it by other means.");
	add(list, "version", CheckStatus::ok, detail);
}

bool
is_local(const PGconn *raw)
{
	const char *host = PQhost(raw);

	return host == nullptr || host[0] == '\0' || host[0] == '/' || host[0] == '@' ||
		   strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
		   strcmp(host, "::1") == 0;
}

void
check_tls(CheckList *list, PGconn *raw)
{
	if (PQsslInUse(raw) == 1)
		return add(list, "tls", CheckStatus::ok,
				   psprintf("encrypted with %s", PQsslAttribute(raw, "protocol")));
	if (is_local(raw))
		return add(list, "tls", CheckStatus::ok, "not encrypted, within one machine");
	add(list, "tls", CheckStatus::warning, "the connection is not encrypted",
		"Set ssl = on at the source and add sslmode=verify-full with sslrootcert, or at least "
		"sslmode=require, to the connection string.");
}

const char *
wal_level_hint(const PGresult *result)
{
	const Provider *provider = provider_of(result);

	if (provider != nullptr)
		return psprintf("On %s: %s", provider->name, provider->wal_level);
	return "Run at the source: ALTER SYSTEM SET wal_level = logical; then restart it.";
}

void
check_wal(CheckList *list, const PGresult *result)
{
	const char *level = PQgetvalue(result, 0, kWalLevel);
	bool standby = get_bool(result, 0, kInRecovery);

	add(list, "primary", standby ? CheckStatus::error : CheckStatus::ok,
		standby ? "the source is a standby, which does not know the locks of its primary"
				: "the source is no standby",
		standby ? "Give the address of the primary." : nullptr);
	if (strcmp(level, "logical") == 0)
		add(list, "wal_level", CheckStatus::ok, "logical");
	else
		add(list, "wal_level", CheckStatus::error, psprintf("it is %s", level),
			wal_level_hint(result));
}

void
check_free(CheckList *list, const PGresult *result, const char *name, Field free_field,
		   Field most_field, const char *setting, int64 wanted, CheckStatus otherwise)
{
	int64 free_places = get_int64(result, 0, free_field);
	bool enough = free_places >= wanted;

	add(list, name, enough ? CheckStatus::ok : otherwise,
		psprintf(INT64_FORMAT " free of %s", Max(free_places, (int64) 0),
				 PQgetvalue(result, 0, most_field)),
		enough
			? nullptr
			: psprintf(
				  "Free some, or raise %s at the source and restart it.  A connector needs " INT64_FORMAT
				  ".",
				  setting, wanted));
}

const char *
replication_hint(const PGresult *result)
{
	const char *user = quote_identifier(PQgetvalue(result, 0, kUser));
	const Provider *provider = provider_of(result);

	if (provider != nullptr)
		return psprintf(provider->replication, user);
	return psprintf("Run at the source: ALTER ROLE %s REPLICATION;", user);
}

bool
check_replication_right(CheckList *list, const PGresult *result)
{
	const char *user = PQgetvalue(result, 0, kUser);
	const char *by = get_bool(result, 0, kSuper)		 ? "is superuser"
					 : get_bool(result, 0, kReplication) ? "has the REPLICATION attribute"
					 : !is_null(result, 0, kReplicationRole)
						 ? psprintf("is member of %s", PQgetvalue(result, 0, kReplicationRole))
						 : nullptr;

	if (by != nullptr)
		add_check(list, Check{"replication right", user, CheckStatus::ok, psprintf("it %s", by),
							  nullptr});
	else
		add_check(list, Check{"replication right", user, CheckStatus::error,
							  "it is no superuser and has not the REPLICATION attribute",
							  replication_hint(result)});
	return by != nullptr;
}

void
check_encoding(CheckList *list, const PGresult *result)
{
	const char *theirs = PQgetvalue(result, 0, kEncoding);
	const char *ours = GetDatabaseEncodingName();
	char *detail = psprintf("%s at the source, %s here", theirs, ours);

	if (strcmp(theirs, ours) == 0 && strcmp(ours, "SQL_ASCII") != 0)
		return add(list, "encoding", CheckStatus::ok, detail);
	if (strcmp(theirs, "SQL_ASCII") == 0 || strcmp(ours, "SQL_ASCII") == 0)
		return add(list, "encoding", CheckStatus::warning, detail,
				   "SQL_ASCII says nothing of what the bytes mean, so they are not converted: make "
				   "sure that they are valid in the other encoding.");
	if (GetDatabaseEncoding() == PG_UTF8)
		return add(list, "encoding", CheckStatus::ok, psprintf("%s: text is converted", detail));
	add(list, "encoding", CheckStatus::warning, detail,
		"A character that the target's encoding lacks stops its table when it is copied, and the "
		"connector when it is streamed: create the target database with ENCODING 'UTF8'.");
}

void
check_settings(CheckList *list, const PGresult *result)
{
	const char *keep = PQgetvalue(result, 0, kSlotKeep);

	add(list, "wal_sender_timeout", CheckStatus::ok,
		psprintf("%s; the connector's own session uses 5min",
				 PQgetvalue(result, 0, kSenderTimeout)));
	if (strcmp(keep, "-1") == 0)
		add(list, "max_slot_wal_keep_size", CheckStatus::ok,
			"no limit: the source keeps WAL for as long as a connector is away, so watch its disk");
	else
		add(list, "max_slot_wal_keep_size", CheckStatus::warning,
			psprintf("a connector that is more than %s behind loses its slot and must start over",
					 keep),
			"Set it to -1, or to more WAL than the source writes in the longest interruption that "
			"you expect.");
	/* from 18 on */
	const char *idle = PQgetvalue(result, 0, kIdleSlot);

	if (idle[0] != '\0' && strcmp(idle, "0") != 0)
		add(list, "idle_replication_slot_timeout", CheckStatus::warning,
			psprintf("a connector that is away or paused for %s loses its slot and must start over",
					 idle),
			"Set it to 0, or to more than the longest interruption that you expect.");
}

} // namespace

ServerFacts
check_server(CheckList *list, Connection *connection)
{
	PGresult *result = query(connection, psprintf(kSql, kReplicationRoles, kProviderRoles));
	ServerFacts facts{};

	add(list, "direct connection", CheckStatus::ok, "no connection pooler is in between");
	check_version(list, result, connection->server_version);
	check_tls(list, connection->raw);
	check_wal(list, result);
	check_free(list, result, "replication slots", kFreeSlots, kMaxSlots, "max_replication_slots", 1,
			   CheckStatus::error);
	check_free(list, result, "wal senders", kFreeSenders, kMaxSenders, "max_wal_senders", 1,
			   CheckStatus::error);
	/* control, stream and the default of four copy workers */
	check_free(list, result, "connections", kFreeConnections, kMaxConnections, "max_connections", 6,
			   CheckStatus::warning);
	facts.is_superuser = get_bool(result, 0, kSuper);
	facts.may_replicate =
		check_replication_right(list, result) && get_int64(result, 0, kFreeSenders) > 0;
	check_encoding(list, result);
	check_settings(list, result);
	return facts;
}

} // namespace source
