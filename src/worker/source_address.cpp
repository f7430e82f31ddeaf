/*
 * worker/source_address.cpp
 *
 * See source_address.hpp.
 */
#include "worker/source_address.hpp"

#include "state/event.hpp"

namespace worker
{

void
keep_host_key(state::Connector *connector, const source::Connection *connection)
{
	if (connector->ssh_tunnel == nullptr || connector->ssh_known_hosts != nullptr)
		return;
	const char *key = source::accepted_host_key(connection);

	if (key == nullptr || key[0] == '\0')
		return;
	connector->ssh_known_hosts =
		MemoryContextStrdup(GetMemoryChunkContext(connector->name), psprintf("%s\n", key));
	state::record_ssh_host(connector->id, connector->ssh_known_hosts);
	state::record_event(connector->name, nullptr, "ssh_host_key_accepted", key);
}

} // namespace worker
