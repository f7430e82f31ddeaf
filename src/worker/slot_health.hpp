/*
 * worker/slot_health.hpp
 *
 * Whether the source still keeps the WAL that the connector needs.
 *
 *   safe ──► in danger ──► lost
 *     └────────◄──┘
 *
 * In danger: wal_status is unreserved, or less than a fourth of what the source keeps for the slot at most may still be
 * written.  Told once in `events`, also across restarts of the worker, until it is safe again.  A lost slot ends the
 * connector: see source_setup.cpp.
 */
#pragma once

#include "source/slot.hpp"
#include "state/connector.hpp"

namespace worker
{

/* Shows it in `progress`, records an event when it changed.  Needs a transaction. */
void watch_slot(const state::Connector *config, const source::SlotState &slot);

} // namespace worker
