/*
 * worker/drain_run.hpp
 *
 * A run of changes from a spool, over as many segments as it takes, until something ends it; and how it is replayed.
 *
 * A keyed table is replayed over rows of mixed versions.  A one-snapshot table is not: its rows are exactly those of the
 * snapshot, so changes that the snapshot saw are skipped and the others applied as when streaming.
 */
#pragma once

#include "state/spool.hpp"
#include "worker/drain.hpp"
#include "worker/routes.hpp"

namespace worker
{

struct SpooledChange
{
	target::PendingChange change; /* first: lists of them are lists of these */
	SpoolPlace place;
};

struct DrainRun
{
	Drain *drain;
	Routes *relations; /* for the Relation messages of the segments only */
	Route route;
	MemoryContext memory; /* segments and changes of the run; reset when it is replayed */
	target::PendingChange *first;
	target::PendingChange *last;
	SpoolPlace place;	  /* of the entry being taken */
	wire::ValueKind form; /* of its values, text or binary; null: not known yet */
	int changes;
	size_t bytes;
	std::string_view rest; /* of the segment, from the entry at which it stopped */
};

void add_to_run(DrainRun *run, const wire::Message &message, const state::SpoolEntry &entry);
/* What is in it, into the target; an empty one does nothing. */
DrainResult replay_run(DrainRun *run);
/*
 * The source was asked for text at one time and for binary values at another.  In a run keys are told apart by their bytes,
 * so all of it must be of one form.
 */
DrainResult begin_form(DrainRun *run, const wire::Change &change);
DrainResult truncate_target(DrainRun *run, const state::SpoolEntry &entry, bool restart_identity);
/*
 * The columns are others from here on.  When the target must be mended by hand, all that came before must be there already: it is of the former form and fits the
 * target only as long as nobody mended it.
 */
DrainResult follow_columns(DrainRun *run, const state::SpoolEntry &entry);

} // namespace worker
