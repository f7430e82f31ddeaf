/*
 * source/credentials.cpp
 *
 * See credentials.hpp.
 */
#include "source/credentials.hpp"

namespace source
{
namespace
{

/* They name a file that libpq would open as the server's user, or lend the server's own ticket. */
constexpr const char *kServersOwn[] = {"passfile",		"service",		"servicefile", "sslcert",
									   "sslkey",		"sslrootcert",	"sslcrl",	   "sslcrldir",
									   "sslkeylogfile", "gssdelegation"};

bool
is_empty(const char *value)
{
	return value == nullptr || value[0] == '\0';
}

} // namespace

void
refuse_servers_own(const Parameters &parameters)
{
	for (const char *option : kServersOwn)
		if (!is_empty(get_parameter(parameters, option)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set connection option \"%s\"", option),
					 errdetail("Only a superuser may let a connection use files or tickets of "
							   "this server."),
					 errhint("Leave it out, or have a superuser create a foreign server with it "
							 "and give its name as the source.")));
}

void
require_password(const Parameters &parameters)
{
	if (is_empty(get_parameter(parameters, "password")))
		ereport(ERROR,
				(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
				 errmsg("a password is required to connect to the source"),
				 errdetail("The owner of the connector is no superuser, and so must not be let in "
						   "for what this server has or is."),
				 errhint("Put a password into the connection string, or better into a user mapping "
						 "of a foreign server.")));
}

void
require_password_used(PGconn *raw)
{
	if (!PQconnectionUsedPassword(raw))
		ereport(ERROR,
				(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
				 errmsg("the source did not ask for a password"),
				 errdetail("The owner of the connector is no superuser, and so must not be let in "
						   "for what this server has or is."),
				 errhint("Change the authentication method in pg_hba.conf of the source to "
						 "scram-sha-256.")));
}

} // namespace source
