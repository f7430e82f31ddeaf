/*
 * source/partition_identity.cpp
 *
 * See partition_identity.hpp.
 */
#include "source/partition_identity.hpp"

#include "source/result.hpp"

namespace source
{
namespace
{

enum Field
{
	kRoot,
	kRootName,
	kRootIdentity,
	kRootKey,
	kLeafName,
	kLeafIsFull,
	kLeafKey,
	kOthers,
	kFitsByKey,
};

/*
 * %s: oids of tables; what else must be true of them; partitions that are being detached.  Names and not numbers of columns are
 * compared, which are others in a partition.  With FULL, the key is the primary key: by that rows are found here.
 */
constexpr char kSql[] = R"(
WITH RECURSIVE tree AS (
	SELECT c.oid AS root, c.oid AS relid, c.relkind
	FROM pg_class c WHERE c.oid = ANY (%s::oid[]) AND c.relkind = 'p'%s
	UNION ALL
	SELECT t.root, c.oid, c.relkind
	FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid%s JOIN pg_class c ON c.oid = i.inhrelid
	WHERE t.relkind = 'p'
),
identity AS MATERIALIZED (
	SELECT t.root, t.relid, c.relreplident, k.names,
		quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
	FROM tree t JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN LATERAL (
		SELECT array_agg(a.attname::text ORDER BY a.attnum) AS names
		FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
			AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
		WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
			AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'n' THEN false
				ELSE i.indisprimary END) k ON true
	WHERE c.relkind = 'r' OR t.relid = t.root
),
pairs AS (
	SELECT r.root, r.name AS root_name, r.relreplident AS root_identity, r.names AS root_names,
		l.name, l.relreplident = 'f' AS is_full, l.names, l.relid,
		CASE WHEN l.relreplident = 'f' THEN r.relreplident = 'f' OR r.names IS NOT NULL
			WHEN l.names IS NULL THEN true
			ELSE coalesce(r.names <@ l.names, false) END AS fits,
		r.relreplident = 'f' AND l.relreplident <> 'f' AND l.names IS NOT NULL AS by_key
	FROM identity r JOIN identity l ON l.root = r.root AND l.relid <> r.root
	WHERE r.relid = r.root
)
SELECT DISTINCT ON (o.root) o.root, o.root_name, o.root_identity, array_to_string(o.root_names, ', '),
	o.name, o.is_full, array_to_string(o.names, ', '),
	count(*) OVER (PARTITION BY o.root, o.fits) - 1, o.fits
FROM pairs o WHERE NOT o.fits OR o.by_key ORDER BY o.root, o.fits, o.relid)";

constexpr char kSendsChanges[] = R"(
		AND EXISTS (
			SELECT FROM pg_publication p JOIN pg_publication_tables t USING (pubname)
			WHERE p.pubname = ANY (%s) AND (p.pubupdate OR p.pubdelete)
				AND t.tablename = c.relname AND t.schemaname = (
					SELECT n.nspname FROM pg_namespace n WHERE n.oid = c.relnamespace)))";

const char *
describe(bool is_full, const char *key)
{
	if (is_full)
		return "all columns (FULL)";
	return key != nullptr ? psprintf("(%s)", key) : "nothing";
}

char *
hint_for(char root_identity, const char *root_key, const char *root, const char *leaf)
{
	if (root_identity == 'f')
		return psprintf("Run at the source: ALTER TABLE %s REPLICA IDENTITY FULL;", leaf);
	if (root_key == nullptr)
		return psprintf("Run at the source, for the table and each of its partitions: ALTER TABLE "
						"%s REPLICA IDENTITY FULL;",
						root);
	if (root_identity == 'i')
		return psprintf("Run at the source: ALTER TABLE %s REPLICA IDENTITY USING INDEX ...; of "
						"its unique index on (%s);",
						leaf, root_key);
	return psprintf("Run at the source: ALTER TABLE %s REPLICA IDENTITY DEFAULT;", leaf);
}

OddPartition
read_odd(const PGresult *result, int row)
{
	char root_identity = get_char(result, row, kRootIdentity);
	const char *root_key = get_text(result, row, kRootKey);
	const char *leaf = get_text(result, row, kLeafName);
	int64 others = get_int64(result, row, kOthers);
	OddPartition odd{};

	odd.root = get_oid(result, row, kRoot);
	odd.fits_by_key = get_bool(result, row, kFitsByKey);
	odd.detail = psprintf(
		"\"%s\"%s is identified by %s%s, the table that it is published under by %s, so changes "
		"would not find their rows",
		leaf, others > 0 ? psprintf(" (as " INT64_FORMAT " more)", others) : "",
		describe(get_bool(result, row, kLeafIsFull), get_text(result, row, kLeafKey)),
		odd.fits_by_key ? ", on which the target has no unique index" : "",
		describe(root_identity == 'f', root_key));
	odd.hint = hint_for(root_identity, root_key, get_text(result, row, kRootName), leaf);
	return odd;
}

OddPartitions
find(Connection *control, int count, const Oid *tables, const char *condition)
{
	OddPartitions odd{};
	char **oids = static_cast<char **>(palloc(sizeof(char *) * (count + 1)));

	for (int i = 0; i < count; i++)
		oids[i] = psprintf("%u", tables[i]);

	PGresult *result = query(
		control, psprintf(kSql, array_literal(count, oids), condition,
						  control->server_version >= 140000 ? " AND NOT i.inhdetachpending" : ""));

	odd.count = PQntuples(result);
	odd.list = static_cast<OddPartition *>(palloc(sizeof(OddPartition) * (odd.count + 1)));
	for (int row = 0; row < odd.count; row++)
		odd.list[row] = read_odd(result, row);
	return odd;
}

} // namespace

OddPartitions
find_odd_partitions(Connection *control, int count, const Oid *tables)
{
	return count > 0 ? find(control, count, tables, "") : OddPartitions{};
}

const OddPartition *
find_odd_partition(const OddPartitions &odd, Oid root, bool has_key)
{
	for (int i = 0; i < odd.count; i++)
		if (odd.list[i].root == root && !(has_key && odd.list[i].fits_by_key))
			return &odd.list[i];
	return nullptr;
}

void
raise_odd_partition(const OddPartition &odd, const char *table, const char *what_then)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("a partition of source table \"%s\" has another replica identity", table),
			 errdetail("%s.", odd.detail), errhint("%s then call %s.", odd.hint, what_then)));
}

void
refuse_odd_partitions(Connection *control, Oid table, const char *schema, const char *name,
					  int npublications, const char *const *publications, bool has_key)
{
	OddPartitions odd = find(control, 1, &table,
							 psprintf(kSendsChanges, array_literal(npublications, publications)));

	const OddPartition *it = find_odd_partition(odd, table, has_key);

	if (it != nullptr)
		raise_odd_partition(*it, psprintf("%s.%s", schema, name), "livesync.retry_table()");
}

} // namespace source
