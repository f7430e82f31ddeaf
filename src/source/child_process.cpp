/*
 * source/child_process.cpp
 *
 * See child_process.hpp.
 *
 * Surprising: between fork() and exec() nothing of the server may be called, and no handler of its
 * may run: signals are blocked before, and have their default meaning when they are let in again.
 */
#include "source/child_process.hpp"

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

namespace source
{
namespace
{

constexpr int kPatienceMs = 1000;
constexpr int kLookEveryMs = 10;
constexpr int kMostFiles = 65536;

const char *const kEnvironment[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", nullptr};

/* SIGKILL, since a program may catch all others. */
void
end_with_parent(pid_t parent)
{
#ifdef __linux__
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	/* it may have ended before that */
	if (getppid() != parent)
		_exit(1);
}

void
close_files_from(int first)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return;
#endif
	for (int fd = first; fd < kMostFiles; fd++)
		(void) close(fd);
}

void
forget_signals()
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		(void) signal(number, SIG_DFL);
	sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void
run_program(const char *const *argv, int output, pid_t parent)
{
	int input = open("/dev/null", O_RDONLY);

	(void) setsid();
	end_with_parent(parent);
	if (input < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
		dup2(output, STDERR_FILENO) < 0)
		_exit(1);
	close_files_from(STDERR_FILENO + 1);
	forget_signals();
	environ = const_cast<char **>(kEnvironment);
	(void) execvp(argv[0], const_cast<char *const *>(argv));
	_exit(kNotFound);
}

} // namespace

pid_t
start_child(const char *const *argv, const char *output)
{
	pid_t parent = getpid();
	int file = OpenTransientFilePerm(output, O_WRONLY | O_CREAT | O_APPEND, S_IRUSR | S_IWUSR);
	sigset_t all;
	sigset_t before;

	if (file < 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not open file \"%s\": %m", output)));
	sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();

	if (pid == 0)
		run_program(argv, file, parent);
	int failure = errno;

	(void) sigprocmask(SIG_SETMASK, &before, nullptr);
	(void) CloseTransientFile(file);
	errno = failure;
	if (pid < 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("could not start the program \"%s\": %m", argv[0])));
	return pid;
}

bool
has_ended(pid_t pid, int *exit_code)
{
	int status;
	pid_t found;

	do
		found = waitpid(pid, &status, WNOHANG);
	while (found < 0 && errno == EINTR);
	*exit_code = found == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	/* an error: it is not ours any more */
	return found != 0;
}

void
end_child(pid_t pid)
{
	int code;

	(void) kill(pid, SIGTERM);
	for (int waited = 0; waited < kPatienceMs; waited += kLookEveryMs)
	{
		if (has_ended(pid, &code))
			return;
		pg_usleep(kLookEveryMs * 1000L);
	}
	(void) kill(pid, SIGKILL);
	while (!has_ended(pid, &code))
		pg_usleep(kLookEveryMs * 1000L);
}

} // namespace source
