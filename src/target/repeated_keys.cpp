/*
 * target/repeated_keys.cpp
 *
 * See repeated_keys.hpp.
 */
#include "target/repeated_keys.hpp"

#include "base/sql.hpp"
#include "target/statement_text.hpp"

namespace target
{
namespace
{

/* "a, b", with a prefix such as "t." before each. */
char *
key_list(const TargetRelation *relation, const char *prefix)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int k = 0; k < relation->nkeys; k++)
		appendStringInfo(&sql, "%s%s%s", k > 0 ? ", " : "", prefix,
						 quote_identifier(relation->columns[relation->keys[k]].name));
	return sql.data;
}

char *
batch_key_list(const TargetRelation *relation)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int k = 0; k < relation->nkeys; k++)
		appendStringInfo(&sql, "%sb.k%d", k > 0 ? ", " : "", k);
	return sql.data;
}

/* "t.a = r.a AND …": the columns of `other` are the key's, or k0, k1, … */
char *
key_match(const TargetRelation *relation, const char *other, bool is_numbered)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int k = 0; k < relation->nkeys; k++)
	{
		const TargetColumn &column = relation->columns[relation->keys[k]];
		const char *name = quote_identifier(column.name);

		appendStringInfo(&sql, "%st.%s %s %s.%s", k > 0 ? " AND " : "", name, column.equality,
						 other, is_numbered ? psprintf("k%d", k) : name);
	}
	return sql.data;
}

} // namespace

uint64
remove_repeated_keys(const TargetRelation *relation)
{
	const char *columns = key_list(relation, "");
	Role role = become_owner(relation->owner);
	uint64 removed = base::run_alone(psprintf(
		"DELETE FROM %s t USING (SELECT %s, pg_catalog.max(ctid) AS kept FROM %s "
		"GROUP BY %s HAVING pg_catalog.count(*) > 1) r WHERE t.ctid <> r.kept AND %s",
		relation->sql_name, columns, relation->sql_name, columns, key_match(relation, "r", false)));

	restore_role(role);
	return removed;
}

KeySet
open_key_set(TargetRelation *relation)
{
	return KeySet{relation, tuplestore_begin_heap(true, false, work_mem), 0};
}

void
add_keys(KeySet *keys, const WriteRow *rows, size_t count)
{
	Role role = become_owner(keys->relation->owner);

	add_to_store(keys->relation, keys->store, rows, count);
	restore_role(role);
	keys->count += count;
}

/* By their places: the rows to go are few, and a second join would look at all others again. */
uint64
remove_repeated_keys(KeySet *keys)
{
	TargetRelation *relation = keys->relation;
	char *sql = psprintf(
		"WITH repeated AS MATERIALIZED (SELECT t.ctid AS place, pg_catalog.row_number() OVER "
		"(PARTITION BY %s) AS n FROM %s t JOIN (SELECT DISTINCT %s FROM %s b) r ON %s) "
		"DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT place FROM repeated WHERE n > 1))",
		key_list(relation, "t."), relation->sql_name, batch_key_list(relation), kBatchName,
		key_match(relation, "r", true), relation->sql_name);
	Role role = become_owner(relation->owner);

	base::begin_sql();
	register_store(relation, keys->store, keys->count);
	uint64 removed = base::run_sql(sql);

	base::end_sql();
	restore_role(role);
	tuplestore_end(keys->store);
	return removed;
}

} // namespace target
