/*
 * target/repeated_keys.hpp
 *
 * Of rows with the same key all but one go, in a table that has no index of the key yet.
 *
 * Must not know: why a key is there twice, and that it does not matter which row stays.
 */
#pragma once

#include "target/table_writer.hpp"

namespace target
{

/* Whatever the key: sorts or hashes all keys of the table.  How many rows went. */
uint64 remove_repeated_keys(const TargetRelation *relation);

/* The same among some keys only, which may be more than memory holds: one scan of the table. */
struct KeySet
{
	TargetRelation *relation;
	Tuplestorestate *store;
	uint64 count;
};

KeySet open_key_set(TargetRelation *relation);
/* Rows of which only `find` counts. */
void add_keys(KeySet *keys, const WriteRow *rows, size_t count);
/* The set is closed. */
uint64 remove_repeated_keys(KeySet *keys);

} // namespace target
