/*
 * base/subtransaction.hpp
 *
 * Try something in a subtransaction: on an error that belongs to the data it is rolled back and the
 * error is handed over; an error that passes by itself (deadlock, out of resources,
 * cancel, lost connection, shutdown) is raised on, because it says nothing about the data.
 */
#pragma once

#include "base/pg.hpp"

namespace base
{

/*
 * Run function(argument); nullptr when it succeeded.  Otherwise everything it did here is undone and
 * the error is returned, copied into the memory context that was current.
 */
ErrorData *run_in_subtransaction(void (*function)(void *argument), void *argument);

/* The same without a subtransaction: after an error the caller ends the transaction, before anything else. */
ErrorData *run_in_transaction(void (*function)(void *argument), void *argument);

/*
 * The same, but errors that pass are handed over as well, for those who only report: all but the
 * ones by which this session itself is told to stop.
 */
ErrorData *catch_errors(void (*function)(void *argument), void *argument);

/* An error copied to the current memory context. */
ErrorData *copy_error(const ErrorData *error);

/*
 * A lock timeout is handed over too: who set the timeout knows what to do (is_lock_timeout()).
 */
bool is_lock_timeout(const ErrorData *error);

/*
 * Limit the waits for locks from here to end_lock_limit(), which takes what this returned; an error that ends one of the
 * functions below does so too.  The setting's variable, since to set and reset lock_timeout takes longer than many a change.
 */
int begin_lock_limit(int milliseconds);
void end_lock_limit(int before);

/* run_in_subtransaction() between the two. */
ErrorData *run_limited(void (*function)(void *argument), void *argument, int lock_ms);

/*
 * A full disk, say, is nobody's fault, so it is raised.  While this is set it is handed over like any
 * other error: for what concerns one table alone, or when trying again has not helped.  Returns what it was.
 */
bool blame_tables(bool for_lack_of_resources);

} // namespace base
