/*
 * target/hypertable.hpp
 *
 * Target tables that are hypertables of TimescaleDB: what they are, and making one of a table that was just created.
 *
 * TimescaleDB is asked by SQL only, and only when its extension is in the database: nothing of it is needed to build or
 * run without.  A hypertable is an empty root with chunks as children, to which TimescaleDB leads every statement that
 * is planned and every COPY that is run as a utility statement.
 *
 * Must not know: where rows come from.
 */
#pragma once

#include "base/pg.hpp"

namespace target
{

/* How TimescaleDB cuts a table into chunks. */
struct Hypertable
{
	int ndimensions;
	char **dimensions; /* columns that say which chunk a row is in; the first is the time */
	int64
		chunk_length; /* in the unit of the time column's values; microseconds for dates and times */
};

bool is_hypertable(Oid relid);
Hypertable *read_hypertable(Oid relid); /* nullptr: it is none; palloc'ed */

/*
 * Settings for a statement that writes to a hypertable, until the caller's GUC nest level ends: rows in the columnstore
 * are taken out of it without a limit, and bounds are constants to the planner, so that only chunks within them are.
 *
 * No bitmap scans: TimescaleDB before 2.28.1 opens those again where it looks into the columnstore, with a snapshot that lacks
 * what was just taken out of it, and at each row that the statement returns, while the scan stands within a page.  Rows are
 * missed, or the server crashes; seen with 2.22 to 2.24, since 2.25 it plans none itself on servers before 17.
 */
void set_for_hypertable();

struct NewHypertable
{
	const char *schema;
	const char *name;
	const char *time_column;
	const char *chunk_interval; /* an interval as text; nullptr: what TimescaleDB thinks best */
};

/* Make a hypertable of an empty table.  ERROR with a hint when TimescaleDB is not in the database. */
void make_hypertable(const NewHypertable &wanted);

} // namespace target
