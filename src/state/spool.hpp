/*
 * state/spool.hpp
 *
 * The spool of a table: its changes in stream order, while they may not be applied yet.
 *
 * A segment is a run of entries; it begins with the Relation (and Type) messages that its changes need,
 * so each segment can be read without the ones before.  An entry:
 *
 *   uint32 size of the message | uint32 top-level xid | uint64 LSN of the commit | message
 *
 * in the byte order of this machine (a spool never leaves it).  Written by the connector worker only, in the transaction that
 * advances the origin; read and deleted whole, from the front, by whoever holds the table's row.
 */
#pragma once

#include "base/sql.hpp"

#include <string_view>

namespace state
{

struct SpoolEntry
{
	uint32 xid; /* top-level transaction */
	XLogRecPtr lsn;
	std::string_view message; /* pgoutput, not in stream mode */
};

struct SpoolSegment
{
	int64 number;
	int changes;
	bytea *body;
};

/* Entries of a segment in memory. */
void append_entry(StringInfo body, const SpoolEntry &entry);
bool next_entry(std::string_view *rest, SpoolEntry *entry); /* false: end */

void write_segment(int64 table_id, int generation, int64 number, int changes, StringInfo body);
int64 last_segment(int64 table_id, int generation); /* 0: none */
/* How many changes wait in the spool. */
int64 count_spooled(int64 table_id, int generation);
/* The first segment after `after`; nullptr: none. */
SpoolSegment *read_segment(int64 table_id, int generation, int64 after);
/* Take one entry, counted from 0, out of a segment. */
void delete_entry(int64 table_id, int generation, int64 segment, int entry);
/* What is left of a segment; the segments before it are gone. */
void cut_segment(int64 table_id, int generation, int64 number, std::string_view rest);
void delete_segments(int64 table_id, int generation, int64 up_to);
void forget_spool(int64 table_id);

} // namespace state
