/*
 * worker/left_indexes.cpp
 *
 * See left_indexes.hpp.
 */
#include "worker/left_indexes.hpp"

#include "base/subtransaction.hpp"
#include "state/event.hpp"
#include "state/pending_index.hpp"
#include "target/index_creation.hpp"
#include "worker/routes.hpp"

namespace worker
{
namespace
{

constexpr int kIndexLockMs = 1000;
constexpr int64 kSmallBytes = 16 * 1024 * 1024;

struct LeftIndex
{
	const state::SyncedTable *table;
	const state::PendingIndex *index;
	bool is_small;
	bool is_done; /* or needless */
};

target::NewIndex
describe(const LeftIndex *left, char *name)
{
	const state::PendingIndex *index = left->index;

	return target::NewIndex{
		left->table->target_schema, left->table->target_name, name,
		index->definition,			index->constraint,		  index->is_deferrable,
		index->is_deferred};
}

/* Somebody may have made one by hand. */
bool
has_key_index(const state::SyncedTable *table)
{
	target::TargetRelation *target = open_recorded_target(table, CurrentMemoryContext);
	bool has = target->has_key_index;

	target::close_target(target);
	return has;
}

void
settle_step(void *argument)
{
	LeftIndex *left = (LeftIndex *) argument;
	char *name = left->index->name;

	left->is_done = left->index->is_key && !left->index->is_built && has_key_index(left->table);
	if (left->is_done || !left->is_small)
		return;
	if (!left->index->is_built)
		name = target::build_index(describe(left, name));
	if (target::needs_constraint(describe(left, name)))
		target::add_constraint(describe(left, name));
	left->is_done = true;
}

void
add_statement(StringInfo text, const char *sql)
{
	appendStringInfo(text, "%s%s", text->len > 0 ? "; " : "", sql);
}

void
add_statements(StringInfo text, const LeftIndex *left)
{
	target::NewIndex index = describe(left, left->index->name);

	if (!left->index->is_built)
		add_statement(text, target::index_sql(index));
	if (target::needs_constraint(index))
		add_statement(text, target::add_constraint_sql(index));
}

/* -1: there is none. */
int64
target_size(const state::SyncedTable *table)
{
	return base::read_number(
		"SELECT coalesce(pg_catalog.pg_table_size(pg_catalog.to_regclass($1)), -1)",
		{base::text_value(quote_qualified_identifier(table->target_schema, table->target_name))});
}

/* One after the other, since each is taken off the list or gets its statements. */
void
settle_one(const state::SyncedTable *table, const state::PendingIndex *index, bool is_small,
		   StringInfo statements)
{
	LeftIndex left{table, index, is_small, false};
	ErrorData *error = base::run_limited(settle_step, &left, kIndexLockMs);

	if (error == nullptr && left.is_done)
		state::remove_pending_index(*index);
	else
		add_statements(statements, &left);
}

} // namespace

void
settle_left_indexes(const char *connector, const state::SyncedTable *table)
{
	state::PendingIndexes list = state::list_pending_indexes(table->id);
	int64 size = list.count > 0 ? target_size(table) : -1;
	const char *name = state::source_table_name(table);
	StringInfoData statements;

	initStringInfo(&statements);
	for (int i = 0; i < list.count && size >= 0; i++)
		settle_one(table, &list.indexes[i], size <= kSmallBytes, &statements);
	if (statements.len == 0)
		return;
	state::record_event(connector, name, "indexes_missing", statements.data);
	ereport(WARNING, (errcode(ERRCODE_WARNING),
					  errmsg("table \"%s.%s\" is left without indexes that source table \"%s\" has",
							 table->target_schema, table->target_name, name),
					  errdetail("Its copy was not over, so it may lack rows or hold some twice."),
					  errhint("Drop it, or run: %s", statements.data)));
}

} // namespace worker
