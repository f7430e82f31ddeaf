/*
 * source/connection_failure.cpp
 *
 * See connection_failure.hpp.
 *
 * Must not know: the connection string.  What libpq says about a failed attempt names host, port,
 * user and database, and never a password.
 */
#include "source/connection_failure.hpp"

namespace source
{
namespace
{

constexpr char kPoolerHint[] =
	"Give the address of the PostgreSQL server itself, usually port 5432: "
	"replication does not work through a connection pooler.";

struct Hint
{
	const char *symptom;
	const char *hint;
};

constexpr Hint kHints[] = {
	{"unsupported startup parameter", kPoolerHint},
	{"no pg_hba.conf entry",
	 "Allow this user from this host in pg_hba.conf at the source, and look whether it demands SSL."},
	{"password authentication failed", "Check user and password in the connection string."},
	{"no password supplied", "Put the password into the connection string or a user mapping."},
	{"could not translate host name", "Check the host name in the connection string; it is looked "
									  "up from this server, not from where you are."},
	{"Name or service not known", "Check the host name in the connection string; it is looked up "
								  "from this server, not from where you are."},
	{"Connection refused", "Check host and port, and that the source's listen_addresses lets this "
						   "server reach it."},
	{"No such file or directory", "Give a host: without one a socket on this machine is tried."},
	{"too many clients", "Free some connections at the source, or raise its max_connections."},
	{"remaining connection slots", "Free some connections at the source, or raise its "
								   "max_connections."},
	{"number of requested standby connections", "Raise max_wal_senders at the source."},
	{"invalid response to SSL negotiation", "Check host and port: what answers there is no "
											"PostgreSQL server."},
	{"SSL", "Check sslmode and the certificates named in the connection string."},
	{"permission denied for database",
	 "Run at the source: GRANT CONNECT ON DATABASE ... TO the user."},
	{"is not permitted to log in",
	 "Run at the source: ALTER ROLE ... LOGIN; or name another user."},
	{"starting up", "The source is starting; it is tried again."},
	{"shutting down", "The source is shutting down; it is tried again."},
	{"administratively prohibited", "Let the SSH server forward to this host and port: see "
									"AllowTcpForwarding and PermitOpen in its sshd_config."},
	{"open failed", "Check host and port of the source as the SSH server sees them."},
	{"does not exist", "Check the names of database and user in the connection string."},
};

const char *
find_hint(const ConnectFailure &failure)
{
	if (failure.needs_password)
		return "Put the password into the connection string or a user mapping.";
	for (const Hint &entry : kHints)
	{
		if (strstr(failure.text, entry.symptom) != nullptr)
			return entry.hint;
	}
	if (failure.timed_out)
		return "Check host and port, and whether a firewall drops the packets; connect_timeout in "
			   "the connection string sets how long to wait.";
	return nullptr;
}

} // namespace

void
note_failure(ConnectFailure *failure, PGconn *raw, int timeout_s)
{
	char *text = pchomp(PQerrorMessage(raw));

	if (timeout_s > 0)
	{
		const char *host = PQhost(raw);

		failure->timed_out = true;
		text = psprintf("connection to \"%s\", port %s: no answer within %d s",
						host == nullptr ? "" : host, PQport(raw), timeout_s);
	}
	failure->needs_password = PQconnectionNeedsPassword(raw);
	failure->text = failure->text == nullptr ? text : psprintf("%s\n%s", failure->text, text);
}

void
note_tunnel(ConnectFailure *failure, const char *said)
{
	if (said[0] != '\0')
		failure->text = psprintf("%s\nssh: %s", failure->text, said);
}

[[noreturn]] void
raise_connect_failure(const ConnectFailure &failure)
{
	const char *hint = find_hint(failure);

	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("could not connect to the source"),
					errdetail_internal("%s", failure.text), hint ? errhint("%s", hint) : 0));
}

[[noreturn]] void
raise_pooler()
{
	ereport(ERROR, (errcode(ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION),
					errmsg("the connection to the source goes through a connection pooler"),
					errhint("%s", kPoolerHint)));
}

} // namespace source
