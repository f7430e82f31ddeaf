/*
 * source/catalog_hypertables.cpp
 *
 * Owns: the refusal of hypertables of TimescaleDB as source tables.
 *
 * A publication of a hypertable publishes its root, which never holds a row.  Its changes are those of its chunks, tables
 * of their own that come and go, each with its own relation in the stream, and rows in the columnstore change without a
 * change in the stream.  A copy would end well, with no rows, and stay so.
 */
#include "source/catalog.hpp"
#include "source/result.hpp"

namespace source
{

void
refuse_hypertable(Connection *control, Oid table, const char *schema, const char *name)
{
	PGresult *installed =
		query(control, "SELECT to_regclass('_timescaledb_catalog.hypertable') IS NOT NULL");

	if (!get_bool(installed, 0, 0))
		return;
	PGresult *found = query(
		control, psprintf("SELECT FROM _timescaledb_catalog.hypertable h JOIN pg_namespace n "
						  "ON n.nspname = h.schema_name JOIN pg_class c ON c.relnamespace = n.oid "
						  "AND c.relname = h.table_name WHERE c.oid = %u",
						  table));

	if (PQntuples(found) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s.%s\" is a hypertable at the source", schema, name),
				 errdetail("Its rows are in chunks, which logical replication sends as tables of "
						   "their own, and not at all once they are in the columnstore."),
				 errhint("Take it out of the publication; copy it by other means, such as "
						 "pg_dump.")));
}

} // namespace source
