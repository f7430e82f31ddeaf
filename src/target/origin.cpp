/*
 * target/origin.cpp
 *
 * See origin.hpp.
 */
#include "target/origin.hpp"

#include "base/compat.hpp"
#include "base/failpoint.hpp"

namespace target
{

bool
read_origin(const char *name, wire::Lsn *position)
{
	RepOriginId id = replorigin_by_name((char *) name, true);

	if (id == InvalidRepOriginId)
		return false;
	*position = replorigin_get_progress(id, true);
	return true;
}

void
create_origin(const char *name, wire::Lsn position)
{
	RepOriginId id = replorigin_by_name((char *) name, true);

	if (id == InvalidRepOriginId)
		id = replorigin_create((char *) name);
	replorigin_advance(id, position, InvalidXLogRecPtr, true, true);
	/* the record of the advance must not be younger than what it allows us to confirm */
	XLogFlush(XactLastRecEnd);
}

void
drop_origin(const char *name)
{
	replorigin_drop_by_name((char *) name, true, false);
}

namespace
{

/* Of the next commit; kInvalidLsn: it proves none. */
struct CommitPosition
{
	wire::Lsn lsn;
	TimestampTz at;
};

CommitPosition next_commit;

/* All deferred triggers have run: nothing that it may catch an error in can roll back a part of this transaction any more. */
void
hand_over_position(XactEvent event, void *)
{
	bool has_position = next_commit.lsn != wire::kInvalidLsn;

	if (event != XACT_EVENT_PRE_COMMIT)
		return;
	replorigin_session_origin_lsn = next_commit.lsn;
	/* standbys and those who decode our WAL take this for the time of the commit */
	replorigin_session_origin_timestamp = has_position ? next_commit.at : GetCurrentTimestamp();
	next_commit = {};
	if (has_position)
		base::failpoint("position_handed_over");
}

/* A process that is told to end in the middle of a commit rolls it back, after this. */
void
forget_at_exit(int, Datum)
{
	forget_commit_position();
}

} // namespace

wire::Lsn
use_origin(const char *name)
{
	RepOriginId id = replorigin_by_name((char *) name, false);

	before_shmem_exit(forget_at_exit, (Datum) 0);
	RegisterXactCallback(hand_over_position, nullptr);
	base::setup_origin_session(id);
	replorigin_session_origin = id;
	/* what the process before us committed may not be on disk yet, and this is confirmed at once */
	return replorigin_session_get_progress(true);
}

void
set_commit_position(wire::Lsn position, TimestampTz at)
{
	(void) GetCurrentTransactionId();
	next_commit = {position, at};
}

void
forget_commit_position()
{
	next_commit = {};
	replorigin_session_origin_lsn = InvalidXLogRecPtr;
	replorigin_session_origin_timestamp = 0;
}

} // namespace target
