/*
 * target/saved_statement.cpp
 *
 * See saved_statement.hpp.
 */
#include "target/saved_statement.hpp"

#include "target/statement_text.hpp"

namespace target
{
namespace
{

/* A subquery can have 1664 columns, and wide rows gain nothing. */
constexpr int kMostParameters = 200;
constexpr int kLookAgainMs = 1000;

Likeness
likeness_of(const StatementRun &what)
{
	return finds_same(what.kind) ? Likeness::same : Likeness::equal;
}

char *
statement_text(const StatementRun &what)
{
	const TargetRelation *relation = what.relation;
	const char *rows = is_lone(what) ? lone_row_text(relation) : kBatchName;

	if (what.kind == kDeleteSame || what.kind == kDeleteEqual)
		return delete_equal_text(relation, likeness_of(what));
	if (what.kind == kUpdateSame || what.kind == kUpdateEqual)
		return update_equal_text(relation, likeness_of(what), what.unchanged);
	if (what.kind == kLocate)
		return locate_text(relation);
	if (what.kind == kWriters)
		return writers_text(relation, rows);
	switch ((Statement) what.kind)
	{
		case Statement::del:
			return delete_text(relation, rows);
		case Statement::update:
			return update_text(relation, what.unchanged, false, rows);
		case Statement::move:
			return update_text(relation, what.unchanged, true, rows);
		case Statement::insert:
			return insert_text(relation, false, rows);
		case Statement::upsert:
			return insert_text(relation, true, rows);
		case Statement::exists:
			return exists_text(relation, rows);
	}
	elog(ERROR, "unknown kind of statement");
}

SavedStatement *
find_statement(const StatementRun &what)
{
	for (SavedStatement *it = what.relation->statements; it != nullptr; it = it->next)
		if (it->kind == what.kind && it->is_lone == is_lone(what) &&
			bms_equal(it->unchanged, what.unchanged))
			return it;
	return nullptr;
}

bool
has_parts(const TargetRelation *relation)
{
	return relation->kind != RELKIND_RELATION || relation->hypertable != nullptr;
}

BlockNumber
count_blocks(const TargetRelation *relation)
{
	if (has_parts(relation))
		return 0;

	Relation rel = relation_open(relation->relid, AccessShareLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);

	relation_close(rel, AccessShareLock);
	return blocks;
}

/*
 * A plan that was made for a small table may go through all of it for each row of the batch: it must not live on when the
 * table has grown.  The size of a table with parts is not asked for, so its plans live for a second; and a lone row's once a
 * second, since asking takes longer than it is worth.
 */
bool
is_outgrown(const TargetRelation *relation, SavedStatement *saved)
{
	constexpr BlockNumber kSmall = 8;
	TimestampTz now = GetCurrentTimestamp();
	bool is_fresh = !TimestampDifferenceExceeds(saved->looked_at, now, kLookAgainMs);

	if (has_parts(relation))
		return !is_fresh;
	if (saved->is_lone && is_fresh)
		return false;
	saved->looked_at = now;
	return count_blocks(relation) > saved->blocks + saved->blocks / 2 + kSmall;
}

/* The types of the parameters; returns their number. */
int
list_parameters(const StatementRun &what, Oid **types)
{
	const TargetRelation *relation = what.relation;
	int count = is_lone(what) ? relation->row_shape->natts : what.slice != nullptr ? 2 : 0;

	*types = (Oid *) palloc(sizeof(Oid) * (count + 1));
	for (int i = 0; i < count; i++)
		(*types)[i] = is_lone(what) ? TupleDescAttr(relation->row_shape, i)->atttypid
									: relation->columns[relation->time_column].type;
	return count;
}

SPIPlanPtr
prepare(const StatementRun &what)
{
	/* whatever the values are; a hypertable's plan is made for its bounds, which is a setting */
	int options = is_lone(what) ? CURSOR_OPT_GENERIC_PLAN : 0;
	Oid *types;
	int count = list_parameters(what, &types);
	SPIPlanPtr plan = SPI_prepare_cursor(statement_text(what), count, types, options);

	if (plan == nullptr)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	return plan;
}

SavedStatement *
add_statement(const StatementRun &what)
{
	MemoryContext old = MemoryContextSwitchTo(what.relation->context);
	SavedStatement *saved = (SavedStatement *) palloc0(sizeof(SavedStatement));

	saved->kind = what.kind;
	saved->is_lone = is_lone(what);
	saved->unchanged = bms_copy(what.unchanged);
	saved->next = what.relation->statements;
	what.relation->statements = saved;
	MemoryContextSwitchTo(old);
	return saved;
}

} // namespace

bool
is_lone(const StatementRun &what)
{
	bool finds_by_columns = what.kind >= kDeleteSame && what.kind <= kUpdateEqual;

	return what.count == 1 && what.relation->hypertable == nullptr && !finds_by_columns &&
		   what.relation->row_shape->natts <= kMostParameters;
}

SPIPlanPtr
saved_plan(const StatementRun &what)
{
	SavedStatement *saved = find_statement(what);

	if (saved != nullptr && !is_outgrown(what.relation, saved))
		return saved->plan;

	SPIPlanPtr plan = prepare(what);

	if (saved == nullptr)
		saved = add_statement(what);
	else
		SPI_freeplan(saved->plan);
	saved->plan = plan;
	saved->blocks = count_blocks(what.relation);
	saved->looked_at = GetCurrentTimestamp();
	return plan;
}

} // namespace target
