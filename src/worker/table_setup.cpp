/*
 * worker/table_setup.cpp
 *
 * See table_setup.hpp.
 */
#include "worker/table_setup.hpp"

#include "base/names.hpp"
#include "source/partition_identity.hpp"
#include "state/event.hpp"
#include "state/shape.hpp"
#include "target/apply.hpp"
#include "target/hypertable.hpp"
#include "target/table_creation.hpp"
#include "worker/follow.hpp"
#include "worker/indexes.hpp"
#include "worker/resync.hpp"
#include "worker/routes.hpp"

namespace worker
{
namespace
{

bool
is_published_column(const state::SyncedTable *table, const char *name)
{
	return base::is_among(name, table->ncolumns, table->columns);
}

void
add_keys(const state::SyncedTable *table, source::Connection *control, target::NewTable *it)
{
	int count;
	char **keys = source::read_key_columns(control, table->source_oid, &count);

	if (!base::are_among(count, keys, table->ncolumns, table->columns))
		return;
	it->nkeys = count;
	it->keys = keys;
}

/* A unique index of a hypertable must contain the time column. */
void
add_time_to_key(const state::SyncedTable *table, target::NewTable *it)
{
	const char *column = table->hypertable_column;

	if (column == nullptr || it->nkeys == 0 || base::is_among(column, it->nkeys, it->keys))
		return;
	const char **keys = (const char **) palloc(sizeof(char *) * (it->nkeys + 1));

	memcpy(keys, it->keys, sizeof(char *) * it->nkeys);
	keys[it->nkeys++] = column;
	it->keys = keys;
}

void
create_hypertable(const state::Connector *config, const state::SyncedTable *table)
{
	const char *column = table->hypertable_column;
	const char *name = state::source_table_name(table);

	if (!is_published_column(table, column))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no published column \"%s\" to make a hypertable by", name,
						column),
				 errhint("Name a time column of the source table that its publication sends.")));
	target::Role role = target::become_owner(config->owner);

	target::make_hypertable(target::NewHypertable{table->target_schema, table->target_name, column,
												  table->chunk_interval});
	target::restore_role(role);
	state::record_event(config->name, name, "hypertable_created",
						psprintf("%s.%s by %s", table->target_schema, table->target_name, column));
	if (table->nkey_columns > 0 && !base::is_among(column, table->nkey_columns, table->key_columns))
		state::record_event(
			config->name, name, "key_without_time",
			psprintf("The key of the source does not contain %s, which every unique "
					 "index of the hypertable must: changes search all chunks. "
					 "Better give the source a unique index on the key and %s, and "
					 "REPLICA IDENTITY USING INDEX.",
					 column, column));
}

void
create_target(const state::Connector *config, const state::SyncedTable *table,
			  source::Connection *control, const source::SourceColumns &from)
{
	target::NewColumn *columns =
		(target::NewColumn *) palloc0(sizeof(target::NewColumn) * (from.count + 1));
	target::NewTable it{table->target_schema, table->target_name, 0, columns, 0, nullptr};

	for (int i = 0; i < from.count; i++)
	{
		const source::SourceColumn &column = from.columns[i];

		if (!is_published_column(table, column.name))
			continue;
		columns[it.ncolumns++] =
			target::NewColumn{column.name,	   column.type,		column.collation,
							  column.not_null, column.identity, column.constant_default};
	}
	/* the other tables get their keys after the load */
	if (table->hypertable_column != nullptr)
		add_keys(table, control, &it);
	add_time_to_key(table, &it);

	target::Role role = target::become_creator(table->target_schema);

	target::create_table(it);
	target::restore_role(role);
	note_indexes(config, table, control);
	state::record_event(config->name, state::source_table_name(table), "target_created",
						psprintf("%s.%s", table->target_schema, table->target_name));
	if (table->hypertable_column != nullptr)
		create_hypertable(config, table);
}

/* A table that is there already is left as it is: making a hypertable of it is its owner's decision. */
void
check_is_hypertable(const state::SyncedTable *table)
{
	Oid schema = get_namespace_oid(table->target_schema, true);
	Oid relid = OidIsValid(schema) ? get_relname_relid(table->target_name, schema) : InvalidOid;

	if (table->hypertable_column == nullptr || !OidIsValid(relid) || target::is_hypertable(relid))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("target table \"%s.%s\" exists and is not a hypertable", table->target_schema,
					table->target_name),
			 errhint("Make it one by create_hypertable(), or drop it to let the connector create "
					 "it; then call livesync.retry_table().")));
}

