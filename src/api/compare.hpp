/*
 * api/compare.hpp
 *
 * The two sides of livesync.compare_table(), looked at in the same way.
 *
 * A row is the text of its published columns, a digest the 64-bit hash of that text; what two looks
 * exchange is keys and digests.  Where a column has another type here, the source casts the text of
 * its value to the type of the target first, because that is the way by which values come here.
 *
 *   keyed      an entry is a row: its key, its digest; a range is an interval of the first key column
 *   keyless    an entry is a digest and how many rows have it; a range is an interval of digests
 *
 * Surprising: the same SQL runs on both sides, so its settings (DateStyle, TimeZone, search_path …)
 * must be the same: here they are those of the SQL function, there those set by open_comparison().
 */
#pragma once

#include "source/catalog.hpp"
#include "state/connector.hpp"
#include "state/synced_table.hpp"

namespace api
{

struct Side
{
	source::Connection *connection; /* nullptr: this server */
	char *relation;					/* as it stands after FROM */
	char *filter;					/* the publication's row filter, or "true" */
	char *digest;					/* an expression over its columns */
	char **key_texts;				/* expressions: each part of the key as text */
	char **key_columns;				/* quoted */
	char **key_types;
	char *bound_collation; /* of the first key column, " COLLATE …" or "" */
	bool may_be_null;	   /* the first key column */
};

struct Comparison
{
	Side source;
	Side target;
	int nkeys;		/* 0: keyless */
	bool is_ranged; /* the first key column has the same order on both sides */
	bool is_typed;	/* keys are looked up by their own types, and so by an index */
};

/* ERROR when the table cannot be compared. */
Comparison open_comparison(const state::Connector *connector, const state::SyncedTable *table);

/* An interval of the first key column's texts, or of digests: low <= x < high; nullptr: open. */
struct Range
{
	const char *low;
	const char *high;
};

/* The end of a range that begins there and has about so many rows; nullptr: the table ends first. */
char *find_range_end(const Comparison &comparison, const char *low, int64 rows);

struct Totals
{
	int64 rows;
	char *sum; /* of the digests */
};
Totals look_at_totals(const Comparison &comparison, const Side &side, const Range &range);

struct Entry
{
	char **key;	 /* comparison.nkeys parts; keyless: the digest */
	char *value; /* the digest; keyless: the number of rows that have it */
};

struct Entries
{
	int count;
	Entry *entries; /* sorted by their keys' bytes */
};
Entries look_at_range(const Comparison &comparison, const Side &side, const Range &range);
Entries look_at_keys(const Comparison &comparison, const Side &side, int count, char ***keys);

int compare_keys(int nparts, char *const *left, char *const *right);

} // namespace api
