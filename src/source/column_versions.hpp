/*
 * source/column_versions.hpp
 *
 * What tells that a column is not the one that it was, although the stream describes it as before.
 *
 *   dropped and added, or given another's name    another number
 *   ALTER TYPE … USING                            another transaction wrote its entry in the catalog, and the rows are in
 *                                                 other files
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

/* To be kept: the files first, see read_storage(), then a text for each column. */
struct ColumnVersions
{
	int count;
	char **texts;
	char *look; /* PublishedTable::column_look of that moment */
};

/* Of these columns, all of one moment. */
ColumnVersions read_column_versions(Connection *control, Oid table, int ncolumns,
									const char *const *columns);

ColumnVersion parse_column_version(const char *text);

} // namespace source