/*
 * A first copy may meet rows that are there when an index tells the twice ones apart.  A repeated one must begin with an
 * empty table: what was deleted at the source in the meantime would stay for ever.
 */
bool
prepare_rows(const state::SyncedTable *table, const target::TargetRelation *target)
{
	bool is_repeated = table->generation > 0;
	bool is_empty = target::is_empty(table->target_schema, table->target_name);

	if (is_empty)
		return true;
	if (is_repeated && table->empty_at_start)
	{
		target::empty_table(table->target_schema, table->target_name);
		return true;
	}
	if (is_repeated)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("target table \"%s.%s\" must be copied again, but held other rows before",
						table->target_schema, table->target_name),
				 errhint("Empty it, then call livesync.retry_table().")));
	if (table->mode == state::CopyMode::keyed && !target->has_key_index)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("target table \"%s.%s\" is not empty and has no unique index on the key",
					table->target_schema, table->target_name),
			 errdetail("Without one, rows that are there already cannot be told from copied ones."),
			 errhint("Create a unique index on the columns of the key that is not deferrable, or "
					 "empty the table; then call livesync.retry_table().")));
	if (table->mode == state::CopyMode::snapshot && !target->has_key_index &&
		!target->has_other_unique)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("target table \"%s.%s\" is not empty and has no unique index",
							   table->target_schema, table->target_name),
						errdetail("Rows that are there already could come a second time."),
						errhint("Empty the table, then call livesync.retry_table().")));
	return false;
}

} // namespace

namespace
{

/* Two source tables in one target would undo each other's rows, whichever connectors bring them: the first one has it. */
void
check_target_is_free(const state::SyncedTable *table)
{
	base::SqlScope scope = base::begin_sql();

	if (base::run_sql(
			"SELECT c.name, t.source_schema || '.' || t.source_name FROM livesync.synced_table t "
			"JOIN livesync.connector c ON c.id = t.connector_id WHERE t.id < $1 "
			"AND t.target_schema = $2 AND t.target_name = $3 AND NOT t.released LIMIT 1",
			{base::bigint_value(table->id), base::text_value(table->target_schema),
			 base::text_value(table->target_name)}) > 0)
	{
		char *connector = base::get_text(scope, 0, 1);
		char *other = base::get_text(scope, 0, 2);

		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_TABLE),
						errmsg("another table has the target \"%s.%s\"", table->target_schema,
							   table->target_name),
						errdetail("Connector \"%s\" writes table \"%s\" to it.", connector, other),
						errhint("Take one of them out by livesync.remove_table(), or sync it to "
								"another target or by a connector with another target_schema.")));
	}
	base::end_sql();
}

/* has_key: rows of the target are found by the source's primary key. */
void
refuse_odd_partitions(const state::Connector *config, const state::SyncedTable *table,
					  source::Connection *control, bool has_key)
{
	source::refuse_odd_partitions(control, table->source_oid, table->source_schema,
								  table->source_name, config->npublications, config->publications,
								  has_key);
}

} // namespace

void
begin_copy(const state::Connector *config, const state::SyncedTable *table,
		   source::Connection *control, bool is_partitioned)
{
	source::refuse_hypertable(control, table->source_oid, table->source_schema, table->source_name);
	source::refuse_hidden_identity(control, table->source_oid, table->source_schema,
								   table->source_name, config->npublications, config->publications);
	if (is_partitioned)
		refuse_odd_partitions(config, table, control, true);
	check_target_is_free(table);
	check_is_hypertable(table);

	source::SourceColumns columns = source::read_columns(control, table->source_oid);
	bool is_made =
		table->shadow_of == 0 && target::table_exists(table->target_schema, table->target_name);

	if (table->shadow_of != 0)
		prepare_shadow(table);
	else if (config->create_tables && !is_made)
		create_target(config, table, control, columns);
	/* columns are changed more easily without rows, and these have to go anyway */
	if (table->copy_data && table->generation > 0 && table->empty_at_start)
		target::empty_table(table->target_schema, table->target_name);
	follow_catalog(FollowContext{config->name, control, table}, columns);
	note_indexes_again(config, table, control);

	target::TargetRelation *target = open_recorded_target(table, CurrentMemoryContext);

	/* a table that is made here gets its indexes after the load */
	if (is_partitioned && is_made && table->generation == 0 && !target->has_key_index)
		refuse_odd_partitions(config, table, control, false);
	if (!table->copy_data)
	{
		build_noted_indexes(config, table);
		state::set_streaming(table->id);
	}
	else
		state::start_copying(table->id, prepare_rows(table, target));
	target::close_target(target);
}

} // namespace worker
