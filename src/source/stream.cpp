/*
 * source/stream.cpp
 *
 * See stream.hpp.
 *
 * Surprising: a message costs no system call.  libpq reads what the socket has in one go and hands
 * out single messages from its buffer; only when that is empty is the socket asked again.
 */
#include "source/stream.hpp"

#include <sys/ioctl.h>

#include "source/liveness.hpp"
#include "source/remote_error.hpp"
#include "source/waiting.hpp"
#include "wire/copydata.hpp"

namespace source
{

struct Stream
{
	Connection *connection;
	bool is_quiet; /* the last look found nothing; since when is in the connection */
	bool is_asked; /* and it was asked for an answer since then */
};

namespace
{

/* The replication grammar knows only '' inside of a string, no E'' and no backslashes. */
void
append_option_string(StringInfo sql, const char *value)
{
	appendStringInfoChar(sql, '\'');
	for (; *value != '\0'; value++)
	{
		if (*value == '\'')
			appendStringInfoChar(sql, '\'');
		appendStringInfoChar(sql, *value);
	}
	appendStringInfoChar(sql, '\'');
}

/* From 14 on, a source sends large transactions in pieces while they still run. */
bool
sends_pieces(const Connection *connection)
{
	return connection->server_version >= 140000;
}

/*
 * The first piece of a transaction comes when the source has decoded so much of it, and nothing can be applied meanwhile: less
 * than the 64 MB of a source that nobody has told otherwise.  What was set for this role or in the connection string stays.
 */
constexpr char kBeginPiecesEarly[] =
	"SELECT pg_catalog.set_config(name, '16MB', false) FROM pg_catalog.pg_settings"
	" WHERE name = 'logical_decoding_work_mem' AND setting::int > 16 * 1024"
	" AND source NOT IN ('client', 'user', 'database user')";

const char *
protocol_options(const Connection *connection)
{
	return sends_pieces(connection) ? "proto_version '2', streaming 'on', messages 'true'"
									: "proto_version '1'";
}

char *
start_command(const Connection *connection, const char *slot_name, wire::Lsn from,
			  int npublications, const char *const *publications, bool binary)
{
	StringInfoData names;
	StringInfoData sql;
	char lsn[wire::kLsnTextSize];

	initStringInfo(&names);
	for (int i = 0; i < npublications; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? "," : "", quote_name(publications[i]));

	(void) wire::format_lsn(from, lsn);
	initStringInfo(&sql);
	appendStringInfo(&sql, "START_REPLICATION SLOT %s LOGICAL %s (%s, publication_names ",
					 quote_name(slot_name), lsn, protocol_options(connection));
	append_option_string(&sql, names.data);
	appendStringInfoString(&sql, binary ? ", binary 'true')" : ")");
	return sql.data;
}

[[noreturn]] void
raise_malformed(wire::DecodeStatus status)
{
	ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
					errmsg("the source sent a replication message that cannot be understood"),
					errdetail_internal("%s", wire::describe(status))));
}

/* The next piece of the stream into connection->copy_data; 0: none there now, -1: no more. */
int
take_copy_data(Connection *connection, Look look)
{
	release_copy_data(connection);

	int size = PQgetCopyData(connection->raw, &connection->copy_data, 1);

	if (size == 0 && look == Look::at_socket)
	{
		/* When reading fails, the next call says how. */
		(void) PQconsumeInput(connection->raw);
		size = PQgetCopyData(connection->raw, &connection->copy_data, 1);
	}
	if (size == 0 && PQstatus(connection->raw) == CONNECTION_BAD)
		raise_remote_error(connection, nullptr, nullptr);
	if (size < -1)
		raise_remote_error(connection, nullptr, kReceiveChanges);
	return size;
}

/* A clock that is read for each message would cost more than many a message. */
void
note_quiet(Stream *stream)
{
	if (!stream->is_quiet)
		note_sign_of_life(stream->connection);
	stream->is_quiet = true;
	/* an answer may have been on its way before now, and waited for us */
	if (stream->is_asked)
		check_silence(stream->connection);
}

} // namespace

