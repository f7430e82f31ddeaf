/*
 * worker/follow.hpp
 *
 * A target's columns follow the source's: when the stream describes a table in another form than the target was made to fit,
 * before the first change of that form is applied, and when a copy begins again.
 *
 *   column is new             added here, with what its rows have at the source
 *   type is wider             the same here, when the target's column was of the former type
 *   column is gone            ERROR: it was dropped or renamed, and its values here are for people to decide about
 *   policy is to stop         ERROR, and its hint is what following would have run
 *   the key is gone           not before it is recorded, where rows are found by it and the stream does not say so
 *
 * In: a description with the position of its change, or the source's catalog.  Out: ALTER TABLE and the new shape, in the
 * caller's transaction.
 *
 * Surprising: the stream tells of the past and the catalog of the present.  What the catalog says of a column is used only
 * where it holds for the past too; where that cannot be known the table is copied again.
 */
#pragma once

#include "source/catalog.hpp"
#include "worker/routes.hpp"

namespace worker
{

enum class FollowResult
{
	done,
	again_later, /* the source does not show the change yet: roll back, try again */
	copy_again,	 /* rows were changed without events: roll back, call copy_again() */
};

struct FollowContext
{
	const char *connector;
	source::Connection *control;
	const state::SyncedTable *table;
};

/* xid, lsn: of the change that needs it. */
FollowResult follow_stream(const FollowContext &context, const StreamRelation *relation, uint32 xid,
						   wire::Lsn lsn);

/* Before a copy: what the stream tells later is compared with the columns as they are now. */
void follow_catalog(const FollowContext &context, const source::SourceColumns &columns);

/* Needs a transaction: the table begins anew. */
void copy_again(const char *connector, int64 table_id);

} // namespace worker
