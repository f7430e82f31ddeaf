/*
 * worker/load_rows.hpp
 *
 * The rows of one chunk: from the source's COPY into the target's, or into statements, in the caller's transaction.
 *
 * Statements take rows that may be there already, as upserts; and some hypertables are always written by them, see
 * TargetRelation::needs_inserts.
 */
#pragma once

#include "target/copy_in.hpp"
#include "target/relation.hpp"
#include "worker/copier.hpp"
#include "worker/pace.hpp"

namespace worker
{

struct Load
{
	Copier *copier;
	const state::Chunk *chunk;
	const state::SyncedTable *table;
	target::TargetRelation *target;
	target::CopyResult result;
	source::ChunkCheck check;
	bool as_upserts;
	bool as_statements; /* no COPY here: its rows are written as sets */
	bool as_binary;		/* never with as_statements, which reads the text form */
	Pace pace;
	bool is_paced; /* and the views say so */
};

/* A step of a subtransaction, of a Load; anything but ready in its `check`: no row was loaded. */
void load_rows(void *argument);

} // namespace worker
