/*
 * state/pending_index.hpp
 *
 * Indexes of a target table that we created and that are still to be built.  A row goes in the transaction that builds the
 * index, so after a crash exactly what is missing is built.
 *
 *                     key                         further
 *   copying           after the last chunk        -
 *   catching_up       -                           when the spool is short; unique ones when it is empty
 *   streaming         -                           only the constraint of an index that is built
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

struct PendingIndex
{
	int64 table_id;
	int number;
	char *name;		  /* at the source; once built: of the index here */
	char *definition; /* as the source gives it */
	char constraint;  /* p, u, x or '\0' */
	bool is_deferrable;
	bool is_deferred;
	bool is_key;	/* catching up needs it */
	bool is_unique; /* holds only for rows of one moment */
	bool is_built;	/* what is missing is its constraint */
};

struct PendingIndexes
{
	int count;
	PendingIndex *indexes;
};

void add_pending_index(const PendingIndex &index);
void record_built(const PendingIndex &index, const char *name);
void remove_pending_index(const PendingIndex &index);
void forget_pending_indexes(int64 table_id);

/* nullptr: none */
PendingIndex *find_key_index(int64 table_id);
PendingIndex *next_pending_index(int64 table_id);
PendingIndexes list_pending_indexes(int64 table_id);
/* Of the connector, one that may be worked on now, with its row locked. */
PendingIndex *claim_pending_index(int connector_id, XLogRecPtr applied, int tail_changes);
/* How many those are, locked or not. */
int count_index_jobs(int connector_id, XLogRecPtr applied, int tail_changes);

/* Is one of them not built? Then the table may not stream. */
bool has_unbuilt_index(int64 table_id);

} // namespace state
