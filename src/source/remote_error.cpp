/*
 * source/remote_error.cpp
 *
 * Owns: turning a failed PGresult or a broken connection into an ERROR of ours.
 *
 * Each remote field goes into the same field here, and the SQLSTATE is kept, because callers
 * decide by it what may be tried again.  The remote CONTEXT is left out: it can hold row values.
 * The statement is shown without its parameters, for the same reason.
 */
#include "source/remote_error.hpp"

namespace source
{
namespace
{

constexpr int kLongestStatement = 300;

/* NULL or a copy that outlives the result. */
const char *
copy_field(const PGresult *result, int field)
{
	const char *text = result == nullptr ? nullptr : PQresultErrorField(result, field);

	return text == nullptr ? nullptr : pstrdup(text);
}

int
encode_sqlstate(const char *state)
{
	if (strlen(state) != 5)
		return ERRCODE_CONNECTION_FAILURE;
	return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}

char *
shorten(const char *sql)
{
	int length = static_cast<int>(strlen(sql));

	if (length <= kLongestStatement)
		return pstrdup(sql);
	return psprintf("%s ...", pnstrdup(sql, pg_mbcliplen(sql, length, kLongestStatement)));
}

bool
is_open(const Connection *connection)
{
	return connection != nullptr && connection->raw != nullptr;
}

/* The source ended the session, or is gone; without a connection to look at that is assumed. */
bool
is_lost(const Connection *connection, const char *severity)
{
	if (severity != nullptr)
		return strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0;
	return !is_open(connection) || PQstatus(connection->raw) == CONNECTION_BAD;
}

/*
 * One SQLSTATE for all of it: that of a session ended by its administrator would be taken for a
 * shutdown of this server.
 */
[[noreturn]] void
raise_lost(const char *detail, const char *context)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE), errmsg("connection to the source was lost"),
			 detail[0] != '\0' ? errdetail_internal("%s", detail) : 0,
			 context ? errcontext("statement at the source: %s", context) : 0));
}

/*
 * A row that outgrows the memory in which the source makes it a message.  The first of the two is an internal error there,
 * which no language translates.
 */
bool
is_too_large(const char *state, const char *primary)
{
	constexpr char kTooLarge[] = "invalid memory alloc request size";

	return state != nullptr &&
		   (strcmp(state, "54000") == 0 || strncmp(primary, kTooLarge, sizeof(kTooLarge) - 1) == 0);
}

[[noreturn]] void
raise_too_large(const char *doing, const char *primary, const char *context)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		 errmsg("could not %s: a row is too large for the source to send it: %s", doing, primary),
		 errdetail("A server's messages end at 1 GB. As text a bytea takes twice its size."),
		 errhint("Let the values come in binary form (livesync.binary_values, columns of "
				 "built-in types), or leave the column or the row out of the publication."),
		 context ? errcontext("statement at the source: %s", context) : 0));
}

/*
 * The source converts all that it sends into this database's encoding; what it says of that is no help.  And of what goes wrong
 * within it while it decodes its WAL it says only that.
 */
const char *
hint_of(const char *state, const char *remote_hint, const char *doing)
{
	constexpr char kUntranslatable[] = "22P05";
	constexpr char kInternal[] = "XX";

	if (remote_hint != nullptr || state == nullptr)
		return remote_hint;
	if (strcmp(state, kUntranslatable) == 0)
		return psprintf(
			"This database's encoding, %s, lacks a character that the source has. Nothing is "
			"skipped: sync into a database with ENCODING 'UTF8', which has all of them.",
			GetDatabaseEncodingName());
	if (doing == kReceiveChanges && strncmp(state, kInternal, strlen(kInternal)) == 0)
		return "The source failed to decode its WAL. If each attempt ends so, nothing gets past "
			   "that place: call livesync.pause_connector() and livesync.drop_connector(), empty "
			   "the target tables and create the connector again.";
	return nullptr;
}

/* What there is when the source itself gave no message. */
const char *
local_message(const Connection *connection, const PGresult *result)
{
	if (result != nullptr && PQresultErrorMessage(result)[0] != '\0')
		return pchomp(PQresultErrorMessage(result));
	return is_open(connection) ? pchomp(PQerrorMessage(connection->raw)) : "";
}

} // namespace

const char *
result_sqlstate(PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state == nullptr ? "" : state;
}

[[noreturn]] void
raise_statement_error(Connection *connection, PGresult *result, const char *doing, const char *sql)
{
	const char *state = copy_field(result, PG_DIAG_SQLSTATE);
	const char *primary = copy_field(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = copy_field(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = hint_of(state, copy_field(result, PG_DIAG_MESSAGE_HINT), doing);
	const char *context = sql == nullptr ? nullptr : shorten(sql);

	const char *severity = copy_field(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (primary == nullptr)
		primary = local_message(connection, result);
	if (is_lost(connection, severity))
		raise_lost(primary, context);
	if (is_too_large(state, primary))
		raise_too_large(doing ? doing : "read from the source", primary, context);
	if (primary[0] == '\0')
		primary = "unexpected answer of the source";

	ereport(ERROR,
			(errcode(state == nullptr ? ERRCODE_PROTOCOL_VIOLATION : encode_sqlstate(state)),
			 doing ? errmsg("could not %s: %s", doing, primary) : errmsg("source: %s", primary),
			 detail ? errdetail_internal("%s", detail) : 0, hint ? errhint("%s", hint) : 0,
			 context ? errcontext("statement at the source: %s", context) : 0));
}

[[noreturn]] void
raise_remote_error(Connection *connection, PGresult *result, const char *doing)
{
	raise_statement_error(connection, result, doing, nullptr);
}

} // namespace source
