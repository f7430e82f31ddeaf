/*
 * target/schema_change.cpp
 *
 * See schema_change.hpp.
 */
#include "target/schema_change.hpp"

#include "base/sql.hpp"
#include "target/relation.hpp"

namespace target
{
namespace
{

/* Modifiers that are a length or a number of digits: -1 is without bound. */
bool
is_longer(int32 old_modifier, int32 new_modifier)
{
	return old_modifier >= 0 && (new_modifier < 0 || new_modifier > old_modifier);
}

/* (precision << 16 | scale) + VARHDRSZ; the scale is 11 bits, signed, since 15 */
bool
is_wider_numeric(int32 old_modifier, int32 new_modifier)
{
	if (old_modifier < 0)
		return false;
	if (new_modifier < 0)
		return true;

	int32 old_bits = old_modifier - VARHDRSZ;
	int32 new_bits = new_modifier - VARHDRSZ;
	int32 old_scale = ((old_bits & 0x7ff) ^ 1024) - 1024;
	int32 new_scale = ((new_bits & 0x7ff) ^ 1024) - 1024;
	int32 old_precision = (old_bits >> 16) & 0xffff;
	int32 new_precision = (new_bits >> 16) & 0xffff;

	return new_scale >= old_scale && new_precision - new_scale >= old_precision - old_scale &&
		   new_bits != old_bits;
}

} // namespace

FoundColumn
find_column(const char *schema, const char *table, const char *column)
{
	FoundColumn it{};
	HeapTuple tuple = SearchSysCacheAttName(find_table(schema, table), column);

	if (!HeapTupleIsValid(tuple))
		return it;

	Form_pg_attribute attribute = (Form_pg_attribute) GETSTRUCT(tuple);

	it.exists = true;
	it.type = attribute->atttypid;
	it.modifier = attribute->atttypmod;
	ReleaseSysCache(tuple);
	return it;
}

bool
is_wider(Oid old_type, int32 old_modifier, Oid new_type, int32 new_modifier)
{
	bool is_unbounded_numeric = new_type == NUMERICOID && new_modifier < 0;

	switch (old_type)
	{
		case INT2OID:
			return new_type == INT4OID || new_type == INT8OID || is_unbounded_numeric;
		case INT4OID:
			return new_type == INT8OID || is_unbounded_numeric;
		case INT8OID:
			return is_unbounded_numeric;
		case FLOAT4OID:
			return new_type == FLOAT8OID;
		case VARCHAROID:
			return new_type == TEXTOID ||
				   (new_type == VARCHAROID && is_longer(old_modifier, new_modifier));
		case BPCHAROID:
		case VARBITOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return new_type == old_type && is_longer(old_modifier, new_modifier);
		case NUMERICOID:
			return new_type == NUMERICOID && is_wider_numeric(old_modifier, new_modifier);
	}
	return false;
}

char *
add_column_sql(const char *schema, const char *table, const NewColumn &column, const char *added)
{
	const char *name = quote_qualified_identifier(schema, table);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER TABLE %s ADD COLUMN ", name);
	if (added == nullptr)
	{
		NewColumn plain = column;

		/* a default would be given to the rows that are there */
		plain.default_value = nullptr;
		append_column(&sql, plain);
	}
	else
	{
		NewColumn filled = column;

		filled.default_value = quote_literal_cstr(added);
		append_column(&sql, filled);
	}
	if (column.default_value != nullptr)
		appendStringInfo(&sql, "; ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", name,
						 quote_identifier(column.name), column.default_value);
	else if (added != nullptr)
		appendStringInfo(&sql, "; ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT", name,
						 quote_identifier(column.name));
	return sql.data;
}

char *
drop_column_sql(const char *schema, const char *table, const char *column)
{
	return psprintf("ALTER TABLE %s DROP COLUMN %s", quote_qualified_identifier(schema, table),
					quote_identifier(column));
}

char *
rename_column_sql(const char *schema, const char *table, const char *column, const char *new_name)
{
	return psprintf("ALTER TABLE %s RENAME COLUMN %s TO %s",
					quote_qualified_identifier(schema, table), quote_identifier(column),
					quote_identifier(new_name));
}

char *
widen_column_sql(const char *schema, const char *table, const char *column, Oid type,
				 int32 modifier)
{
	return psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s",
					quote_qualified_identifier(schema, table), quote_identifier(column),
					format_type_with_typemod(type, modifier));
}

void
alter_table(const char *schema, const char *table, const char *sql)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(find_table(schema, table)));

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("target table \"%s.%s\" does not exist", schema, table)));
	Oid owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;

	ReleaseSysCache(tuple);
	Role role = become_owner(owner);

	base::run_alone(sql);
	restore_role(role);
}

} // namespace target
