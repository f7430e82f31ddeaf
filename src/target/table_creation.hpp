/*
 * target/table_creation.hpp
 *
 * Creates a missing target table: columns, types, NOT NULL, identity, defaults that need nothing of the source, and
 * the primary key.  Foreign keys and triggers are never brought.
 */
#pragma once

#include "base/pg.hpp"

namespace target
{

struct NewColumn
{
	const char *name;
	const char *type;	   /* as format_type() of the source gives it, schema-qualified */
	const char *collation; /* quoted; nullptr: the type's */
	bool not_null;
	char identity;			   /* a, d or '\0' */
	const char *default_value; /* an expression, or nullptr */
};

struct NewTable
{
	const char *schema;
	const char *name;
	int ncolumns;
	const NewColumn *columns;
	int nkeys;
	const char *const *keys;
};

/* name type [COLLATE] [NOT NULL] [identity or DEFAULT] */
void append_column(StringInfo sql, const NewColumn &column);

void create_table(const NewTable &table);

} // namespace target
