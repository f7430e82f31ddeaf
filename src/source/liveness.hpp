/*
 * source/liveness.hpp
 *
 * A source that says nothing for long: does it take its time, or is nobody there any more?
 *
 * A network that swallows packets says nothing, and so does a source that waits for a lock or reads
 * a big table.  The kernel's keepalives tell them apart only as far as to the next tunnel, proxy or
 * balancer, which answers for whoever is behind it.  So after livesync.source_timeout of silence a
 * second session is opened beside the first, and asked whether the first is still at work:
 *
 *   silent ─► second session: "it is there"        ─► go on waiting, ask again after as long
 *                             "it is not there"    ─► the connection is lost
 *                             no answer in time    ─► the connection is lost
 *
 * A second session that is refused at once (too many of them, say) tells nothing: the kernel's
 * keepalives have to do then.
 *
 * Surprising: nothing here raises an error, allocates from the server or waits for the latch, since
 * the caller may be below C's stdio, see chunk_data.cpp.  It gives up for an interrupt within the
 * tenth of a second.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

enum class Answer
{
	yes,	 /* the statement gave true */
	no,		 /* it gave false */
	none,	 /* nobody answered within the connect_timeout */
	unknown, /* refused, failed, or given up for an interrupt */
};

/* Run a statement that gives one boolean in a second session of the same user to the same place. */
Answer ask_beside(const Connection *connection, const char *sql);

/* Something came, or a wait begins. */
void note_sign_of_life(Connection *connection);

/* True when it has been silent for too long and the second session says, or shows, that it is lost. */
bool is_lost_in_silence(Connection *connection);

/* For a wait that may raise errors. */
void check_silence(Connection *connection);
[[noreturn]] void raise_silence();

/* Of something that falls silent at this moment: is half of the time over that it may be? */
bool is_half_silent(TimestampTz since);

} // namespace source
