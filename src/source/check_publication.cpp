/*
 * source/check_publication.cpp
 *
 * The named publications, or the right to make one; where types come from.  See check.hpp.
 */
#include "source/check.hpp"

#include "source/result.hpp"

namespace source
{
namespace
{

char *
describe_publication(const PGresult *result, int row)
{
	static const char *const kNames[] = {"insert", "update", "delete", "truncate"};
	StringInfoData actions;

	initStringInfo(&actions);
	for (int i = 0; i < 4; i++)
	{
		if (get_bool(result, row, 2 + i))
			appendStringInfo(&actions, "%s%s", actions.len > 0 ? ", " : "", kNames[i]);
	}
	return psprintf("publishes %s of %s tables", actions.len > 0 ? actions.data : "nothing",
					PQgetvalue(result, row, 6));
}

void
check_publication(CheckList *list, const PGresult *result, int row)
{
	char *name = get_text(result, row, 0);

	if (!get_bool(result, row, 1))
		return add_check(list, Check{"publication", name, CheckStatus::error,
									 "it does not exist in this database of the source",
									 "Create it there, or correct the name; upper and lower case "
									 "matter."});

	bool complete = true;

	for (int i = 2; i < 6; i++)
		complete &= get_bool(result, row, i);
	char *detail = describe_publication(result, row);

	if (get_int64(result, row, 6) == 0)
		add_check(
			list,
			Check{"publication", name, CheckStatus::warning, detail,
				  psprintf("Add tables: ALTER PUBLICATION %s ADD TABLE ...; they are followed.",
						   quote_identifier(name))});
	else if (!complete)
		add_check(list,
				  Check{"publication", name, CheckStatus::warning, detail,
						psprintf("What it does not publish is not applied at the target; for equal "
								 "tables: ALTER PUBLICATION %s SET (publish = 'insert, update, "
								 "delete, truncate');",
								 quote_identifier(name))});
	else
		add_check(list, Check{"publication", name, CheckStatus::ok, detail, nullptr});
}

} // namespace

void
check_publications(CheckList *list, Connection *connection, int npublications,
				   const char *const *publications)
{
	if (npublications == 0)
	{
		PGresult *result =
			query(connection, "SELECT has_database_privilege(current_database(), 'CREATE'), "
							  "current_database(), current_user");
		bool may = get_bool(result, 0, 0);
		const char *database = PQgetvalue(result, 0, 1);
		const char *user = PQgetvalue(result, 0, 2);

		return add_check(
			list,
			Check{"create publication", pstrdup(database),
				  may ? CheckStatus::ok : CheckStatus::error,
				  psprintf("user \"%s\" %s CREATE on the database", user, may ? "has" : "has not"),
				  may ? nullptr
					  : psprintf("Run at the source: GRANT CREATE ON DATABASE %s TO %s;  Or "
								 "have a publication created there and name it in the call.",
								 quote_identifier(database), quote_identifier(user))});
	}
	PGresult *result = query(
		connection,
		psprintf(
			"SELECT n.name, p.oid IS NOT NULL, p.pubinsert, p.pubupdate, "
			"p.pubdelete, p.pubtruncate, CASE WHEN p.oid IS NOT NULL THEN "
			"(SELECT count(*) FROM pg_get_publication_tables(p.pubname::text)) "
			"END FROM unnest(%s) WITH ORDINALITY n(name, place) LEFT JOIN pg_publication p ON p.pubname = n.name "
			"ORDER BY n.place",
			array_literal(npublications, publications)));

	for (int row = 0; row < PQntuples(result); row++)
		check_publication(list, result, row);
}

char *
read_type_extension(Connection *connection, Oid type)
{
	PGresult *result = query(
		connection,
		psprintf("SELECT e.extname FROM pg_type t JOIN pg_depend d ON d.classid = "
				 "'pg_type'::regclass AND d.objid = CASE WHEN t.typlen = -1 AND t.typelem <> 0 "
				 "THEN t.typelem ELSE t.oid END AND d.deptype = 'e' AND d.refclassid = "
				 "'pg_extension'::regclass JOIN pg_extension e ON e.oid = d.refobjid "
				 "WHERE t.oid = %u",
				 type));

	return PQntuples(result) > 0 ? get_text(result, 0, 0) : nullptr;
}

} // namespace source
