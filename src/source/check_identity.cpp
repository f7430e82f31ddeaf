/*
 * source/check_identity.cpp
 *
 * Column lists and row filters that leave out what updates and deletes need.  See check.hpp.
 *
 * The server lets such a publication be made, and refuses the first UPDATE or DELETE afterwards.
 *
 * Surprising: the columns of a row filter are read out of its tree's text.  Its dependencies name
 * them too, but together with those of the column list.
 */
#include "source/check.hpp"

#include "source/result.hpp"

namespace source
{
namespace
{

/* %s: the publications.  Partitions have the identity that counts, so their roots are left alone. */
constexpr char kSql[] = R"(
WITH member AS (
	SELECT p.pubname, r.prattrs::int2[] AS columns, c.relreplident = 'f' AS is_full,
		ARRAY(SELECT x[1]::int2 FROM regexp_matches(r.prqual::text, ':varattno (\d+)', 'g') x) AS filter,
		coalesce((SELECT i.indkey::int2[] FROM pg_index i WHERE i.indrelid = c.oid
			AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary END), '{}') AS key,
		c.oid, n.nspname, c.relname
	FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
	JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE p.pubname = ANY (%s) AND (p.pubupdate OR p.pubdelete) AND c.relkind = 'r'
),
gap AS (
	SELECT m.oid, m.pubname, m.nspname, m.relname,
		string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
			FILTER (WHERE m.columns <> '{}' AND NOT a.attnum = ANY (m.columns)
				AND (m.is_full OR a.attnum = ANY (m.key))) AS left_out,
		string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
			FILTER (WHERE a.attnum = ANY (m.filter) AND NOT m.is_full AND NOT a.attnum = ANY (m.key)) AS filter
	FROM member m JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0 AND NOT a.attisdropped
		AND a.attgenerated = ''
	GROUP BY 1, 2, 3, 4
)
SELECT oid, pubname, nspname, relname, left_out, filter FROM gap
WHERE left_out IS NOT NULL OR filter IS NOT NULL ORDER BY nspname, relname, pubname)";

IdentityGap
read_gap(const PGresult *result, int row)
{
	const char *publication = PQgetvalue(result, row, 1);
	const char *table = psprintf("%s.%s", pstrdup(quote_identifier(PQgetvalue(result, row, 2))),
								 pstrdup(quote_identifier(PQgetvalue(result, row, 3))));
	bool is_list = !is_null(result, row, 4);
	const char *columns = PQgetvalue(result, row, is_list ? 4 : 5);
	IdentityGap gap{};

	gap.table = get_oid(result, row, 0);
	gap.detail = psprintf(
		is_list ? "the column list of publication \"%s\" leaves out what belongs to it (%s), so "
				  "UPDATE and DELETE fail at the source"
				: "the row filter of publication \"%s\" uses what does not belong to it (%s), so "
				  "UPDATE and DELETE fail at the source",
		publication, columns);
	gap.hint = is_list ? psprintf("Publish these columns too, or let the publication send only "
								  "inserts: ALTER PUBLICATION %s SET (publish = 'insert');",
								  quote_identifier(publication))
					   : psprintf("Run at the source: ALTER TABLE %s REPLICA IDENTITY FULL; or "
								  "USING INDEX, of a unique index with these columns too.",
								  table);
	return gap;
}

} // namespace

IdentityGaps
read_identity_gaps(Connection *connection, int npublications, const char *const *publications)
{
	IdentityGaps gaps{};

	/* older ones have neither column lists nor filters */
	if (npublications == 0 || connection->server_version < 150000)
		return gaps;

	PGresult *result =
		query(connection, psprintf(kSql, array_literal(npublications, publications)));

	gaps.count = PQntuples(result);
	gaps.list = static_cast<IdentityGap *>(palloc(sizeof(IdentityGap) * Max(gaps.count, 1)));
	for (int row = 0; row < gaps.count; row++)
		gaps.list[row] = read_gap(result, row);
	return gaps;
}

} // namespace source
