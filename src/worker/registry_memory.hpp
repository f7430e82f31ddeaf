/*
 * worker/registry_memory.hpp
 *
 * The layout of the shared memory, for the files that implement registry.hpp and nobody else.
 */
#pragma once

#include "worker/registry.hpp"

namespace worker
{

struct Registry
{
	LWLock *lock; /* protects everything below */
	Latch *launcher;
	int nconnectors;
	int ncopies;
	ConnectorEntry *connectors;
	CopyEntry *copies;
	TableWait *waits; /* as many as copies */
};

extern Registry *registry; /* nullptr: not preloaded */

/* These need the lock. */
int find_connector(Oid database, int connector_id);		   /* -1: none */
int find_or_add_connector(Oid database, int connector_id); /* -1: no place */
TimestampTz delayed_time(int failures); /* when to try again after so many failures in a row */
void delay_restart(ConnectorEntry *entry);
void wake_launcher();

} // namespace worker
