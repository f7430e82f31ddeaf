/*
 * worker/process.cpp
 *
 * See process.hpp.
 */
#include "worker/process.hpp"

#include "base/compat.hpp"
#include "target/relation.hpp"

namespace worker
{
namespace
{

void
set(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

} // namespace

bool
start_process(const char *type, const char *function, Datum argument, const void *extra,
			  size_t extra_size, BackgroundWorkerHandle **handle)
{
	BackgroundWorker process;
	BackgroundWorkerHandle *registered = nullptr;

	memset(&process, 0, sizeof(process));
	process.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	process.bgw_start_time = BgWorkerStart_RecoveryFinished;
	process.bgw_restart_time = BGW_NEVER_RESTART;
	process.bgw_notify_pid = MyProcPid;
	process.bgw_main_arg = argument;
	strlcpy(process.bgw_library_name, "pg_livesync", sizeof(process.bgw_library_name));
	strlcpy(process.bgw_function_name, function, BGW_MAXLEN);
	strlcpy(process.bgw_name, type, BGW_MAXLEN);
	strlcpy(process.bgw_type, type, BGW_MAXLEN);
	if (extra_size > 0)
		memcpy(process.bgw_extra, extra, Min(extra_size, sizeof(process.bgw_extra)));
	if (!RegisterDynamicBackgroundWorker(&process, &registered))
		return false;
	if (handle != nullptr)
		*handle = registered;
	else
		pfree(registered);
	return true;
}

void
begin_process(Oid database)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	/* the server throws away a SIGHUP that comes while it sets up a worker: what was set then would wait for the next reload */
	ProcessConfigFile(PGC_SIGHUP);

	if (!OidIsValid(database))
	{
		BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
		return;
	}
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	/* Once, before anything is planned: a change of the role throws all saved plans away. */
	set("session_replication_role", "replica");
	set("search_path", "pg_catalog, pg_temp");
	set("synchronous_commit", "off");
	set("statement_timeout", "0");
	set("lock_timeout", "0");
	set("idle_in_transaction_session_timeout", "0");
	set("default_transaction_isolation", "read committed");
	set("default_transaction_read_only", "off");
	set("check_function_bodies", "off");
	set("xmloption", "content");
	set("DateStyle", "ISO");
	set("IntervalStyle", "postgres");
	set("array_nulls", "on");
	/* rows and keys are found by the text of numbers too: with less it is that of several, or of none */
	set("extra_float_digits", "3");
	/* the source's sessions have it too: another one would read other numbers from a text of money */
	set("lc_monetary", "C");
	/* COPY takes its data to be in it, and ours is in that of the database */
	set("client_encoding", GetDatabaseEncodingName());
	set("work_mem", "65536");
	/* what the writer forbids the planner costs so much that each statement would be compiled */
	set("jit", "off");
	if (GetConfigOption("transaction_timeout", true, false) != nullptr)
		set("transaction_timeout", "0");
	target::watch_definitions();
}

void
check_configuration()
{
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

void
rest(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
					 base::wait_event());
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	check_configuration();
}

} // namespace worker
