/*
 * worker/slot_health.cpp
 *
 * See slot_health.hpp.
 */
#include "worker/slot_health.hpp"

#include "state/event.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

/* Of what the source keeps at most: below the first part it is in danger, from the second on it is safe again. */
constexpr int64 kDangerPart = 4;
constexpr int64 kSafePart = 2;

bool
is_below_part(const source::SlotState &slot, int64 part)
{
	return slot.safe_bytes >= 0 && slot.safe_bytes < (slot.retained_bytes + slot.safe_bytes) / part;
}

bool
is_in_danger(const source::SlotState &slot, bool was_in_danger)
{
	if (slot.lost || strcmp(slot.wal_status, "unreserved") == 0)
		return true;
	return is_below_part(slot, was_in_danger ? kSafePart : kDangerPart);
}

char *
pretty_size(int64 bytes)
{
	return TextDatumGetCString(DirectFunctionCall1(pg_size_pretty, Int64GetDatum(bytes)));
}

char *
describe_danger(const source::SlotState &slot)
{
	if (strcmp(slot.wal_status, "unreserved") == 0)
		return psprintf("The source keeps %s of WAL for the slot, more than its limit, and removes "
						"it at its next checkpoint.",
						pretty_size(slot.retained_bytes));
	return psprintf("The source keeps %s of WAL for the slot; when %s more are written it may "
					"remove what is needed here.",
					pretty_size(slot.retained_bytes), pretty_size(slot.safe_bytes));
}

} // namespace

void
watch_slot(const state::Connector *config, const source::SlotState &slot)
{
	bool was_in_danger = my_entry()->slot.is_in_danger;
	SlotHealth health{};

	if (!slot.exists)
		return;
	strlcpy(health.wal_status, slot.wal_status, sizeof(health.wal_status));
	strlcpy(health.invalidation, slot.invalidation != nullptr ? slot.invalidation : "",
			sizeof(health.invalidation));
	health.retained_bytes = slot.retained_bytes;
	health.safe_bytes = slot.safe_bytes;
	health.is_in_danger = is_in_danger(slot, was_in_danger);
	set_slot_health(health);

	/* that it is lost is said by the error that follows */
	if (health.is_in_danger && !was_in_danger && !slot.lost)
		state::record_event(
			config->name, nullptr, "slot_in_danger",
			psprintf("%s Let the connector catch up, or raise max_slot_wal_keep_size there.",
					 describe_danger(slot)));
	else if (!health.is_in_danger && was_in_danger)
		state::record_event(config->name, nullptr, "slot_safe", nullptr);
}

} // namespace worker
