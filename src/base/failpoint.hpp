/*
 * base/failpoint.hpp
 *
 * Named places where a test can hold, fail or kill a worker.  Set by livesync.failpoints, a comma-separated
 * list of name[/schema.table]=wait|error|crash:
 *
 *   wait   stay here until the setting names the place no more; pg_stat_activity.query says
 *          "failpoint <name>" meanwhile
 *   error  raise an ERROR (a passing one, as a lost connection would be)
 *   crash  SIGKILL to the process itself
 *
 * Surprising: inside a wait the configuration is reloaded, elsewhere only between two steps.
 */
#pragma once

namespace base
{

/* `table` is "schema.table" at the source, or nullptr where no table is concerned. */
void failpoint(const char *name, const char *table = nullptr);

} // namespace base
