/*
 * state/spool.cpp
 *
 * See spool.hpp.
 */
#include "state/spool.hpp"

using namespace base;

namespace state
{
namespace
{

struct EntryHeader
{
	uint32 size;
	uint32 xid;
	uint64 lsn;
};

} // namespace

void
append_entry(StringInfo body, const SpoolEntry &entry)
{
	EntryHeader header{(uint32) entry.message.size(), entry.xid, entry.lsn};

	appendBinaryStringInfo(body, (const char *) &header, sizeof(header));
	appendBinaryStringInfo(body, entry.message.data(), (int) entry.message.size());
}

bool
next_entry(std::string_view *rest, SpoolEntry *entry)
{
	EntryHeader header;

	if (rest->empty())
		return false;
	if (rest->size() < sizeof(header))
		elog(ERROR, "spool segment is damaged");
	memcpy(&header, rest->data(), sizeof(header));
	rest->remove_prefix(sizeof(header));
	if (rest->size() < header.size)
		elog(ERROR, "spool segment is damaged");
	*entry = SpoolEntry{header.xid, header.lsn, {rest->data(), header.size}};
	rest->remove_prefix(header.size);
	return true;
}

void
write_segment(int64 table_id, int generation, int64 number, int changes, StringInfo body)
{
	run_alone("INSERT INTO livesync.spool (table_id, generation, segment, changes, body) "
			  "VALUES ($1, $2, $3, $4, $5)",
			  {bigint_value(table_id), int_value(generation), bigint_value(number),
			   int_value(changes), bytes_value(body->data, body->len)});
}

int64
last_segment(int64 table_id, int generation)
{
	return read_number("SELECT coalesce(max(segment), 0) FROM livesync.spool "
					   "WHERE table_id = $1 AND generation = $2",
					   {bigint_value(table_id), int_value(generation)});
}

int64
count_spooled(int64 table_id, int generation)
{
	return read_number("SELECT coalesce(sum(changes), 0) FROM livesync.spool "
					   "WHERE table_id = $1 AND generation = $2",
					   {bigint_value(table_id), int_value(generation)});
}

SpoolSegment *
read_segment(int64 table_id, int generation, int64 after)
{
	SqlScope scope = begin_sql();
	SpoolSegment *segment = nullptr;

	if (run_sql("SELECT segment, changes, body FROM livesync.spool WHERE table_id = $1 "
				"AND generation = $2 AND segment > $3 ORDER BY segment LIMIT 1",
				{bigint_value(table_id), int_value(generation), bigint_value(after)}) == 1)
	{
		segment = (SpoolSegment *) MemoryContextAlloc(scope.caller, sizeof(SpoolSegment));
		segment->number = get_bigint(0, 1);
		segment->changes = get_int(0, 2);
		segment->body = get_bytes(scope, 0, 3);
	}
	end_sql();
	return segment;
}

void
delete_entry(int64 table_id, int generation, int64 segment, int entry)
{
	SpoolSegment *from = read_segment(table_id, generation, segment - 1);

	if (from == nullptr || from->number != segment)
		elog(ERROR, "spool segment is missing");
	std::string_view rest(VARDATA_ANY(from->body), VARSIZE_ANY_EXHDR(from->body));
	StringInfoData body;
	SpoolEntry it;

	initStringInfo(&body);
	for (int i = 0; next_entry(&rest, &it); i++)
		if (i != entry)
			append_entry(&body, it);
	run_alone("UPDATE livesync.spool SET changes = changes - 1, body = $4 "
			  "WHERE table_id = $1 AND generation = $2 AND segment = $3",
			  {bigint_value(table_id), int_value(generation), bigint_value(segment),
			   bytes_value(body.data, body.len)});
}

void
cut_segment(int64 table_id, int generation, int64 number, std::string_view rest)
{
	std::string_view left = rest;
	SpoolEntry entry;
	int changes = 0;

	while (next_entry(&left, &entry))
		changes += entry.message.starts_with('R') ? 0 : 1;
	delete_segments(table_id, generation, number - 1);
	run_alone("UPDATE livesync.spool SET changes = $4, body = $5 WHERE table_id = $1 "
			  "AND generation = $2 AND segment = $3",
			  {bigint_value(table_id), int_value(generation), bigint_value(number),
			   int_value(changes), bytes_value(rest.data(), rest.size())});
}

void
delete_segments(int64 table_id, int generation, int64 up_to)
{
	run_alone("DELETE FROM livesync.spool WHERE table_id = $1 AND generation = $2 "
			  "AND segment <= $3",
			  {bigint_value(table_id), int_value(generation), bigint_value(up_to)});
}

void
forget_spool(int64 table_id)
{
	run_alone("DELETE FROM livesync.spool WHERE table_id = $1", {bigint_value(table_id)});
}

} // namespace state
