/*
 * source/publication_member.cpp
 *
 * Single tables of a connector's own publication.  See slot.hpp.
 *
 * Surprising: ALTER PUBLICATION locks the table against VACUUM, ANALYZE, CREATE INDEX and the like.  One of those can run
 * for hours, and the connector worker, which sends the statement, must go on receiving.
 */
#include "source/slot.hpp"

#include "source/result.hpp"

namespace source
{
namespace
{

constexpr char kShortLocks[] = "SET lock_timeout = '100ms'";
constexpr char kNoLimit[] = "SET lock_timeout = 0";

bool
has_state(PGresult *result, const char *sqlstate)
{
	return strcmp(result_sqlstate(result), sqlstate) == 0;
}

/* Does it say something about the table, and not about the connection or the server? */
bool
is_refusal(PGresult *result)
{
	const char *state = result_sqlstate(result);

	return strlen(state) == 5 && strncmp(state, "08", 2) != 0 && strncmp(state, "40", 2) != 0 &&
		   strncmp(state, "53", 2) != 0 && strncmp(state, "57", 2) != 0;
}

bool
try_alter(Connection *control, const char *sql, char **refused)
{
	*refused = nullptr;
	execute(control, kShortLocks);
	PGresult *result = try_query(control, sql);

	if (PQresultStatus(result) == PGRES_COMMAND_OK)
	{
		execute(control, kNoLimit);
		return true;
	}
	if (!is_refusal(result))
		raise_remote_error(control, result, "alter the publication");
	if (!has_state(result, "55P03"))
		*refused = pstrdup(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	execute(control, kNoLimit);
	return false;
}

bool
is_member(Connection *control, const char *publication, const char *schema, const char *name)
{
	return PQntuples(query(
			   control,
			   psprintf("SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = "
						"r.prpubid JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n "
						"ON n.oid = c.relnamespace WHERE p.pubname = %s AND n.nspname = %s "
						"AND c.relname = %s",
						quote_string(publication), quote_string(schema), quote_string(name)))) > 0;
}

bool
is_published_by(Connection *control, const char *publication, const char *schema, const char *name)
{
	return PQntuples(query(control, psprintf("SELECT FROM pg_publication_tables WHERE pubname = %s "
											 "AND schemaname = %s AND tablename = %s",
											 quote_string(publication), quote_string(schema),
											 quote_string(name)))) > 0;
}

char *
alter_sql(const char *publication, const char *action, const char *schema, const char *name)
{
	return psprintf("ALTER PUBLICATION %s %s TABLE %s", quote_name(publication), action,
					quote_table(schema, name));
}

} // namespace

bool
try_publish_table(Connection *control, const char *publication, const char *schema,
				  const char *name, char **refused)
{
	*refused = nullptr;
	if (is_published_by(control, publication, schema, name) ||
		is_member(control, publication, schema, name))
		return true;
	return try_alter(control, alter_sql(publication, "ADD", schema, name), refused);
}

bool
try_withdraw_table(Connection *control, const char *publication, const char *schema,
				   const char *name, char **refused)
{
	*refused = nullptr;
	return !is_member(control, publication, schema, name) ||
		   try_alter(control, alter_sql(publication, "DROP", schema, name), refused);
}

void
check_may_publish(Connection *control, const char *schema, const char *name)
{
	PGresult *result =
		query(control, psprintf("SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c "
								"JOIN pg_namespace n ON n.oid = c.relnamespace "
								"WHERE n.nspname = %s AND c.relname = %s",
								quote_string(schema), quote_string(name)));

	if (PQntuples(result) == 0 || get_bool(result, 0, 0))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("the user at the source may not publish table \"%s.%s\"", schema, name),
			 errdetail("Only the owner of a table can publish it."),
			 errhint("Grant the role that owns the table to the user, or have an administrator "
					 "run ALTER PUBLICATION at the source.")));
}

} // namespace source
