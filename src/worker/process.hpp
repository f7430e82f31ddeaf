/*
 * worker/process.hpp
 *
 * What all processes of ours share: how they are registered, how they begin, how they rest.
 */
#pragma once

#include "base/pg.hpp"

namespace worker
{

/* Register a dynamic worker; false: no place. `handle` may be nullptr. */
bool start_process(const char *type, const char *function, Datum argument, const void *extra,
				   size_t extra_size, BackgroundWorkerHandle **handle);

/*
 * Signals, connection to the database (InvalidOid: none) as the bootstrap superuser, and the session settings of all
 * our workers: replica role, pinned search_path, asynchronous commit.
 */
void begin_process(Oid database);

/* Wait on the latch, then see to interrupts and a changed configuration. */
void rest(long milliseconds);
void check_configuration();

} // namespace worker
