/*
 * target/statement_parts.hpp
 *
 * What the statements of statement_text.hpp have in common.  t is the target's row, b the batch's.
 */
#pragma once

#include "target/relation.hpp"

namespace target
{

/* Quoted. */
const char *column_name(const TargetRelation *relation, int index);
/* Of a hypertable: between the parameters, so that no other chunk is looked at or taken out of the columnstore. */
void append_time_bounds(StringInfo sql, const TargetRelation *relation);
/*
 * "c1 = b.c1, …", without the columns that may not be set.  format: what stands for b; nullptr: EXCLUDED.c1.  Returns how many
 * there are.
 */
int append_assignments(StringInfo sql, const TargetRelation *relation, const Bitmapset *unchanged,
					   bool with_keys, const char *format);
/* Every column of the target: where `from` is given, as the row has to be afterwards. */
void append_whole_row(StringInfo sql, const TargetRelation *relation, const Bitmapset *unchanged,
					  const char *from);
/* Are there columns that an UPDATE would have to set and may not? */
bool renumbers(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys);
/*
 * The numbers of a GENERATED ALWAYS AS IDENTITY column cannot be updated, but inserted: rows that
 * have another number at the source are replaced, the others updated.  `pairs` is a WITH item or
 * empty, `from` what b or p stands for, `match` pairs it with t.
 */
char *renumber_text(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys,
					const char *pairs, const char *from, const char *alias, const char *match);

} // namespace target
