/*
 * worker/routes.hpp
 *
 * Where the changes of a source relation go: to the target table as they come, to the table's
 * spool, or nowhere.  One route for each synced table, and one for its shadow while it is copied
 * again, found by the source's relation id, which is what the stream says and what survives a
 * rename at the source.
 *
 * Owns: the routes, what is known of the stream's relations, and the changes that wait in each
 * route for the end of the batch.
 *
 * Surprising: the source sends a Relation message once and then again only when something changed,
 * so those of relations that have no route yet are kept too.
 */
#pragma once

#include "base/change_counts.hpp"
#include "state/synced_table.hpp"
#include "target/apply.hpp"

namespace worker
{

/* A relation as the stream described it last. */
struct StreamRelation
{
	uint32 relid;  /* hash key */
	char *message; /* the raw Relation message, for the spool */
	uint32 message_size;
	char replica_identity;
	int ncolumns;
	char **columns;
	bool *is_key;
	Oid *types;
	int32 *modifiers;
	uint64 version; /* counts the descriptions */
	bool is_binary; /* found to fit a binary stream */
	MemoryContext context;
};

struct Route
{
	uint32 relid; /* hash key, with the next */
	uint32 is_shadow;
	state::SyncedTable *table;
	MemoryContext table_context;
	char *name;		/* "schema.table" at the source */
	bool is_listed; /* seen in the table list being loaded */

	uint64 followed_version; /* of the stream's description that the target's columns follow */
	target::TargetRelation *target;
	uint64 target_version; /* of the stream's description it was opened for */
	uint64 target_changes; /* definition_changes() then */

	target::PendingChange *first;
	target::PendingChange *last;

	StringInfo spool; /* entries of the segment being filled */
	int spool_changes;
	int64 last_segment; /* -1: not read yet */

	base::ChangeCounts stats; /* not written yet */
	bool has_stats;
	base::ChangeCounts conflicts; /* not told in the log yet */
	wire::Lsn conflicts_lsn;
	TimestampTz conflicts_at; /* when they were told last */
	TimestampTz retry_at;	  /* failed tables: when to try again */
	int retries;
	bool has_odd_partition; /* as of the last look: to try again would be for nothing */
	TimestampTz flip_at;	/* no step before: a lock was in the way */
	bool is_noted;			/* queued: what the source has is recorded, see begin.cpp */
	bool is_partitioned;	/* then: the source table */
	wire::Lsn begin_after;	/* then: where the stream must be; 0: not known yet */

	bool is_busy;
	Route *next_busy;
};

struct Routes
{
	MemoryContext context;
	HTAB *by_relid;
	int nshadows;
	HTAB *relations;
	Route *busy; /* those with changes, spool entries or counts that are not written yet */
};

Routes *make_routes(MemoryContext parent);

/* Take over the tables of the connector as they are recorded now. Needs a transaction. */
void load_routes(Routes *routes, int connector_id);
Route *find_route(const Routes *routes, uint32 relid);
/* The route of its shadow, which gets all its changes too; nullptr: it is not being copied again. */
Route *find_shadow_route(const Routes *routes, uint32 relid);

/* A connector may have thousands of routes, and a commit concerns a few: these are in a list. */
void note_busy(Routes *routes, Route *route);
void drop_idle(Routes *routes);
/* After a rollback: changes and counters that are not written, and the columns that targets were given, are as before. */
void forget_changes(Routes *routes);

bool is_everything_streaming(const Routes *routes);

/* Close the targets of routes without changes; how many stay open. */
int close_idle_targets(Routes *routes);

void remember_relation(Routes *routes, const wire::RelationMessage &message, std::string_view raw);
StreamRelation *find_relation(const Routes *routes, uint32 relid);

/* The target as the writer needs it, opened anew when either side changed. ERROR when it cannot be. */
target::TargetRelation *open_route_target(Route *route, const StreamRelation *relation,
										  MemoryContext parent);
void close_route_target(Route *route);

/* Are its rows those of one position of the stream, and not of many moments as while it is copied by chunks? */
bool is_of_one_position(const state::SyncedTable *table);

/* What open_route_target() opens. */
target::RelationSpec make_spec(const state::SyncedTable *table, const StreamRelation *relation);

/* The target from what the catalogs of the source said, for use before any message came. */
target::TargetRelation *open_recorded_target(const state::SyncedTable *table, MemoryContext parent);

bool is_spooling(const Route *route);

} // namespace worker
