/*
 * target/write_fold.cpp
 *
 * See write_fold.hpp.
 */
#include "target/write_fold.hpp"

namespace target
{
namespace
{

/* Collects the rows of a fold that one statement can write. */
struct RowSet
{
	WriteRow *rows;
	size_t count;
};

RowSet
rows_with(const Fold &fold, bool (*wanted)(const FoldedRow *row))
{
	RowSet set{(WriteRow *) palloc(sizeof(WriteRow) * (fold.row_count() + 1)), 0};

	for (const FoldedRow *row = fold.rows(); row != nullptr; row = row->next)
		if (wanted(row))
			set.rows[set.count++] = WriteRow{row->values, row->key};
	return set;
}

bool
is_loud_delete(const FoldedRow *row)
{
	return (row->op == FoldedOp::del || row->op == FoldedOp::replace) && !row->quiet_delete;
}

bool
is_quiet_delete(const FoldedRow *row)
{
	return (row->op == FoldedOp::del || row->op == FoldedOp::replace) && row->quiet_delete;
}

bool
is_update(const FoldedRow *row)
{
	return row->op == FoldedOp::update;
}

bool
is_insert(const FoldedRow *row)
{
	return row->op == FoldedOp::insert || row->op == FoldedOp::replace;
}

/* Updates that leave the same columns unchanged go together. */
void
write_updates(TargetRelation *relation, RowSet set, base::ChangeCounts *counts)
{
	while (set.count > 0)
	{
		Bitmapset *unchanged = unchanged_columns(relation, set.rows[0].values);
		RowSet others{(WriteRow *) palloc(sizeof(WriteRow) * set.count), 0};
		size_t same = 0;

		for (size_t i = 0; i < set.count; i++)
		{
			Bitmapset *mine = unchanged_columns(relation, set.rows[i].values);

			if (bms_equal(mine, unchanged))
				set.rows[same++] = set.rows[i];
			else
				others.rows[others.count++] = set.rows[i];
			bms_free(mine);
		}
		uint64 found = write_rows(relation, Statement::update, unchanged, set.rows, same,
								  &counts->update_origin_differs);

		if (found < same)
			counts->update_missing += (int64) (same - found);
		set = others;
	}
}

} // namespace

void
write_fold(TargetRelation *relation, const Fold &fold, base::ChangeCounts *counts)
{
	RowSet loud = rows_with(fold, is_loud_delete);
	RowSet quiet = rows_with(fold, is_quiet_delete);
	RowSet inserts = rows_with(fold, is_insert);
	uint64 found = write_rows(relation, Statement::del, nullptr, loud.rows, loud.count,
							  &counts->delete_origin_differs);

	if (found < loud.count)
		counts->delete_missing += (int64) (loud.count - found);
	(void) write_rows(relation, Statement::del, nullptr, quiet.rows, quiet.count);
	write_updates(relation, rows_with(fold, is_update), counts);
	for (size_t i = 0; i < inserts.count; i++)
		inserts.rows[i].find = nullptr;
	(void) write_rows(relation, Statement::insert, nullptr, inserts.rows, inserts.count);
}

} // namespace target
