/*
 * target/schema_change.hpp
 *
 * Changes of a target's columns: the statements, and which change of a type loses nothing.
 *
 * Out: SQL as text, so that it can be run or be shown as a hint.  It is run as the table's owner.
 *
 * Must not know: why, and what the source is.
 */
#pragma once

#include "target/table_creation.hpp"

namespace target
{

struct FoundColumn
{
	bool exists;
	Oid type;
	int32 modifier;
};

FoundColumn find_column(const char *schema, const char *table, const char *column);

/*
 * Does every value of the old type have the same meaning in the new one, with more room?  For built-in
 * types, whose oids are the same everywhere.
 */
bool is_wider(Oid old_type, int32 old_modifier, Oid new_type, int32 new_modifier);

/* Rows that are there get `added`, later ones the column's default.  Without a semicolon; two commands in one string at most. */
char *add_column_sql(const char *schema, const char *table, const NewColumn &column,
					 const char *added);
char *drop_column_sql(const char *schema, const char *table, const char *column);
char *rename_column_sql(const char *schema, const char *table, const char *column,
						const char *new_name);
char *widen_column_sql(const char *schema, const char *table, const char *column, Oid type,
					   int32 modifier);

void alter_table(const char *schema, const char *table, const char *sql);

} // namespace target
