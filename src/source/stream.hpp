/*
 * source/stream.hpp
 *
 * The replication stream of a slot: START_REPLICATION, messages out, feedback in.
 *
 * Out: payloads of XLogData (pgoutput messages, raw) one at a time, and keepalives.  The payload is valid until the
 * next call.  Must not know: what the messages mean, what is applied.
 */
#pragma once

#include "source/connection.hpp"
#include "wire/lsn.hpp"

#include <string_view>

namespace source
{

struct Stream;

enum class Received
{
	message,   /* *out is filled */
	keepalive, /* out->end is the source's sent position */
	nothing,   /* nothing there now */
	ended,	   /* and nothing more will come: raise_end() */
};

struct StreamMessage
{
	std::string_view payload;
	wire::Lsn start;
	wire::Lsn end;
	TimestampTz sent_at; /* by the source's clock */
	bool reply_requested;
};

/* publications: quoted for the option by this function.  binary: ask for binary values, from 14 on. */
Stream *start_stream(Connection *connection, const char *slot_name, wire::Lsn from,
					 int npublications, const char *const *publications, bool binary);
/* How far for the next message. */
enum class Look
{
	at_socket,
	at_what_is_read, /* from it already, which costs no system call */
};

/* Does not wait.  ERROR when the connection is broken. */
Received next_message(Stream *stream, Look look, StreamMessage *out);
/* With the error of the source, or since it shuts down. */
[[noreturn]] void raise_end(Stream *stream);
/*
 * Standby status update; flushes the socket without blocking for long.  When nothing has come for a while, it asks for an
 * answer; when that does not come either, next_message() finds out whether anybody is there.
 */
void send_feedback(Stream *stream, wire::Lsn written, wire::Lsn flushed, wire::Lsn applied);
/* Do thousands of messages fit in between, when nobody takes them for a moment?  A Unix-domain socket holds some hundreds. */
bool has_room(const Stream *stream);
/* What the system has taken in for us and libpq has not read; encrypted, where the connection is. */
int unread_bytes(const Stream *stream);
/* Is there more reason for feedback than its contents? */
bool is_sign_of_life_due(Stream *stream);

} // namespace source
