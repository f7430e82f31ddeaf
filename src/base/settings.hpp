/*
 * base/settings.hpp
 *
 * The settings (GUCs) of the extension, all named livesync.*.  Each is described where it is
 * defined, in settings.cpp; the description is what `pg_settings` shows.
 */
#pragma once

#include "base/pg.hpp"

namespace base::settings
{

extern int chunk_size_kb;		 /* livesync.chunk_size */
extern int batch_rows;			 /* livesync.batch_rows */
extern int batch_kb;			 /* livesync.batch_bytes */
extern int batch_delay_ms;		 /* livesync.batch_delay */
extern int poll_interval_ms;	 /* livesync.poll_interval */
extern int lock_timeout_ms;		 /* livesync.lock_timeout */
extern int source_timeout_ms;	 /* livesync.source_timeout */
extern int retry_delay_ms;		 /* livesync.retry_delay */
extern int max_connectors;		 /* livesync.max_connectors */
extern int max_events;			 /* livesync.max_events */
extern int sequence_interval_ms; /* livesync.sequence_interval */
extern int copy_rate_kb;		 /* livesync.copy_rate, in a second */
extern bool create_indexes;		 /* livesync.create_indexes */
extern bool binary_values;		 /* livesync.binary_values */
extern bool failover_slots;		 /* livesync.failover_slots */
extern char *ssh_program;		 /* livesync.ssh_program */
extern char *failpoints;		 /* livesync.failpoints */

void define();

/* Connectors, and as many workers that clean up after dropped ones. */
int max_places();

/* How many processes of ours can run at once: two for each connector, and copy workers. */
int max_copy_processes();

} // namespace base::settings
