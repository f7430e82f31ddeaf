/*
 * state/ssh_key.cpp
 *
 * See ssh_key.hpp.
 */
#include "state/ssh_key.hpp"

using namespace base;

namespace state
{

SshKey *
load_ssh_key()
{
	SqlScope scope = begin_sql();
	SshKey *key = nullptr;

	if (run_sql("SELECT private_key, public_key FROM livesync.ssh_key") == 1)
	{
		key = (SshKey *) MemoryContextAlloc(scope.caller, sizeof(SshKey));
		key->private_key = get_text(scope, 0, 1);
		key->public_key = get_text(scope, 0, 2);
	}
	end_sql();
	return key;
}

bool
add_ssh_key(const char *private_key, const char *public_key)
{
	return run_alone("INSERT INTO livesync.ssh_key (private_key, public_key) VALUES ($1, $2) "
					 "ON CONFLICT DO NOTHING",
					 {text_value(private_key), text_value(public_key)}) == 1;
}

} // namespace state
