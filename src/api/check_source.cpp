/*
 * api/check_source.cpp
 *
 * livesync.check_source(): every prerequisite in one call, each with what to do about it.
 *
 *   connect ─► source server ─► publications ─► each table, there and here ─► this server
 *
 * A prerequisite that fails is a row and no error; so is whatever keeps a step from being looked
 * at, because what comes after it may still be told.
 */
#include "api/call.hpp"
#include "api/check.hpp"
#include "api/ssh_calls.hpp"
#include "base/subtransaction.hpp"
#include "source/prerequisites.hpp"
#include "worker/registry.hpp"

using namespace base;
using source::Check;
using source::CheckStatus;

namespace api
{
namespace
{

constexpr const char *kApplicationName = "livesync_check";

struct Inquiry
{
	source::CheckList list;
	char *conninfo;
	source::SshAccess ssh;
	int npublications;
	char **publications;
	int ntables;
	char **tables;
	source::Connection *connection;
	source::ServerFacts server;
	const char *what; /* for the row when a step fails */
};

char *
describe_error(const ErrorData *error)
{
	return error->detail ? psprintf("%s: %s", error->message, error->detail)
						 : pstrdup(error->message);
}

/* A walsender is another kind of session: pg_hba.conf or a pooler may refuse it alone. */
void
open_stream(void *argument)
{
	const Inquiry *it = (const Inquiry *) argument;
	source::Connection *stream = source::open_connection({it->conninfo, GetUserId(), it->ssh},
														 kApplicationName, source::Purpose::stream);

	(void) source::identify_system(stream);
	source::close_connection(stream);
}

/* It hides behind the server's version and messages; its address gives it away, or what it cannot do. */
char *
recognise_pooler(Inquiry *it)
{
	char *name = source::name_pooler({it->conninfo, GetUserId()});

	if (name != nullptr)
		return name;
	const ErrorData *refusal = catch_errors(open_stream, it);

	return refusal != nullptr ? source::name_pooler_by_refusal(describe_error(refusal)) : nullptr;
}

/* False when the step failed; then a row says why. */
bool
try_step(Inquiry *it, const char *what, void (*step)(void *argument))
{
	it->what = what;
	ErrorData *error = catch_errors(step, it);

	if (error == nullptr)
		return true;
	bool pooled = error->sqlerrcode == ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION;
	char *detail = describe_error(error);
	char *pooler = pooled ? recognise_pooler(it) : nullptr;

	source::add_check(&it->list,
					  Check{pooled ? "direct connection" : what, nullptr, CheckStatus::error,
							pooler ? psprintf("%s.  %s", detail, pooler) : detail, error->hint});
	return false;
}

void
connect(void *argument)
{
	Inquiry *it = (Inquiry *) argument;

	it->connection = source::open_connection({it->conninfo, GetUserId(), it->ssh}, kApplicationName,
											 source::Purpose::control);
	const char *host = it->ssh.address ? it->ssh.address : PQhost(it->connection->raw);

	if (it->ssh.address != nullptr)
		source::add_check(
			&it->list,
			Check{"ssh tunnel", it->ssh.address, CheckStatus::ok,
				  psprintf("its host key is: %s", source::accepted_host_key(it->connection)),
				  "Compare it with the one that the SSH server has, before you trust it."});
	source::add_check(&it->list,
					  Check{"reachable", nullptr, CheckStatus::ok,
							psprintf("host \"%s\", port %s, database \"%s\", user \"%s\"",
									 host ? host : "", PQport(it->connection->raw),
									 PQdb(it->connection->raw), PQuser(it->connection->raw)),
							nullptr});
}

void
look_at_server(void *argument)
{
	Inquiry *it = (Inquiry *) argument;

	it->server = source::check_server(&it->list, it->connection);
	if (source::is_this_database(it->connection))
		source::add_check(&it->list,
						  Check{"another database", nullptr, CheckStatus::error,
								"the source is this very database",
								"Give the address and the database name of the source."});
}

void
try_stream(void *argument)
{
	open_stream(argument);
	source::add_check(
		&((Inquiry *) argument)->list,
		Check{"replication connection", nullptr, CheckStatus::ok, "a walsender answers", nullptr});
}

void
look_at_publications(void *argument)
{
	Inquiry *it = (Inquiry *) argument;

	source::check_publications(&it->list, it->connection, it->npublications, it->publications);
}

void
look_at_tables(void *argument)
{
	Inquiry *it = (Inquiry *) argument;

	check_tables(TablesQuestion{&it->list, it->connection, it->server.is_superuser,
								it->npublications, it->publications, it->ntables, it->tables});
}

void
look_at_target(void *argument)
{
	check_target_server(&((Inquiry *) argument)->list);
}

void
inquire(Inquiry *it)
{
	if (!try_step(it, "reachable", connect))
		return;
	if (try_step(it, "source server", look_at_server) && it->server.may_replicate)
		(void) try_step(it, "replication connection", try_stream);
	(void) try_step(it, "publications", look_at_publications);
	(void) try_step(it, "tables", look_at_tables);
	source::close_connection(it->connection);
	(void) try_step(it, "target", look_at_target);
}

const char *
status_name(CheckStatus status)
{
	switch (status)
	{
		case CheckStatus::ok:
			return "ok";
		case CheckStatus::warning:
			return "warning";
		case CheckStatus::error:
			break;
	}
	return "error";
}

Datum
text_or_null(const char *text_form, bool *null)
{
	*null = text_form == nullptr;
	return *null ? (Datum) 0 : CStringGetTextDatum(text_form);
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_check_source);

PGDLLEXPORT Datum
livesync_check_source(PG_FUNCTION_ARGS)
{
	using namespace api;

	Inquiry it{};
	HiddenStatement hidden;

	begin_hidden_statement(&hidden);
	worker::require_preloaded();
	it.conninfo = text_argument(fcinfo, 0);
	it.publications = text_array_argument(fcinfo, 1, "publications", &it.npublications);
	it.tables = text_array_argument(fcinfo, 2, "tables", &it.ntables);
	it.ssh = ssh_access(text_argument(fcinfo, 3));
	if (it.conninfo == nullptr)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the source's connection string must be given")));
	if (it.npublications > 0 && it.ntables > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("publications and tables cannot be given together"),
						errhint("A connector syncs what existing publications publish, or makes a "
								"publication of its own of the tables.")));
	InitMaterializedSRF(fcinfo, 0);
	inquire(&it);

	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	for (int i = 0; i < it.list.count; i++)
	{
		const Check &check = it.list.checks[i];
		bool nulls[5] = {};
		Datum values[5] = {CStringGetTextDatum(check.name), text_or_null(check.object, &nulls[1]),
						   CStringGetTextDatum(status_name(check.status)),
						   text_or_null(check.detail, &nulls[3]),
						   text_or_null(check.hint, &nulls[4])};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	end_hidden_statement(&hidden);
	return (Datum) 0;
}
}
