/*
 * worker/failure.hpp
 *
 * A table's failure, as both kinds of worker record it.
 */
#pragma once

#include "base/pg.hpp"
#include "state/synced_table.hpp"
#include "target/apply.hpp"
#include "wire/lsn.hpp"

namespace worker
{

/* As it is recorded with a table: no values of rows. */
char *describe_error(const ErrorData *error);

/* What a table waits for after a lock timeout, and whom; wanted: the lock of the target that it was about. */
const char *describe_lock_wait(const ErrorData *error, const state::SyncedTable *table,
							   LOCKMODE wanted);

/* Needs a transaction. `table` is "schema.table" at the source; lsn 0: none. */
void mark_table_failed(const char *connector, int64 table_id, const char *table,
					   const ErrorData *error, wire::Lsn lsn);

/* The same, of a drain that failed. */
void mark_drain_failed(int connector_id, const char *connector, const state::SyncedTable *table,
					   const ErrorData *error, const target::ApplyFailure &failure);

/* The connector's failure, and the end of this process. */
[[noreturn]] void record_failure_and_exit(int connector_id, const ErrorData *error);

} // namespace worker
