/*
 * target/exchange.hpp
 *
 * A second copy of a table beside it, the shadow, and making the table equal to it.
 *
 * In: a target table, opened.  Out: the same table with the rows of the shadow, in one transaction, by ordinary DELETE, UPDATE
 * and INSERT: who reads meanwhile sees all of the old rows or all of the new ones, by the rules of his own snapshot.
 *
 * Must not know: where the shadow's rows come from, what state the table is in.
 */
#pragma once

#include "target/relation.hpp"

namespace target
{

/* The published columns, with an index on the key that tells rows which come twice apart. */
void create_shadow(const TargetRelation *relation, const char *schema, const char *name);
void drop_shadow(const char *schema, const char *name);

struct Differences
{
	int64 deleted;
	int64 updated;
	int64 inserted;
};

Differences take_over(const TargetRelation *relation, const char *shadow_schema,
					  const char *shadow_name);

} // namespace target
