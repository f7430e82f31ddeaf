/*
 * api/connector_arguments.cpp
 *
 * See connector_arguments.hpp.
 */
#include "api/connector_arguments.hpp"

#include "api/ssh_calls.hpp"
#include "source/prerequisites.hpp"

namespace api
{

void
check_copy_workers(int number)
{
	if (number < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("copy_workers must be at least 1")));
}

void
check_schema_changes(const char *policy)
{
	if (strcmp(policy, "follow") != 0 && strcmp(policy, "stop") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("schema_changes must be follow or stop")));
}

void
check_source_argument(const char *source)
{
	if (source == nullptr || source[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a connector must have a source"),
				 errhint("Give a connection string, as for psql, or the name of a foreign "
						 "server.")));
}

void
refuse_this_database(const state::Connector *connector, source::Connection *control)
{
	if (source::is_this_database(control))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the source of connector \"%s\" is this very database", connector->name),
				 errdetail("Each change that is applied would be another change to apply."),
				 errhint("Give the address and the database name of the source.")));
}

void
set_tunnel(state::Connector *connector, char *address)
{
	source::SshAccess access = ssh_access(address && address[0] != '\0' ? address : nullptr);

	connector->ssh_tunnel = const_cast<char *>(access.address);
	connector->ssh_known_hosts = nullptr;
	connector->ssh_private_key = const_cast<char *>(access.private_key);
}

} // namespace api
