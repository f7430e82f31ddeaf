/*
 * target/index_creation.hpp
 *
 * Builds an index of a target table that we created, after its rows are loaded, from what the source says of its own.
 *
 * In: the definition as pg_get_indexdef() of the source gives it.  It is parsed and table and name are put into the
 * parsed statement: the text is remote and names other things.  What is not one such statement is refused.
 *
 * Must not know: when the rows are fit for it.
 *
 * Surprising: an index with a constraint is built as an index, which lets others read the table meanwhile, and becomes the
 * constraint's in a second step, which needs the table for itself but takes no time.
 */
#pragma once

#include "target/relation.hpp"

namespace target
{

struct NewIndex
{
	const char *schema; /* of the table */
	const char *table;
	const char *name; /* wanted; another one is taken when it is in use */
	const char *definition;
	char constraint; /* p, u, x (also of a key WITHOUT OVERLAPS) or '\0' */
	bool is_deferrable;
	bool is_deferred;
};

/* Does the table have any? */
bool has_indexes(const char *schema, const char *name);

/* The name that it got, palloc'ed. */
char *build_index(const NewIndex &index);

/* Of an index that is built, under its name here: make it what its constraint rests on. */
bool needs_constraint(const NewIndex &index);
void add_constraint(const NewIndex &index);

/* The statements that do the same, for people. */
char *index_sql(const NewIndex &index);
char *add_constraint_sql(const NewIndex &index);

} // namespace target
