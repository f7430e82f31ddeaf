/*
 * worker/registry.hpp
 *
 * The shared memory of the extension: which connectors there are in this server, which processes
 * work for them, and what they tell of themselves.  All of it may be lost at any time: after a
 * restart scouts read the connectors of each database again.
 *
 *   SQL call ──commit──► entry ──launcher──► connector worker ──► copy workers
 *                          ▲                    │ live positions, waits
 *                          └────────────────────┘
 *
 * Surprising: a call never stops or starts a worker for good.  It holds the connector while its transaction runs, and
 * at the end (commit or abort) lets the launcher start a worker, which reads from the tables whether it is wanted at all.
 */
#pragma once

#include "base/pg.hpp"

namespace worker
{

constexpr int kTextSize = 200;
constexpr int kSweeper = 0; /* the id that stands for a database's cleanup */

/* What the source says of the slot, as seen last. */
struct SlotHealth
{
	char wal_status[16];   /* "": not known */
	char invalidation[48]; /* "": valid, or not told by the source */
	int64 retained_bytes;
	int64 safe_bytes;  /* -1: no limit, or not known */
	bool is_in_danger; /* a warning stands in `events` */
};

struct ConnectorEntry
{
	bool is_used;
	bool is_wanted;	  /* the launcher starts it when it does not run */
	bool is_starting; /* registered, not attached yet */
	int holds;		  /* calls that keep it stopped for their transaction */
	Oid database;
	int connector_id;
	pid_t pid;
	Latch *latch;
	int failures; /* in a row */
	TimestampTz restart_at;
	int copy_failures; /* of its copy workers, in a row */
	TimestampTz copy_restart_at;
	int copy_limit;			  /* so many copy workers may run; 0: not known */
	TimestampTz copy_free_at; /* with a limited rate: when the next bytes may be copied */
	uint32 refresh_wanted;
	uint32 refresh_done;
	bool is_changed;		/* its row was changed: read it again */
	bool is_tables_changed; /* a copy worker changed the state of a table */
	bool keeps_behind;		/* a transaction in pieces is not applied before its commit */
	XLogRecPtr received;
	XLogRecPtr applied;
	XLogRecPtr flushed;
	XLogRecPtr source;
	TimestampTz applied_at;
	SlotHealth slot;
	char waiting_for[kTextSize];
	char name[NAMEDATALEN];		 /* of the connector, as it was when it last began */
	char slot_name[NAMEDATALEN]; /* "": it has none yet */
};

struct CopyEntry
{
	bool is_used;
	TimestampTz reserved_at; /* a place that nobody took within a minute is free again */
	Oid database;
	int connector_id;
	pid_t pid;
	int64 table_id;
	int chunk;
	char activity[kTextSize];
};

struct TableWait
{
	bool is_used;
	Oid database;
	int64 table_id;
	char waiting_for[kTextSize];
};

/* From _PG_init(), while preloading. */
void reserve_shared_memory();

/* ERROR with what to set, when the library is not preloaded. */
void require_preloaded();

/*
 * For the callers of SQL functions.
 */

/* At the end of this transaction, whatever end: have the launcher look at the connector. */
void look_at_transaction_end(int connector_id);
/* The same, and ERROR now when there is no place for the connector. */
void claim_place(int connector_id);
/* Stop its processes now, and keep them stopped until the end of this transaction. */
void hold_connector(int connector_id);
/* Ask for a fresh look at the publications; wait with is_refreshed(). */
uint32 request_refresh(int connector_id);
bool is_refreshed(int connector_id, uint32 request);

/* Copies of the entries of this database, palloc'ed. */
ConnectorEntry *list_connectors(int *count);
CopyEntry *list_copies(int *count);
TableWait *list_table_waits(int *count);
bool read_entry(int connector_id, ConnectorEntry *copy);

/*
 * For the launcher.
 */

void attach_launcher();
void register_connector(Oid database, int connector_id); /* by scouts and at transaction end */
/* An entry that should run and does not; -1: none. *wait_ms: when to look again. */
int next_to_start(long *wait_ms);
void mark_starting(int slot, bool is_starting);
bool is_starting(int slot);
void postpone(int slot);
void forget_slot(int slot);
Oid slot_database(int slot);
int slot_connector(int slot);

struct SlotInUse
{
	char connector[NAMEDATALEN];
	char slot_name[NAMEDATALEN];
};

/* Slots of the connectors of any database, as far as they have run since the server started; palloc'ed. */
SlotInUse *list_slots(Oid database, int *count);

/* Keep all connectors of a database stopped for a while, because it is being dropped. */
void stop_database(Oid database);

/*
 * For the workers.
 */

/* False: not wanted any more, exit. */
bool attach_connector(int slot);
/* How the process ends; without a call it counts as a failure. */
enum class Ending
{
	failed,	   /* start again after a delay that grows */
	again,	   /* start again at once */
	stopped,   /* keep the entry, do not start */
	forgotten, /* the connector is gone */
};
void set_ending(Ending ending);
/*
 * What failed before would have come first: so it is over, and the delay begins small again.  A mere
 * connection does not say that.
 */
void note_progress();
void show_slot(const char *connector, const char *slot_name);
ConnectorEntry *my_entry();
void set_waiting_for(const char *text); /* nullptr: nothing */
void set_slot_health(const SlotHealth &health);

/* False: no place, or the connector does not run: exit. */
bool attach_copy(int connector_slot, int copy_slot);
int reserve_copy(int connector_id); /* -1: no place */
void release_copy(int copy_slot);
int count_copies(int connector_id);
/* How a copy worker did: a failure delays the next ones, longer each time in a row. */
void note_copy_failure();
void note_copy_success();
bool may_start_copies();
/* More of us run than may: the latest of them ends. */
bool is_surplus_copy();
/* Bytes are copied at no more than so many in a second by all of the connector: when may the next be? */
TimestampTz book_copied(uint64 bytes, uint64 bytes_per_second);
void set_copy_activity(int64 table_id, int chunk, const char *text);
void stop_copies(int64 table_id); /* 0: all of this connector */
void wake_connector();
int my_connector_slot();

void set_table_wait(int64 table_id, const char *text); /* nullptr: none */

} // namespace worker
