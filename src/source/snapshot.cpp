/*
 * source/snapshot.cpp
 *
 * Owns: parsing a pg_snapshot's text and comparing 32-bit xids with it.
 *
 * In: text and an xid. Out: a verdict.
 *
 * Must not know: the server; its headers have functions for this that read our own clog.
 *
 * The surprising thing: the stream's xids are 32 bits wide and the snapshot's 64. They are made
 * comparable relative to the snapshot's xmax, so that a wraparound in between does no harm.
 */
#include "source/snapshot.hpp"

#ifdef POSTGRES_H
#error "source/snapshot is pure: no server header may be included here"
#endif

namespace source
{

namespace
{

constexpr uint32_t kFirstNormalXid = 3;

/* Takes a decimal number from the front of *text. False when there is none or it is too large. */
bool
take_number(std::string_view *text, uint64_t *out)
{
	uint64_t value = 0;
	size_t used = 0;

	while (used < text->size() && (*text)[used] >= '0' && (*text)[used] <= '9')
	{
		uint64_t digit = static_cast<uint64_t>((*text)[used] - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
		used++;
	}
	if (used == 0)
		return false;
	text->remove_prefix(used);
	*out = value;
	return true;
}

bool
take_character(std::string_view *text, char expected)
{
	if (text->empty() || text->front() != expected)
		return false;
	text->remove_prefix(1);
	return true;
}

bool
is_running(uint64_t full_xid, const Snapshot &snapshot)
{
	std::string_view rest = snapshot.xip;
	uint64_t running = 0;

	while (take_number(&rest, &running))
	{
		if (running == full_xid)
			return true;
		if (!take_character(&rest, ','))
			return false;
	}
	return false;
}

} // namespace

bool
parse_snapshot_header(std::string_view text, Snapshot *out)
{
	Snapshot snapshot;

	if (!take_number(&text, &snapshot.xmin) || !take_character(&text, ':') ||
		!take_number(&text, &snapshot.xmax) || !take_character(&text, ':'))
		return false;
	if (snapshot.xmin == 0 || snapshot.xmax < snapshot.xmin)
		return false;
	snapshot.xip = text;
	*out = snapshot;
	return true;
}

bool
is_visible(uint32_t xid, const Snapshot &snapshot)
{
	if (xid < kFirstNormalXid)
		return true;

	int32_t distance = static_cast<int32_t>(xid - static_cast<uint32_t>(snapshot.xmax));
	if (distance >= 0)
		return false;

	/* Before the first xid that ever was, as only damaged input has it: do not wrap around. */
	uint64_t back = static_cast<uint64_t>(-static_cast<int64_t>(distance));
	if (back > snapshot.xmax)
		return true;

	uint64_t full_xid = snapshot.xmax - back;
	return full_xid < snapshot.xmin || !is_running(full_xid, snapshot);
}

} // namespace source
