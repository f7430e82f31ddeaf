/*
 * target/hypertable.cpp
 *
 * See hypertable.hpp.
 */
#include "target/hypertable.hpp"

#include "base/sql.hpp"

namespace target
{
namespace
{

/* Where the extension's functions are, quoted; nullptr: it is not in this database. */
char *
extension_schema()
{
	base::SqlScope scope = base::begin_sql();
	bool found = base::run_sql("SELECT n.nspname::text FROM pg_catalog.pg_extension e "
							   "JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace "
							   "WHERE e.extname = 'timescaledb'") > 0;
	char *schema = found ? base::get_text(scope, 0, 1) : nullptr;

	base::end_sql();
	return schema != nullptr ? pstrdup(quote_identifier(schema)) : nullptr;
}

/* Dimensions are values of their own since 2.13. */
bool
has_dimension_builders(const char *schema)
{
	return base::run_alone("SELECT FROM pg_catalog.pg_proc WHERE proname = 'by_range' "
						   "AND pronamespace = pg_catalog.to_regnamespace($1)",
						   {base::text_value(schema)}) > 0;
}

} // namespace

bool
is_hypertable(Oid relid)
{
	if (!OidIsValid(get_extension_oid("timescaledb", true)))
		return false;
	return base::run_alone("SELECT FROM _timescaledb_catalog.hypertable h "
						   "JOIN pg_catalog.pg_namespace n ON n.nspname = h.schema_name "
						   "JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid "
						   "AND c.relname = h.table_name WHERE c.oid = $1",
						   {base::oid_value(relid)}) > 0;
}

Hypertable *
read_hypertable(Oid relid)
{
	if (!OidIsValid(get_extension_oid("timescaledb", true)))
		return nullptr;

	base::SqlScope scope = base::begin_sql();
	int count =
		(int) base::run_sql("SELECT d.column_name::text, coalesce(d.interval_length, 0) "
							"FROM _timescaledb_catalog.hypertable h "
							"JOIN pg_catalog.pg_namespace n ON n.nspname = h.schema_name "
							"JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid "
							"AND c.relname = h.table_name "
							"JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id "
							"WHERE c.oid = $1 ORDER BY d.interval_length IS NULL, d.id",
							{base::oid_value(relid)});
	Hypertable *it = nullptr;

	if (count > 0)
	{
		it = (Hypertable *) MemoryContextAllocZero(scope.caller, sizeof(Hypertable));
		it->ndimensions = count;
		it->dimensions = (char **) MemoryContextAlloc(scope.caller, sizeof(char *) * count);
		it->chunk_length = base::get_bigint(0, 2);
		for (int i = 0; i < count; i++)
			it->dimensions[i] = base::get_text(scope, (uint64) i, 1);
	}
	base::end_sql();
	return it;
}

void
set_for_hypertable()
{
	constexpr const char *kSettings[][2] = {
		{"plan_cache_mode", "force_custom_plan"},
		{"timescaledb.max_tuples_decompressed_per_dml_transaction", "0"},
		{"enable_bitmapscan", "off"},
	};

	for (const auto &it : kSettings)
		(void) set_config_option(it[0], it[1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
}

void
make_hypertable(const NewHypertable &wanted)
{
	const char *schema = extension_schema();
	const char *interval = wanted.chunk_interval ? ", $3::pg_catalog.interval" : "";
	const char *named =
		wanted.chunk_interval ? ", chunk_time_interval => $3::pg_catalog.interval" : "";

	if (schema == nullptr)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("target table \"%s.%s\" shall be a hypertable, but the extension timescaledb "
					"is not in this database",
					wanted.schema, wanted.name),
			 errhint("Call CREATE EXTENSION timescaledb, then livesync.retry_table().")));
	char *call = has_dimension_builders(schema)
					 ? psprintf("%s.by_range($2::pg_catalog.name%s)", schema, interval)
					 : psprintf("$2::pg_catalog.name%s", named);
	const char *table = quote_qualified_identifier(wanted.schema, wanted.name);

	base::run_alone(
		psprintf("SELECT FROM %s.create_hypertable($1::pg_catalog.regclass, %s)", schema, call),
		{base::text_value(table), base::text_value(wanted.time_column),
		 base::text_value(wanted.chunk_interval)});
}

} // namespace target
