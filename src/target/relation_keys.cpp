/*
 * target/relation_keys.cpp
 *
 * By which columns the rows of a target table are found, and which of its indexes serve for that.  See relation_parts.hpp.
 */
#include "target/relation_parts.hpp"

#include "base/compat.hpp"
#include "base/names.hpp"

namespace target
{
namespace
{

int
column_index(const TargetRelation *it, AttrNumber number)
{
	for (int i = 0; i < it->ncolumns; i++)
		if (it->columns[i].number == number)
			return i;
	return -1;
}

/* Enforced at once, over plain columns, for all rows. */
bool
is_full_unique(Form_pg_index index, HeapTuple tuple)
{
	return index->indisunique && index->indimmediate && index->indisvalid && index->indisready &&
		   heap_attisnull(tuple, Anum_pg_index_indpred, nullptr) &&
		   heap_attisnull(tuple, Anum_pg_index_indexprs, nullptr);
}

bool
covers_exactly(const TargetRelation *it, Form_pg_index index, int nkeys, const uint16 *keys)
{
	if (index->indnkeyatts != nkeys)
		return false;
	for (int k = 0; k < nkeys; k++)
	{
		bool found = false;

		for (int i = 0; i < index->indnkeyatts; i++)
			found |= index->indkey.values[i] == it->columns[keys[k]].number;
		if (!found)
			return false;
	}
	return true;
}

/* Columns of a unique index of the target over NOT NULL columns that the source sends: with FULL they find the row. */
bool
take_keys_of_index(TargetRelation *it, Relation rel, Form_pg_index index)
{
	int nkeys = index->indnkeyatts;
	uint16 *keys = (uint16 *) palloc(sizeof(uint16) * nkeys);

	for (int i = 0; i < nkeys; i++)
	{
		AttrNumber number = index->indkey.values[i];
		int found = number > 0 ? column_index(it, number) : -1;

		if (found < 0 || !base::is_never_null(RelationGetDescr(rel), number - 1))
			return false;
		keys[i] = (uint16) found;
	}
	it->nkeys = nkeys;
	it->keys = keys;
	it->borrows_keys = true;
	return true;
}

using IndexVisitor = void (*)(TargetRelation *it, Relation rel, Form_pg_index index,
							  HeapTuple tuple);

void
visit_indexes(TargetRelation *it, Relation rel, IndexVisitor visit)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	foreach (cell, indexes)
	{
		HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));

		if (!HeapTupleIsValid(tuple))
			continue;
		visit(it, rel, (Form_pg_index) GETSTRUCT(tuple), tuple);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
}

bool
find_key_index(TargetRelation *it, Relation rel)
{
	visit_indexes(it, rel, [](TargetRelation *me, Relation, Form_pg_index index, HeapTuple tuple) {
		me->has_key_index |= me->nkeys > 0 && is_full_unique(index, tuple) &&
							 covers_exactly(me, index, me->nkeys, me->keys);
	});
	return it->has_key_index;
}

} // namespace

void
choose_keys(TargetRelation *it, Relation rel, const RelationSpec &spec)
{
	it->keys = (uint16 *) palloc0(sizeof(uint16) * (spec.ncolumns + 1));
	if (!spec.is_full)
	{
		for (int i = 0; i < spec.ncolumns; i++)
			if (spec.is_key[i])
				it->keys[it->nkeys++] = (uint16) i;
		return;
	}
	/* in the order of the columns, as everywhere else */
	for (int i = 0; i < spec.ncolumns; i++)
		if (base::is_among(spec.columns[i], spec.nfallback_keys, spec.fallback_keys))
			it->keys[it->nkeys++] = (uint16) i;
	if (it->nkeys < spec.nfallback_keys || (spec.must_be_unique && !find_key_index(it, rel)))
		it->nkeys = 0;
	if (it->nkeys == 0)
		visit_indexes(it, rel,
					  [](TargetRelation *me, Relation r, Form_pg_index index, HeapTuple tuple) {
						  if (me->nkeys == 0 && is_full_unique(index, tuple))
							  (void) take_keys_of_index(me, r, index);
					  });
}

void
judge_indexes(TargetRelation *it, Relation rel)
{
	visit_indexes(it, rel, [](TargetRelation *me, Relation, Form_pg_index index, HeapTuple tuple) {
		bool is_key = me->nkeys > 0 && is_full_unique(index, tuple) &&
					  covers_exactly(me, index, me->nkeys, me->keys);

		if (is_key)
		{
			me->has_key_index = true;
			me->takes_conflicts |= !index->indisexclusion;
		}
		else if (index->indisunique || index->indisexclusion)
			me->has_other_unique = true;
		if (index->indisvalid && heap_attisnull(tuple, Anum_pg_index_indpred, nullptr))
			for (int k = 0; k < me->nkeys; k++)
				if (index->indkey.values[0] == me->columns[me->keys[k]].number)
					me->has_index = true;
	});
}

} // namespace target
