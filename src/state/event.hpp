/*
 * state/event.hpp
 *
 * The history of connectors and tables, as the view `events` shows it.  Details name objects, never
 * values of rows and never a connection string.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

/* table: "schema.table" at the source, or nullptr.  detail may be nullptr. */
void record_event(const char *connector, const char *table, const char *event, const char *detail);

/* Keep the newest so many, about. */
void trim_events(int most);

} // namespace state
