/*
 * api/key_warning.cpp
 *
 * What it means that a table that is being added has no key at the source.  See check.hpp.
 *
 * A warning and no error: such a table can be synced, and the right is with whoever knows how big it is and
 * how it is written to.
 */
#include "api/check.hpp"

namespace api
{
namespace
{

void
warn(char *message, const char *detail, char *hint)
{
	ereport(WARNING, (errmsg_internal("%s", message), errdetail_internal("%s", detail),
					  errhint("%s", hint)));
}

} // namespace

void
warn_without_key(source::Connection *connection, const char *table_name)
{
	source::SourceTables tables = source::read_inventory(connection, 1, &table_name, 0, nullptr);

	for (int i = 0; i < tables.count; i++)
	{
		const source::SourceTable &table = tables.tables[i];
		const char *label = source::table_label(table);
		const char *name = quote_qualified_identifier(table.schema, table.name);

		if (!table.has_identity)
			warn(
				psprintf("table \"%s\" has no replica identity", label),
				"While a publication that sends updates and deletes has it, the source refuses them.",
				psprintf(
					"Run at the source: ALTER TABLE %s ADD PRIMARY KEY ...; or REPLICA IDENTITY FULL.",
					name));
		else if (table.hides_identity)
			warn(
				psprintf("generated columns belong to the replica identity of table \"%s\"", label),
				"While a publication sends its updates and deletes, but not these columns, the "
				"source refuses them or, before 18, they cannot be applied.",
				hidden_identity_hint(name));
		else if (table.replica_identity == REPLICA_IDENTITY_FULL && table.key_count == 0)
			warn(
				psprintf("table \"%s\" has no key at the source", label),
				"It is copied under one snapshot, which the source keeps until all of it is copied; "
				"when that connection is lost the copy begins anew.  Afterwards its updates and "
				"deletes find their rows by all their columns, by searching the table once for each "
				"batch.",
				psprintf("If you can, run at the source: ALTER TABLE %s ADD PRIMARY KEY ...;",
						 name));
	}
}

} // namespace api
