/*
 * base/settings.cpp
 *
 * Definitions of the settings.  See settings.hpp.
 */
#include "base/settings.hpp"

namespace base::settings
{

int chunk_size_kb = 64 * 1024;
int batch_rows = 20000;
int batch_kb = 8 * 1024;
int batch_delay_ms = 200;
int poll_interval_ms = 2000;
int lock_timeout_ms = 10000;
int source_timeout_ms = 30000;
int retry_delay_ms = 1000;
int max_connectors = 64;
int max_events = 10000;
int sequence_interval_ms = 0;
char *ssh_program = nullptr;
bool create_indexes = true;
bool binary_values = true;
bool failover_slots = true;
int copy_rate_kb = 0;
char *failpoints = nullptr;

namespace
{

void
define_integer(const char *name, const char *description, const char *detail, int *variable,
			   int initial, int lowest, int highest, GucContext context, int flags)
{
	DefineCustomIntVariable(name, description, detail, variable, initial, lowest, highest, context,
							flags, nullptr, nullptr, nullptr);
}

} // namespace

void
define()
{
	define_integer("livesync.chunk_size",
				   "Size of the block range that one copy transaction reads.",
				   "A broken copy repeats at most one chunk for each worker.", &chunk_size_kb,
				   64 * 1024, 8, 64 * 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB);
	define_integer("livesync.batch_rows", "Most changes that are applied by one set of statements.",
				   nullptr, &batch_rows, 20000, 1, 10000000, PGC_SIGHUP, 0);
	define_integer("livesync.batch_bytes",
				   "Most bytes of changes that are held before they are applied.", nullptr,
				   &batch_kb, 8 * 1024, 1, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB);
	define_integer("livesync.batch_delay",
				   "Longest time that a received transaction waits for others to be applied with.",
				   "An idle stream is applied at once, whatever this is.", &batch_delay_ms, 200, 0,
				   60000, PGC_SIGHUP, GUC_UNIT_MS);
	define_integer("livesync.poll_interval",
				   "Time between two looks at the publications of a source.", nullptr,
				   &poll_interval_ms, 2000, 10, 3600000, PGC_SIGHUP, GUC_UNIT_MS);
	define_integer("livesync.lock_timeout",
				   "Longest wait for a lock on a target table while applying changes.",
				   "Then the table is set apart until the lock is free, and the others go on. "
				   "0 waits without end.",
				   &lock_timeout_ms, 10000, 0, 3600000, PGC_SIGHUP, GUC_UNIT_MS);
	define_integer(
		"livesync.source_timeout",
		"Longest silence of a source before a second connection asks whether it is there.",
		"When that gets no answer within its connect_timeout, the first is given up. "
		"0 leaves it to the keepalives of TCP.",
		&source_timeout_ms, 30000, 0, 3600000, PGC_SIGHUP, GUC_UNIT_MS);
	define_integer("livesync.retry_delay", "First delay before a stopped worker is started again.",
				   "It doubles with each failure in a row, up to 60 s.", &retry_delay_ms, 1000, 10,
				   60000, PGC_SIGHUP, GUC_UNIT_MS);
	define_integer("livesync.max_connectors", "Most connectors in all databases of this server.",
				   nullptr, &max_connectors, 64, 1, 10000, PGC_POSTMASTER, 0);
	define_integer("livesync.max_events", "Most events that a database keeps.",
				   "The oldest are removed, about once a minute. 0 keeps all.", &max_events, 10000,
				   0, 1000000000, PGC_SIGHUP, 0);
	define_integer("livesync.sequence_interval",
				   "Time after which the sequences of synced columns are brought up to date.",
				   "0 leaves them to livesync.sync_sequences().", &sequence_interval_ms, 0, 0,
				   86400000, PGC_SIGHUP, GUC_UNIT_MS);
	DefineCustomStringVariable("livesync.ssh_program", "OpenSSH's client, for tunnels.",
							   "Without a path it is looked for in the usual places.", &ssh_program,
							   "ssh", PGC_SIGHUP, GUC_SUPERUSER_ONLY, nullptr, nullptr, nullptr);
	define_integer("livesync.copy_rate",
				   "Most data that a connector copies in a second, all its copy workers together.",
				   "For a source or a network that must not be busy with it. 0 is no limit. "
				   "A chunk that is being copied goes on as it began.",
				   &copy_rate_kb, 0, 0, INT_MAX / 2, PGC_SIGHUP, GUC_UNIT_KB);
	DefineCustomBoolVariable(
		"livesync.create_indexes",
		"A table that is created here gets all indexes of its source, not just the key's.",
		"They are built after the load. Foreign keys and triggers are never brought.",
		&create_indexes, true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
	DefineCustomBoolVariable(
		"livesync.binary_values",
		"Copies and streams bring values in binary form, where that is sure to mean the same here.",
		"A stream is asked for it when it begins, and a table when its copy does.", &binary_values,
		true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
	DefineCustomBoolVariable(
		"livesync.failover_slots",
		"Standbys of a source may take over the slot, where the source (17 or later) has that.",
		"Those with sync_replication_slots do, and a connector goes on with a promoted one. "
		"A connection that begins makes the slot what this says.",
		&failover_slots, true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
	DefineCustomStringVariable(
		"livesync.failpoints", "Places where workers stop or fail, for tests of the extension.",
		"A comma-separated list of name[/schema.table]=wait|error|crash.", &failpoints, "",
		PGC_SIGHUP, GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL | GUC_SUPERUSER_ONLY, nullptr, nullptr,
		nullptr);
	MarkGUCPrefixReserved("livesync");
}

int
max_places()
{
	return max_connectors * 2;
}

int
max_copy_processes()
{
	return max_connectors * 4;
}

} // namespace base::settings
