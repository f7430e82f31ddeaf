/*
 * api/check.hpp
 *
 * The target's side of livesync.check_source(): this server, and the tables that are here already.
 *
 * In: what the source says.  Out: more rows of the same list.  The source's side is in
 * source/check.hpp; the two meet in check_source.cpp.
 */
#pragma once

#include "source/catalog.hpp"
#include "source/check.hpp"
#include "source/inventory.hpp"

namespace api
{

/* The tables that a connector would sync, there and here. */
struct TablesQuestion
{
	source::CheckList *list;
	source::Connection *connection;
	bool is_superuser; /* of the source */
	int npublications;
	char **publications;
	int ntables;
	char **tables;
};
void check_tables(const TablesQuestion &question);

/* Extensions of the source that types or indexes of these tables come from; only of tables that would be created here. */
void check_extensions(source::CheckList *list, source::Connection *connection,
					  const source::SourceTables &tables);

/* How to get the extension here; `why`, a text with a space in front, or "". */
const char *extension_hint(const char *extension, const char *why);

/* What to do about generated columns of the identity that are not published; name: quoted. */
char *hidden_identity_hint(const char *name);

/* A WARNING when the table, as people write it, has none. */
void warn_without_key(source::Connection *connection, const char *table_name);

/* Free worker processes, connectors, origins; that it may write. */
void check_target_server(source::CheckList *list);

/*
 * The table that the changes would go to, of the same name: missing, so that it is created, if its
 * types are here; or there, and how it differs.
 */
struct TargetQuestion
{
	source::Connection *connection;
	const char *schema;
	const char *name;
	source::SourceColumns columns; /* of the source table */
	int npublished;				   /* those that are published; 0: all but generated ones */
	char **published;
	int nkeys;
	char **keys;
};
void check_target_table(source::CheckList *list, const TargetQuestion &question);

/* That the current user may own such a connector; false: he may not, and a row says so. */
bool check_may_create(source::CheckList *list, const char *schema, const char *label);
bool check_may_write(source::CheckList *list, Oid relid, const char *label);

} // namespace api
