/*
 * api/ssh_calls.cpp
 *
 * livesync.ssh_public_key(), and the right to use it.  See ssh_calls.hpp.
 */
#include "api/ssh_calls.hpp"

#include "base/role.hpp"
#include "source/ssh_address.hpp"
#include "source/ssh_key.hpp"
#include "state/ssh_key.hpp"
#include "worker/registry.hpp"

namespace api
{
namespace
{

state::SshKey *
read_key()
{
	base::Role caller = base::become_extension();
	state::SshKey *key = state::load_ssh_key();

	base::restore_role(caller);
	return key;
}

/* When two sessions make it at once, the later one waits for the first and takes over its key. */
void
make_key()
{
	source::SshKeyPair pair = source::make_ssh_key_pair();
	base::Role caller = base::become_extension();

	(void) state::add_ssh_key(pair.private_key, pair.public_key);
	base::restore_role(caller);
}

} // namespace

source::SshAccess
ssh_access(const char *address)
{
	if (address == nullptr)
		return {};
	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to use an SSH tunnel"),
						errdetail("Only a superuser may set \"ssh_tunnel\": the key by which this "
								  "database shows itself opens whatever it was let in for."),
						errhint("Have a superuser set it, for a connector of yours.")));
	(void) source::parse_ssh_address(address);
	state::SshKey *key = read_key();

	return source::SshAccess{address, nullptr, key != nullptr ? key->private_key : nullptr};
}

} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_ssh_public_key);

PGDLLEXPORT Datum
livesync_ssh_public_key(PG_FUNCTION_ARGS)
{
	using namespace api;

	(void) fcinfo;
	worker::require_preloaded();
	if (read_key() == nullptr)
		make_key();
	state::SshKey *key = read_key();

	if (key == nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("another session has made the key pair just now"), errhint("Try again.")));
	PG_RETURN_TEXT_P(cstring_to_text(key->public_key));
}
}
