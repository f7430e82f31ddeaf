/*
 * worker/sequences.hpp
 *
 * The values of sequences, which logical decoding does not send: those behind synced columns, and any named.
 *
 *   source: sequences owned by a column (serial, identity) ─► the column here ─► its sequence: setval()
 *
 * Two statements at the source, however many sequences there are.  Used by a call at a cut-over, and by the connector
 * worker every livesync.sequence_interval.
 *
 * Surprising: a sequence here is never set back.  Done once too often after the cut-over, that would hand out numbers a second
 * time.
 */
#pragma once

#include "source/connection.hpp"
#include "state/connector.hpp"
#include "state/synced_table.hpp"

namespace worker
{

struct Sequence
{
	char *schema; /* at the source */
	char *name;
	char *target;					 /* quoted; nullptr: the column has none here */
	const state::SyncedTable *table; /* whose column owns it; nullptr: it was named */
	char *column;
};

struct Sequences
{
	int count;
	Sequence *list;
};

/* Those behind the synced columns of tables that exist here. */
Sequences find_owned_sequences(source::Connection *control, const state::SyncedTables &tables);

/* 'schema.name' at the source; here of that name in the connector's target schema. ERROR when it is not there. */
Sequence find_named_sequence(const state::Connector *connector, const char *name);

/* Bring them where the source's stand; `done` is called with each and where it stands then.  Those without target are left out. */
void advance_sequences(source::Connection *control, const Sequences &sequences,
					   void (*done)(void *argument, const Sequence *sequence, int64 value),
					   void *argument);

} // namespace worker
