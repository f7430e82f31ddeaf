/*
 * worker/indexes.hpp
 *
 * The indexes of target tables that we create: noted when the table is created, built after the load.
 *
 * Loading into a table without indexes and building them afterwards is much faster than the other way round.  Until the key's
 * index is there, nothing tells rows that come twice: it is they that it is built over first (see docs/design.md).
 */
#pragma once

#include "source/catalog.hpp"
#include "state/connector.hpp"
#include "state/synced_table.hpp"
#include "worker/copier.hpp"

namespace worker
{

/* Note what the source has and the target shall have; what was noted before counts no more. */
void note_indexes(const state::Connector *config, const state::SyncedTable *table,
				  source::Connection *control);

/*
 * The same when a copy begins again and none is built yet: columns and keys may be others by now, and the index of a former key
 * could perhaps never be built.
 */
void note_indexes_again(const state::Connector *config, const state::SyncedTable *table,
						source::Connection *control);

/* Build all of them now, in a table without rows. */
void build_noted_indexes(const state::Connector *config, const state::SyncedTable *table);

enum class KeyIndex
{
	ready,
	later,	/* somebody holds a lock of the target: roll back, try again */
	failed, /* the transaction was rolled back and the table is marked: commit */
};

/* After the last chunk, with the table's row held. */
KeyIndex ensure_key_index(const Copier *copier, const state::SyncedTable *table);

} // namespace worker
