/*
 * api/ssh_calls.hpp
 *
 * What calls need that connect through an SSH server.
 *
 * Only superusers may say which: the key is that of the database, and an SSH server lets in whoever has it, also to what
 * somebody else was let in for.
 */
#pragma once

#include "source/connection.hpp"

namespace api
{

/* nullptr, or what is needed to go there; ERROR when it is no such address, or the current user may not. */
source::SshAccess ssh_access(const char *address);

} // namespace api
