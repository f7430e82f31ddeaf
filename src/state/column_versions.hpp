/*
 * state/column_versions.hpp
 *
 * Which columns of the source the values in a target are of, as texts of the source's room.  Set before a copy begins; a
 * look that finds them as they were, or changed without harm, sets them again.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

/* look: what tells a change of them */
void record_column_versions(int64 table_id, int count, const char *const *texts, const char *look);

/* They look as before. */
void record_versions_only(int64 table_id, int count, const char *const *texts);

/* nullptr: never recorded. */
char **load_column_versions(int64 table_id, int *count);

struct TableIds
{
	int count;
	int64 *ids;
};

/* Tables that stream, are not copied again, and look otherwise now. */
TableIds find_changed_columns(int connector_id, int count, const char *const *oids,
							  const char *const *looks);

} // namespace state
