/*
 * worker/repeated_rows.hpp
 *
 * Rows that were loaded twice because they moved while the table was read: all but one of each key go, before the key's index
 * is built.  Such a key has a change in the spool (see docs/design.md), so only the keys of the spool are looked for.
 *
 * This saves a build that would fail.  Whether a key is there twice is known by the build alone: what is overlooked here is
 * found by it.
 */
#pragma once

#include "worker/copier.hpp"

namespace worker
{

/* A row of a table of one chunk is read once, under one snapshot. */
bool may_have_repeated_rows(const state::SyncedTable *table);

/* Does the spool have everything that the chunks saw?  Or is it too late to wait for that? */
bool has_spooled_load(const state::SyncedTable *table);

void remove_repeated_rows(const state::SyncedTable *table);

} // namespace worker
