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
#include "source/inventory.hpp"
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
	char *pooler = pooled ? source::name_pooler({it->conninfo, GetUserId()}) : nullptr;

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

/* A walsender is another kind of session: pg_hba.conf or a pooler may refuse it alone. */
void
try_stream(void *argument)
{
	Inquiry *it = (Inquiry *) argument;
	source::Connection *stream = source::open_connection({it->conninfo, GetUserId(), it->ssh},
														 kApplicationName, source::Purpose::stream);

	(void) source::identify_system(stream);
	source::close_connection(stream);
	source::add_check(&it->list, Check{"replication connection", nullptr, CheckStatus::ok,
									   "a walsender answers", nullptr});
}

void
look_at_publications(void *argument)
{
	Inquiry *it = (Inquiry *) argument;

	source::check_publications(&it->list, it->connection, it->npublications, it->publications);
}

void
add(Inquiry *it, const char *name, const char *label, CheckStatus status, const char *detail,
	const char *hint = nullptr)
{
	source::add_check(&it->list, Check{name, label, status, detail, hint});
}

void
check_access(Inquiry *it, const source::SourceTable &table, bool can_read, const char *label)
{
	const char *user = PQuser(it->connection->raw);

	if (!can_read)
		add(it, "select", label, CheckStatus::error,
			psprintf("user \"%s\" may not read it or one of its partitions", user),
			psprintf("Run at the source, for its partitions too: GRANT USAGE ON SCHEMA %s TO %s; "
					 "GRANT SELECT ON %s TO %s;",
					 quote_identifier(table.schema), quote_identifier(user),
					 quote_qualified_identifier(table.schema, table.name), quote_identifier(user)));
	else if (table.is_filtered)
		add(it, "select", label, CheckStatus::error,
			psprintf("row-level security hides rows from user \"%s\"", user),
			psprintf("Run at the source: ALTER ROLE %s BYPASSRLS;", quote_identifier(user)));
	else
		add(it, "select", label, CheckStatus::ok, "readable");

	if (it->npublications == 0 && !it->server.is_superuser && !table.is_owned)
		add(it, "owner", label, CheckStatus::error,
			psprintf("user \"%s\" does not own it and cannot publish it", user),
			psprintf("Run at the source: GRANT the owner's role TO %s; or have a publication made "
					 "by the owner and name it in the call.",
					 quote_identifier(user)));
}

void
check_identity(Inquiry *it, const source::SourceTable &table, const char *label)
{
	const char *name = quote_qualified_identifier(table.schema, table.name);
	bool sends_changes = it->npublications == 0 || table.sends_changes;

	if (!table.has_identity && sends_changes)
		add(it, "replica identity", label, CheckStatus::error,
			"it has none, so once published UPDATE and DELETE fail at the source",
			psprintf("Add a primary key, or run at the source: ALTER TABLE %s REPLICA IDENTITY "
					 "USING INDEX ...; or, for a table without a key, REPLICA IDENTITY FULL.",
					 name));
	else if (!table.has_identity)
		add(it, "replica identity", label, CheckStatus::ok,
			"it has none, and only inserts are published");
	else if (table.replica_identity == 'f' && table.key_count == 0)
		add(it, "replica identity", label, CheckStatus::warning,
			"FULL without a primary key: an update or delete here searches the whole row",
			"Add a primary key if you can.  Its copy needs one snapshot for the whole table.");
	else
		add(it, "replica identity", label, CheckStatus::ok,
			table.replica_identity == 'f' ? "FULL" : "by key");
}

/* What the publications send of it; nullptr when it comes under the name of its partition root. */
const source::PublishedTable *
find_published(const source::PublishedTables &published, Oid oid)
{
	for (int i = 0; i < published.count; i++)
		if (published.tables[i].oid == oid)
			return &published.tables[i];
	return nullptr;
}

void
check_table(Inquiry *it, const source::SourceTable &table, const source::PublishedTable *published)
{
	char *label = source::table_label(table);
	TargetQuestion question{};

	if (!table.can_publish)
		return add(it, "table", label, CheckStatus::error,
				   psprintf("it is of a kind that cannot be published: %s", table.kind),
				   "Leave it out, or make it an ordinary table.");
	check_access(it, table, published ? published->can_select : table.can_read, label);
	check_identity(it, table, label);
	question.connection = it->connection;
	question.schema = table.schema;
	question.name = table.name;
	question.columns = source::read_columns(it->connection, table.oid);
	if (published != nullptr)
	{
		question.npublished = published->columns_count;
		question.published = published->columns;
	}
	question.nkeys = table.has_identity ? table.key_count : 0;
	question.keys = table.key;
	check_target_table(&it->list, question);
}

bool
matches(const source::SourceTable &table, const char *name)
{
	const char *spellings[] = {
		psprintf("%s.%s", table.schema, table.name),
		quote_qualified_identifier(table.schema, table.name),
		psprintf("\"%s\".\"%s\"", table.schema, table.name),
		psprintf("%s.*", table.schema),
		psprintf("\"%s\".*", table.schema),
	};

	for (const char *spelling : spellings)
		if (strcmp(spelling, name) == 0)
			return true;
	return false;
}

void
check_names(Inquiry *it, const source::SourceTables &tables)
{
	for (int i = 0; i < it->ntables; i++)
	{
		bool found = false;

		for (int t = 0; !found && t < tables.count; t++)
			found = matches(tables.tables[t], it->tables[i]);
		if (!found)
			add(it, "table", it->tables[i], CheckStatus::error,
				psprintf("there is no such table in database \"%s\" of the source",
						 PQdb(it->connection->raw)),
				"Write schema.table or schema.*; upper and lower case matter.  "
				"livesync.source_tables() lists what is there.");
	}
}

void
look_at_tables(void *argument)
{
	Inquiry *it = (Inquiry *) argument;
	source::PublishedTables published{};
	source::SourceTables tables = source::read_inventory(it->connection, it->ntables, it->tables,
														 it->npublications, it->publications);

	if (it->npublications > 0)
		published = source::read_published_tables(source::query(
			it->connection,
			source::published_tables_sql(it->connection, it->npublications, it->publications)));
	check_names(it, tables);
	for (int i = 0; i < tables.count; i++)
	{
		const source::PublishedTable *entry = find_published(published, tables.tables[i].oid);
		bool is_everything = it->ntables == 0 && it->npublications == 0;

		CHECK_FOR_INTERRUPTS();
		/* a connector for every table leaves these out by itself */
		if (is_everything && !tables.tables[i].can_publish)
			continue;
		if (it->npublications == 0 || entry != nullptr)
			check_table(it, tables.tables[i], entry);
	}
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
