/*
 * source/child_process.hpp
 *
 * A program that runs for this process and never longer than it: also when this process is killed
 * by SIGKILL, the kernel ends it (on Linux; elsewhere it would stay).
 *
 * Not popen(), nor the server's OpenPipeStream(): they go through a shell, and what they start lives on.
 *
 * Surprising: the program is the leader of a session of its own.  The server signals groups of processes, so a
 * cancelled query would otherwise interrupt the program as well.
 */
#pragma once

#include "base/pg.hpp"

namespace source
{

/*
 * In the data directory, with a clean environment, nothing open but stdin (empty) and its output, which goes to the
 * file `output`.  argv[0] is looked for in the usual places; when it is not there the program ends with kNotFound.
 */
pid_t start_child(const char *const *argv, const char *output);
constexpr int kNotFound = 127;

/* True when it has ended; *exit_code is -1 when by a signal.  Ask no more then. */
bool has_ended(pid_t pid, int *exit_code);

/* Ask it to end, make it end after a second; no zombie is left. */
void end_child(pid_t pid);

} // namespace source
