/*
 * api/call.hpp
 *
 * What all SQL-callable functions share: reading arguments, finding a connector.
 */
#pragma once

#include "api/ownership.hpp"
#include "state/synced_table.hpp"

namespace api
{

/* A text argument, or nullptr when it is NULL. */
char *text_argument(FunctionCallInfo call, int number);
/* ERROR when it is NULL; `name` is for the error. */
char *required_argument(FunctionCallInfo call, int number, const char *name);
/* A text[] argument without NULL elements, or nullptr when it is NULL; `name` is for the error. */
char **text_array_argument(FunctionCallInfo call, int number, const char *name, int *count);

/*
 * For calls that carry a connection string: while this stands, an error does not put the statement,
 * and with it a password, into the server's log.
 */
struct HiddenStatement
{
	ErrorContextCallback callback;
};

void begin_hidden_statement(HiddenStatement *it);
void end_hidden_statement(const HiddenStatement *it);

/* ERROR when it cannot be the name of one more connector. */
void check_new_name(const char *name);

/* ERROR when there is none of that name, or when the current user may not manage it. */
state::Connector *find_connector(const char *name);

/* Somebody else dropped it, or paused it, while this call worked; detail: nullptr when there is none. */
[[noreturn]] void raise_dropped(const char *connector);
[[noreturn]] void raise_paused(const char *connector, const char *detail);

/*
 * One by its name at the source, 'schema.table', as the views show it; ERROR when the connector has none.
 * The caller has become the extension.
 */
state::SyncedTable *find_table(const state::Connector *connector, const char *name,
							   state::RowLock lock);

/* Milliseconds from an interval argument; -1 when it is NULL. */
int64 timeout_argument(FunctionCallInfo call, int number);

/* Wait until is_reached(context), looked at every few milliseconds; false at the timeout (-1: none). */
bool wait_until(bool (*is_reached)(void *context), void *context, int64 timeout_ms);

} // namespace api
