/*
 * source/catalog_identity.cpp
 *
 * Owns: the refusal of tables that the source sends without a part of their identity.
 *
 * A primary key may have generated columns.  Before 18 the source does not send them, and says nothing: what comes of a key
 * (id, generated) is id alone, by which a change would find other rows as well.  From 18 on it refuses such changes itself.
 */
#include "source/catalog.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

/* Generated columns of the identity, where a publication sends changes that need it. */
constexpr char kSql[] = R"(
SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index i ON i.indrelid = c.oid
	AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary END
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attgenerated <> ''
	AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
WHERE c.oid = %u AND EXISTS (
	SELECT FROM pg_publication p JOIN pg_publication_tables t USING (pubname)
	WHERE p.pubname = ANY (%s) AND (p.pubupdate OR p.pubdelete)
		AND t.schemaname = n.nspname AND t.tablename = c.relname))";

constexpr int kRefusesItself = 180000;

} // namespace

void
refuse_hidden_identity(Connection *control, Oid table, const char *schema, const char *name,
					   int npublications, const char *const *publications)
{
	if (control->server_version >= kRefusesItself)
		return;

	PGresult *result =
		query(control, psprintf(kSql, table, array_literal(npublications, publications)));

	if (!is_null(result, 0, 0))
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg(
				 "generated columns belong to the replica identity of source table \"%s.%s\": %s",
				 schema, name, get_text(result, 0, 0)),
			 errdetail("The source does not send them, and without them a change would find other "
					   "rows as well."),
			 errhint(
				 "Run at the source: ALTER TABLE %s REPLICA IDENTITY USING INDEX ...; of a unique "
				 "index without them, or REPLICA IDENTITY FULL; then call "
				 "livesync.retry_table().",
				 quote_qualified_identifier(schema, name))));
}

} // namespace source