Stream *
start_stream(Connection *connection, const char *slot_name, wire::Lsn from, int npublications,
			 const char *const *publications, bool binary)
{
	Stream *stream = static_cast<Stream *>(palloc(sizeof(Stream)));

	if (sends_pieces(connection))
		(void) query(connection, kBeginPiecesEarly);

	PGresult *result = try_query(connection, start_command(connection, slot_name, from,
														   npublications, publications, binary));

	stream->connection = connection;
	stream->is_quiet = stream->is_asked = false;
	if (PQresultStatus(result) != PGRES_COPY_BOTH)
		raise_remote_error(connection, result,
						   psprintf("start streaming from slot \"%s\"", slot_name));
	return stream;
}

Received
next_message(Stream *stream, Look look, StreamMessage *out)
{
	Connection *connection = stream->connection;
	int size = take_copy_data(connection, look);

	if (size == 0)
	{
		if (look == Look::at_socket)
			note_quiet(stream);
		return Received::nothing;
	}
	if (size < 0)
		return Received::ended;
	stream->is_quiet = stream->is_asked = false;

	wire::Envelope envelope;
	wire::DecodeStatus status =
		wire::decode_copydata({connection->copy_data, static_cast<size_t>(size)}, &envelope);

	if (status != wire::DecodeStatus::ok)
		raise_malformed(status);
	out->payload = envelope.payload;
	out->start = envelope.start_lsn;
	out->end = envelope.end_lsn;
	out->sent_at = envelope.send_time;
	out->reply_requested = envelope.reply_requested;
	return envelope.kind == wire::EnvelopeKind::keepalive ? Received::keepalive : Received::message;
}

void
raise_end(Stream *stream)
{
	Connection *connection = stream->connection;
	PGresult *result = nullptr;

	note_sign_of_life(connection);
	while (PQisBusy(connection->raw))
	{
		if (wait_step(PQsocket(connection->raw), WL_SOCKET_READABLE, LONG_MAX) == 0)
			check_silence(connection);
		else if (!PQconsumeInput(connection->raw))
			break;
	}
	if (!PQisBusy(connection->raw))
		result = PQgetResult(connection->raw);
	connection->pending = result;
	if (result != nullptr && PQresultStatus(result) == PGRES_FATAL_ERROR)
		raise_remote_error(connection, result, kReceiveChanges);
	if (PQstatus(connection->raw) == CONNECTION_BAD)
		raise_remote_error(connection, nullptr, nullptr);
	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("the source ended the stream"),
					errdetail("It does so when it shuts down.")));
}

bool
has_room(const Stream *stream)
{
	const char *host = PQhost(stream->connection->raw);

	return host != nullptr && host[0] != '/' && host[0] != '@';
}

int
unread_bytes(const Stream *stream)
{
	int bytes = 0;

	return ioctl(PQsocket(stream->connection->raw), FIONREAD, &bytes) == 0 ? bytes : 0;
}

bool
is_sign_of_life_due(Stream *stream)
{
	return stream->is_quiet && !stream->is_asked && is_half_silent(stream->connection->heard_at);
}

/* While the socket takes nothing, libpq keeps the update in its buffer and the next call goes on. */
void
send_feedback(Stream *stream, wire::Lsn written, wire::Lsn flushed, wire::Lsn applied)
{
	PGconn *raw = stream->connection->raw;
	wire::StatusUpdate update;
	char bytes[wire::kStatusUpdateSize];

	update.written_lsn = written;
	update.flushed_lsn = flushed;
	update.applied_lsn = applied;
	update.send_time = GetCurrentTimestamp();
	update.reply_requested = is_sign_of_life_due(stream);
	stream->is_asked = stream->is_asked || update.reply_requested;
	wire::encode_status_update(update, bytes);

	if (PQputCopyData(raw, bytes, sizeof(bytes)) < 0 || PQflush(raw) < 0)
		raise_remote_error(stream->connection, nullptr, "report positions to the source");
}

} // namespace source
