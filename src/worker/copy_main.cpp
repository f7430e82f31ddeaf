/*
 * worker/copy_main.cpp
 *
 * A copy worker, from its start to its end.  See copier.hpp.
 */
#include "worker/copier.hpp"

#include "base/transaction.hpp"
#include "target/ownership.hpp"
#include "worker/failure.hpp"
#include "worker/process.hpp"
#include "worker/registry.hpp"
#include "worker/source_address.hpp"

namespace worker
{
namespace
{

constexpr long kPauseMs = 50;
constexpr int kIdleTurns =
	10; /* then it ends; the connector worker starts another when there is work */

state::Connector *
load_config(MemoryContext context, int connector_id)
{
	base::begin_transaction();
	MemoryContext old = MemoryContextSwitchTo(context);
	state::Connector *config = state::load_connector(connector_id);

	MemoryContextSwitchTo(old);
	base::commit_transaction();
	return config != nullptr && config->enabled ? config : nullptr;
}

bool
work(Copier *copier)
{
	bool is_waiting = poll_gates(copier);

	copier->is_held_up = false;
	release_finished_snapshots(copier);
	if (load_one_chunk(copier) || finish_one_table(copier) || skip_one_change(copier) ||
		drain_one_table(copier) || build_one_index(copier) || exchange_one_table(copier) ||
		analyze_one_table(copier))
		return true;
	if (is_waiting || copier->is_held_up || copier->snapshots != nullptr)
	{
		rest(kPauseMs);
		return true;
	}
	return false;
}

void
run(Copier *copier)
{
	int idle = 0;

	/* a snapshot that others copy from is not given up */
	while (idle < kIdleTurns && (copier->snapshots != nullptr || !is_surplus_copy()))
	{
		MemoryContextReset(copier->turn);
		MemoryContextSwitchTo(copier->turn);
		if (work(copier))
			idle = 0;
		else
		{
			idle++;
			rest(kPauseMs);
		}
		CHECK_FOR_INTERRUPTS();
		check_configuration();
	}
}

} // namespace

MemoryContext
begin_piece(const Copier *copier)
{
	MemoryContext before = CurrentMemoryContext;

	base::begin_transaction();
	MemoryContextSwitchTo(copier->turn);
	return before;
}

bool
end_piece(MemoryContext before, bool is_done)
{
	if (is_done)
	{
		base::commit_transaction();
		wake_connector();
	}
	else
		AbortCurrentTransaction();
	MemoryContextSwitchTo(before);
	return is_done;
}

} // namespace worker

extern "C" PGDLLEXPORT void
livesync_copy_main(Datum argument)
{
	using namespace worker;

	int slot = DatumGetInt32(argument);
	struct
	{
		Oid database;
		int copy_slot;
	} extra;

	memcpy(&extra, MyBgworkerEntry->bgw_extra, sizeof(extra));
	begin_process(extra.database);
	if (!attach_copy(slot, extra.copy_slot))
		proc_exit(0);

	int connector_id = slot_connector(slot);

	PG_TRY();
	{
		Copier copier{};

		copier.context =
			AllocSetContextCreate(TopMemoryContext, "livesync copier", ALLOCSET_DEFAULT_SIZES);
		copier.turn =
			AllocSetContextCreate(TopMemoryContext, "livesync turn", ALLOCSET_DEFAULT_SIZES);
		/* what it writes is a copy: servers that replicate from here can tell */
		replorigin_session_origin = DoNotReplicateId;
		copier.config = load_config(copier.context, connector_id);
		if (copier.config != nullptr)
		{
			MemoryContextSwitchTo(copier.context);
			target::set_writer(copier.config->owner);
			copier.connection = source::open_connection(
				address_of(copier.config), copier.config->slot_name, source::Purpose::copy);
			run(&copier);
		}
	}
	PG_CATCH();
	{
		/* its claims end with it; the connector worker starts another, after a while */
		MemoryContextSwitchTo(TopMemoryContext);
		ErrorData *error = CopyErrorData();

		EmitErrorReport();
		FlushErrorState();
		/* it may come from within a subtransaction */
		AbortOutOfAnyTransaction();
		note_copy_failure();
		record_failure_and_exit(connector_id, error);
	}
	PG_END_TRY();
}
