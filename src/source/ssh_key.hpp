/*
 * source/ssh_key.hpp
 *
 * Makes the key pair by which we show ourselves to SSH servers.
 */
#pragma once

#include "base/pg.hpp"

namespace source
{

struct SshKeyPair
{
	char *private_key;
	char *public_key; /* one line, as authorized_keys has it */
};

/* By the program ssh-keygen; ERROR when it is not there. */
SshKeyPair make_ssh_key_pair();

} // namespace source
