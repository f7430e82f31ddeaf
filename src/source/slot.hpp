/*
 * source/slot.hpp
 *
 * The remote objects that a connector owns: its slot and, when the user named none, its
 * publication.  Everything here is idempotent, so that a crash between the remote command and our
 * own record of it is mended by doing it again.
 */
#pragma once

#include "source/connection.hpp"
#include "wire/lsn.hpp"

namespace source
{

struct SlotState
{
	bool exists;
	bool is_ours; /* logical, pgoutput, in this database */
	bool active;
	int active_pid;
	wire::Lsn confirmed_flush;
	wire::Lsn restart;
	bool lost;			/* its WAL is gone, or it is invalid for another reason */
	char *wal_status;	/* reserved, extended, unreserved, lost; "" when the source does not say */
	char *invalidation; /* why it is invalid, from source 17 on; or nullptr */
	char *inactive_since; /* from source 17 on, or nullptr */
	bool can_fail_over;	  /* the source, 17 or later, has failover slots */
	bool fails_over;	  /* standbys may take it over */
	int64 retained_bytes; /* WAL that the source keeps for it */
	int64 safe_bytes;	  /* WAL that may be written before it is in danger; -1: no limit */
};

SlotState read_slot(Connection *control, const char *slot_name);

/*
 * Make it a slot that standbys take over (sync_replication_slots), or not; over a replication connection that does not stream
 * yet.  False: somebody still uses the slot.
 */
bool try_set_failover(Connection *stream, const char *slot_name, bool wanted);

/*
 * Create the slot over a replication connection; returns the LSN from which it streams.  Waits for
 * all transactions that run at the source (the server does): on_wait(argument, text) is called about every
 * second with a description of who is waited for, read over `control`.  wants_failover: where the source has such slots.
 */
wire::Lsn create_slot(Connection *stream, Connection *control, const char *slot_name,
					  bool wants_failover, void (*on_wait)(void *argument, const char *text),
					  void *argument);

/* Drop it if it exists and is ours (pgoutput, this database).  Ends a stale walsender of it first. */
void drop_slot(Connection *control, const char *slot_name);

/*
 * Wait for the walsender of the connection before, which ends a moment after it; it is ended if nothing came from its other end
 * for livesync.source_timeout, as after a loss of the network.  Not for ever: somebody else may use the slot, then to start says so.
 */
void free_slot(Connection *control, const char *slot_name);

bool has_publication(Connection *control, const char *publication);

/*
 * The connector's own publication: of `tables` ('schema.table' or 'schema.*', already validated), or of every user
 * table when ntables is 0 (FOR ALL TABLES when the user may, else one by one).  Publishes insert,
 * update, delete, truncate.  False: one of that name exists and is not of this slot.
 */
bool try_make_publication(Connection *control, const char *publication, const char *slot_name,
						  int ntables, const char *const *tables);
/* ERROR that names those of `tables` which are not there, or cannot be published. */
void check_wanted_tables(Connection *control, int ntables, const char *const *tables);
/* Unless it was made for another slot, or by hand. */
void drop_publication(Connection *control, const char *publication, const char *slot_name);

/*
 * A single table of the connector's own publication.  The server takes a lock on the table, for which we do not wait
 * long: try_* are false when it is not to be had, or when *refused says why the source does not do it.
 */
bool try_publish_table(Connection *control, const char *publication, const char *schema,
					   const char *name, char **refused);
/* True also when it is no member by itself, but by its schema or because all tables are. */
bool try_withdraw_table(Connection *control, const char *publication, const char *schema,
						const char *name, char **refused);
/* ERROR unless the user may put the table into a publication. */
void check_may_publish(Connection *control, const char *schema, const char *name);

} // namespace source
