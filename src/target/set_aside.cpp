/*
 * target/set_aside.cpp
 *
 * See set_aside.hpp.  A conflict is found with the index's own columns, expressions, predicate and
 * operators: an expression is evaluated over one side's row by a sub-select that gives the row's
 * columns their names.
 */
#include "target/set_aside.hpp"

#include "base/sql.hpp"
#include "target/hypertable.hpp"
#include "target/statement_text.hpp"

namespace target
{
namespace
{

constexpr const char *kTargetRow = "(SELECT t.*) AS s";

char *
batch_row(const TargetRelation *relation)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "(SELECT ");
	for (int i = 0; i < relation->ncolumns; i++)
		appendStringInfo(&sql, "%sb.c%d AS %s", i > 0 ? ", " : "", i,
						 quote_identifier(relation->columns[i].name));
	appendStringInfoString(&sql, ") AS s");
	return sql.data;
}

/* What the index compares in one of its columns, for one side. */
char *
index_value(const TargetRelation *relation, Form_pg_index index, int column, bool of_target)
{
	AttrNumber number = index->indkey.values[column];

	if (number != 0)
	{
		for (int i = 0; i < relation->ncolumns; i++)
			if (relation->columns[i].number == number)
				return of_target ? psprintf("t.%s", quote_identifier(relation->columns[i].name))
								 : psprintf("b.c%d", i);
		return nullptr; /* a column that the source does not have */
	}

	char *expression = text_to_cstring(
		DatumGetTextPP(DirectFunctionCall3(pg_get_indexdef_ext, ObjectIdGetDatum(index->indexrelid),
										   Int32GetDatum(column + 1), BoolGetDatum(false))));

	return psprintf("(SELECT %s FROM %s)", expression,
					of_target ? kTargetRow : batch_row(relation));
}

char *
operator_name(Oid operator_oid)
{
	char *name = get_opname(operator_oid);
	Oid left, right;

	op_input_types(operator_oid, &left, &right);
	Oid namespace_oid = InvalidOid;
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator_oid));

	if (HeapTupleIsValid(tuple))
	{
		namespace_oid = ((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace;
		ReleaseSysCache(tuple);
	}
	return psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(namespace_oid)), name);
}

bool
append_column_conflict(StringInfo sql, const TargetRelation *relation, Relation index_rel,
					   int column, const Oid *exclusion)
{
	Form_pg_index index = index_rel->rd_index;
	char *mine = index_value(relation, index, column, true);
	char *theirs = index_value(relation, index, column, false);
	Oid equality =
		exclusion != nullptr
			? exclusion[column]
			: get_opfamily_member(index_rel->rd_opfamily[column], index_rel->rd_opcintype[column],
								  index_rel->rd_opcintype[column], BTEqualStrategyNumber);

	if (mine == nullptr || theirs == nullptr || !OidIsValid(equality))
		return false;
	appendStringInfo(sql, " AND (%s %s %s", mine, operator_name(equality), theirs);
	if (index->indnullsnotdistinct)
		appendStringInfo(sql, " OR (%s IS NULL AND %s IS NULL)", mine, theirs);
	appendStringInfoChar(sql, ')');
	return true;
}

void
append_predicate(StringInfo sql, const TargetRelation *relation, HeapTuple tuple)
{
	bool is_null;
	Datum predicate = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indpred, &is_null);

	if (is_null)
		return;
	char *condition = text_to_cstring(DatumGetTextPP(
		DirectFunctionCall2(pg_get_expr, predicate, ObjectIdGetDatum(relation->relid))));

	appendStringInfo(sql, " AND (SELECT %s FROM %s) AND (SELECT %s FROM %s)", condition, kTargetRow,
					 condition, batch_row(relation));
}

/* The statement for one index, or nullptr when its columns say nothing about our rows. */
char *
conflict_text(const TargetRelation *relation, Relation index_rel, HeapTuple tuple)
{
	StringInfoData sql;
	Oid *exclusion = nullptr;
	Oid *functions;
	uint16 *strategies;

	if (index_rel->rd_index->indisexclusion)
		RelationGetExclusionInfo(index_rel, &exclusion, &functions, &strategies);
	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s t USING %s b WHERE NOT (", relation->sql_name,
					 kBatchName);
	for (int k = 0; k < relation->nkeys; k++)
		appendStringInfo(&sql, "%st.%s %s b.k%d", k > 0 ? " AND " : "",
						 quote_identifier(relation->columns[relation->keys[k]].name),
						 relation->columns[relation->keys[k]].equality, k);
	appendStringInfoChar(&sql, ')');
	for (int i = 0; i < index_rel->rd_index->indnkeyatts; i++)
		if (!append_column_conflict(&sql, relation, index_rel, i, exclusion))
			return nullptr;
	append_predicate(&sql, relation, tuple);
	appendStringInfoString(&sql, " RETURNING ARRAY[");
	for (int k = 0; k < relation->nkeys; k++)
		appendStringInfo(&sql, "%st.%s::pg_catalog.text", k > 0 ? ", " : "",
						 quote_identifier(relation->columns[relation->keys[k]].name));
	appendStringInfoString(&sql, "]::pg_catalog.text[]");
	return sql.data;
}

int
delete_conflicts(TargetRelation *relation, const WriteRow &row, const char *sql,
				 const CatchUp &catch_up)
{
	base::SqlScope scope = base::begin_sql();

	int settings = NewGUCNestLevel();

	if (relation->hypertable != nullptr)
		set_for_hypertable();
	register_batch(relation, &row, 1);
	int deleted = (int) base::run_sql(sql);

	AtEOXact_GUC(true, settings);
	char ***keys = (char ***) MemoryContextAlloc(scope.caller, sizeof(char **) * (deleted + 1));
	int nkeys = 0;

	for (int i = 0; i < deleted; i++)
		keys[i] = base::get_text_array(scope, (uint64) i, 1, &nkeys);
	base::end_sql();
	for (int i = 0; i < deleted; i++)
		catch_up.set_aside(catch_up.context, relation, nkeys, keys[i]);
	return deleted;
}

} // namespace

int
set_aside_conflicts(TargetRelation *relation, const WriteRow &row, const CatchUp &catch_up)
{
	Relation rel = relation_open(relation->relid, AccessShareLock);
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;
	int count = 0;

	foreach (cell, indexes)
	{
		HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));

		if (!HeapTupleIsValid(tuple))
			continue;
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

		if (index->indisunique || index->indisexclusion)
		{
			Relation index_rel = index_open(lfirst_oid(cell), AccessShareLock);
			char *sql = conflict_text(relation, index_rel, tuple);

			if (sql != nullptr)
				count += delete_conflicts(relation, row, sql, catch_up);
			index_close(index_rel, NoLock);
		}
		ReleaseSysCache(tuple);
	}
	relation_close(rel, NoLock);
	/* from here on it matters which keys are written */
	catch_up.tracks_aside |= count > 0;
	return count;
}

} // namespace target
