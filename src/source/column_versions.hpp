/*
 * source/column_versions.hpp
 *
 * What tells that a column is not the one that it was, although the stream describes it as before.
 *
 *   dropped and added, or given another's name    another number
 *   ALTER TYPE … USING                            another transaction wrote its entry in the catalog, and the rows are in
 *                                                 other files
 *
 * And that the primary key is not the one that it was: dropped and added, it is another constraint.
 *
 * Surprising: many things write a column's entry (SET NOT NULL), and many write rows to other files (VACUUM FULL); hardly
 * anything but ALTER TYPE does both.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

struct ColumnVersion
{
	const char *name;
	int number;
	Oid type;
	int32 modifier;
	uint32 written_by; /* the transaction */
};

/* To be kept: the files first, see read_storage(), then a text for each column, and one for the primary key. */
struct ColumnVersions
{
	int count;
	char **texts;
	char *look; /* PublishedTable::column_look of that moment */
	bool is_partitioned;
};

/* Of these columns, all of one moment. */
ColumnVersions read_column_versions(Connection *control, Oid table, int ncolumns,
									const char *const *columns);

ColumnVersion parse_column_version(const char *text);

/* The primary key's: `type` is the constraint, 0 when there is none, and `modifier` whether rows are identified in FULL. */
bool is_key_version(const ColumnVersion &it);

} // namespace source
