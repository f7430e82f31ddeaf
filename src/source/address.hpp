/*
 * source/address.hpp
 *
 * From what a connector has as its source to libpq's parameters, on behalf of its owner.
 *
 * In: an Address.  Out: parameters that its user may use, and whether he has to prove himself by
 * their password.  Looked up anew for each connection.
 */
#pragma once

#include "source/connection_string.hpp"

namespace source
{

struct ResolvedAddress
{
	Parameters parameters;
	bool needs_password;
};

/* ERROR when it is wrong, or more than its user may use. */
ResolvedAddress resolve_address(const Address &address);

} // namespace source
