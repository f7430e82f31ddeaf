/*
 * worker/source_address.hpp
 *
 * From what is recorded of a connector to where a connection goes.
 */
#pragma once

#include "source/connection.hpp"
#include "state/cleanup.hpp"
#include "state/connector.hpp"

namespace worker
{

/* Of a state::Connector or a state::Cleanup; lives as long as that. */
template <typename Recorded>
source::Address
address_of(const Recorded *it)
{
	return source::Address{
		it->source, it->owner, {it->ssh_tunnel, it->ssh_known_hosts, it->ssh_private_key}};
}

/* The first connection through an SSH server has seen its host key: from now on it must be that. Needs a transaction. */
void keep_host_key(state::Connector *connector, const source::Connection *connection);

} // namespace worker
