/*
 * target/origin.cpp
 *
 * See origin.hpp.
 */
#include "target/origin.hpp"

#include "base/compat.hpp"

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
	base::setup_origin_session(id);
	replorigin_session_origin = id;
	/* what the process before us committed may not be on disk yet, and this is confirmed at once */
	return replorigin_session_get_progress(true);
}

void
set_commit_position(wire::Lsn position, TimestampTz at)
{
	(void) GetCurrentTransactionId();
	replorigin_session_origin_lsn = position;
	replorigin_session_origin_timestamp = at;
}

void
forget_commit_position()
{
	replorigin_session_origin_lsn = InvalidXLogRecPtr;
	replorigin_session_origin_timestamp = 0;
}

} // namespace target
