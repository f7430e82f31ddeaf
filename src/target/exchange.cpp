/*
 * target/exchange.cpp
 *
 * See exchange.hpp.
 *
 *   the key has its index    only rows that differ are touched: delete, update, insert
 *   it has none              rows cannot be paired: all of them are deleted and inserted
 *
 * Surprising: rows are compared as they are stored, not by the equality of their types: 1.0 and 1.00 are equal, and not the same.
 */
#include "target/exchange.hpp"

#include "base/role.hpp"
#include "base/sql.hpp"
#include "base/subtransaction.hpp"
#include "target/hypertable.hpp"

namespace target
{
namespace
{

struct Exchange
{
	const TargetRelation *relation;
	const char *shadow; /* quoted */
	Differences result;
};

char *
column_list(const TargetRelation *relation, const char *prefix)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < relation->ncolumns; i++)
		appendStringInfo(&list, "%s%s%s", i > 0 ? ", " : "", prefix,
						 quote_identifier(relation->columns[i].name));
	return list.data;
}

char *
key_list(const TargetRelation *relation)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int k = 0; k < relation->nkeys; k++)
		appendStringInfo(&list, "%s%s", k > 0 ? ", " : "",
						 quote_identifier(relation->columns[relation->keys[k]].name));
	return list.data;
}

/* m is the table, s the shadow. */
char *
same_key(const TargetRelation *relation)
{
	StringInfoData condition;

	initStringInfo(&condition);
	for (int k = 0; k < relation->nkeys; k++)
	{
		const TargetColumn &column = relation->columns[relation->keys[k]];
		const char *name = quote_identifier(column.name);

		appendStringInfo(&condition, "%sm.%s %s s.%s", k > 0 ? " AND " : "", name, column.equality,
						 name);
	}
	return condition.data;
}

char *
row_comparison(const TargetRelation *relation, const char *comparison)
{
	return psprintf("ROW(%s)::pg_catalog.record OPERATOR(pg_catalog.%s) "
					"ROW(%s)::pg_catalog.record",
					column_list(relation, "m."), comparison, column_list(relation, "s."));
}

char *
assignments(const TargetRelation *relation)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < relation->ncolumns; i++)
	{
		const char *name = quote_identifier(relation->columns[i].name);

		appendStringInfo(&list, "%s%s = s.%s", i > 0 ? ", " : "", name, name);
	}
	return list.data;
}

int64
delete_unless(const Exchange *it, const char *condition)
{
	return (int64) base::run_alone(
		psprintf("DELETE FROM %s m WHERE NOT EXISTS (SELECT FROM %s s WHERE %s)",
				 it->relation->sql_name, it->shadow, condition));
}

int64
insert_missing(const Exchange *it)
{
	char *columns = column_list(it->relation, "");

	return (int64) base::run_alone(
		psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s s "
				 "WHERE NOT EXISTS (SELECT FROM %s m WHERE %s)",
				 it->relation->insert_name, columns, columns, it->shadow, it->relation->sql_name,
				 same_key(it->relation)));
}

/* Columns that only the table has keep their values. */
void
by_updates(void *argument)
{
	Exchange *it = (Exchange *) argument;

	it->result.deleted = delete_unless(it, same_key(it->relation));
	it->result.updated = (int64) base::run_alone(
		psprintf("UPDATE %s m SET %s FROM %s s WHERE %s AND %s", it->relation->sql_name,
				 assignments(it->relation), it->shadow, same_key(it->relation),
				 row_comparison(it->relation, "*<>")));
	it->result.inserted = insert_missing(it);
}

/* Where rows are in each other's way for a moment, in another unique index, or must get a new number. */
void
by_replacing(Exchange *it)
{
	it->result = {};
	it->result.deleted = delete_unless(
		it, psprintf("%s AND %s", same_key(it->relation), row_comparison(it->relation, "*=")));
	it->result.inserted = insert_missing(it);
}

void
all_rows(Exchange *it)
{
	char *columns = column_list(it->relation, "");

	it->result.deleted =
		(int64) base::run_alone(psprintf("DELETE FROM %s", it->relation->sql_name));
	it->result.inserted = (int64) base::run_alone(
		psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s",
				 it->relation->insert_name, columns, columns, it->shadow));
}

bool
is_conflict(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
		   error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

bool
has_equality(const TargetRelation *relation)
{
	for (int k = 0; k < relation->nkeys; k++)
		if (relation->columns[relation->keys[k]].equality == nullptr)
			return false;
	return true;
}

/*
 * An UPDATE leads no row to another chunk, and TimescaleDB refuses one of a unique index's columns in the columnstore.  What
 * only the table has would be lost.
 */
bool
is_replaced(const TargetRelation *relation)
{
	return relation->hypertable != nullptr && relation->nextra == 0;
}

} // namespace

void
create_shadow(const TargetRelation *relation, const char *schema, const char *name)
{
	const char *shadow = quote_qualified_identifier(schema, name);

	base::run_alone(psprintf("CREATE TABLE %s AS SELECT %s FROM %s WITH NO DATA", shadow,
							 column_list(relation, ""), relation->sql_name));
	if (relation->nkeys > 0)
		base::run_alone(
			psprintf("ALTER TABLE %s ADD PRIMARY KEY (%s)", shadow, key_list(relation)));
	base::run_alone(psprintf("ALTER TABLE %s OWNER TO %s", shadow,
							 quote_identifier(GetUserNameFromId(relation->owner, false))));
	base::run_alone(psprintf("COMMENT ON TABLE %s IS 'new copy of %s, made by "
							 "livesync.resync_table()'",
							 shadow, quote_identifier(relation->name)));
}

void
drop_shadow(const char *schema, const char *name)
{
	base::run_alone(psprintf("DROP TABLE IF EXISTS %s", quote_qualified_identifier(schema, name)));
}

Differences
take_over(const TargetRelation *relation, const char *shadow_schema, const char *shadow_name)
{
	Exchange it{relation, quote_qualified_identifier(shadow_schema, shadow_name), {}};
	Role role = become_owner(relation->owner);

	if (relation->hypertable != nullptr)
		set_for_hypertable(); /* until the role ends */
	if (relation->nkeys == 0 || !relation->has_key_index || !has_equality(relation))
		all_rows(&it);
	else if (relation->has_always_identity || is_replaced(relation))
		by_replacing(&it);
	else
	{
		ErrorData *error = base::run_in_subtransaction(by_updates, &it);

		if (error != nullptr && !is_conflict(error))
			ereport(ERROR, (errcode(error->sqlerrcode), errmsg_internal("%s", error->message),
							error->detail ? errdetail_internal("%s", error->detail) : 0));
		if (error != nullptr)
			by_replacing(&it);
	}
	restore_role(role);
	return it.result;
}

} // namespace target
