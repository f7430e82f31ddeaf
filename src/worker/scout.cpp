/*
 * worker/scout.cpp
 *
 * Short-lived workers of one database: the scout, which tells the registry what connectors there are,
 * and the sweeper, which removes what dropped connectors left here and at their sources.
 */
#include "source/slot.hpp"

#include "base/failpoint.hpp"
#include "base/transaction.hpp"
#include "state/cleanup.hpp"
#include "state/connector.hpp"
#include "state/event.hpp"
#include "target/origin.hpp"
#include "worker/failure.hpp"
#include "worker/process.hpp"
#include "worker/registry.hpp"
#include "worker/source_address.hpp"

namespace worker
{
namespace
{

void
report_connectors()
{
	base::begin_sql();
	uint64 count = base::run_sql("SELECT id FROM livesync.connector WHERE enabled "
								 "UNION ALL SELECT 0 WHERE EXISTS (SELECT FROM livesync.cleanup)");

	for (uint64 i = 0; i < count; i++)
		register_connector(MyDatabaseId, base::get_int(i, 1));
	base::end_sql();
}

void
sweep_one(const state::Cleanup *cleanup)
{
	source::Connection *control =
		source::open_connection(address_of(cleanup), cleanup->slot_name, source::Purpose::control);

	base::failpoint("source_sweep");
	source::drop_slot(control, cleanup->slot_name);
	if (cleanup->publication != nullptr)
		source::drop_publication(control, cleanup->publication, cleanup->slot_name);
	source::close_connection(control);
}

/* The origin goes first and by itself: it needs no source. */
void
sweep_origins()
{
	base::begin_transaction();
	for (state::Cleanup *it = state::next_cleanup(0); it != nullptr;
		 it = state::next_cleanup(it->id))
		target::drop_origin(it->origin);
	base::commit_transaction();
}

/* Errors that pass are the usual case here, so they are not told apart. */
ErrorData *
try_sweep(const state::Cleanup *cleanup)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData *volatile error = nullptr;

	BeginInternalSubTransaction(nullptr);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		sweep_one(cleanup);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return error;
}

/* Said once, however often it is tried. */
void
record_error(const state::Cleanup *cleanup, const ErrorData *error)
{
	const char *why = describe_error(error);

	if (state::record_cleanup_error(cleanup->id, why))
		state::record_event(
			cleanup->connector, nullptr, "source_not_cleaned",
			psprintf("Replication slot \"%s\" is still there: %s", cleanup->slot_name, why));
}

/* The next one after `after`, which is moved on; false: there is none. */
bool
sweep_next(int64 *after, bool *is_done)
{
	base::begin_transaction();
	state::Cleanup *cleanup = state::next_cleanup(*after);
	bool found = cleanup != nullptr;

	if (found)
	{
		ErrorData *error = try_sweep(cleanup);

		*after = cleanup->id;
		*is_done = error == nullptr;
		if (error != nullptr)
			record_error(cleanup, error);
		else
		{
			/* it may have come when the origins were done already */
			target::drop_origin(cleanup->origin);
			state::finish_cleanup(cleanup->id);
			state::record_event(cleanup->connector, nullptr, "source_cleaned", cleanup->slot_name);
		}
	}
	base::commit_transaction();
	return found;
}

/* False: something is left. */
bool
sweep()
{
	bool all = true;
	bool is_done;
	int64 after = 0;

	sweep_origins();
	while (sweep_next(&after, &is_done))
		all &= is_done;
	return all;
}

} // namespace
} // namespace worker

extern "C" PGDLLEXPORT void
livesync_scout_main(Datum argument)
{
	using namespace worker;

	begin_process(DatumGetObjectId(argument));
	base::begin_transaction();
	if (state::is_installed())
		report_connectors();
	base::commit_transaction();
	proc_exit(0);
}

extern "C" PGDLLEXPORT void
livesync_sweeper_main(Datum argument)
{
	using namespace worker;

	Oid database;

	memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof(database));
	begin_process(database);
	if (!attach_connector(DatumGetInt32(argument)))
		proc_exit(0);
	base::begin_transaction();
	bool is_installed = state::is_installed();

	base::commit_transaction();
	set_ending(!is_installed || sweep() ? Ending::forgotten : Ending::failed);
	proc_exit(0);
}
