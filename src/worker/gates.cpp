/*
 * worker/gates.cpp
 *
 * Waiting until those have ended who were writing to a table.  See copier.hpp.
 *
 * Each table that is in a gate is taken by one worker (a session's advisory lock), which lists the
 * writers once and then looks again and again until each of them has ended.  It never waits inside a transaction.
 */
#include "worker/copier.hpp"

#include "base/failpoint.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

constexpr int64 kGateEveryMs = 50;
constexpr char kLockedTable[] = "a lock of the table at the source";
constexpr int kAdvisoryClass = 0x6c697665; /* "live" */

bool
try_take(int64 table_id)
{
	base::begin_sql();
	base::run_sql("SELECT pg_catalog.pg_try_advisory_lock($1, $2)",
				  {base::int_value(kAdvisoryClass), base::int_value((int32) table_id)});
	bool taken = base::get_bool(0, 1);

	base::end_sql();
	return taken;
}

void
give_back(int64 table_id)
{
	base::run_alone("SELECT pg_catalog.pg_advisory_unlock($1, $2)",
					{base::int_value(kAdvisoryClass), base::int_value((int32) table_id)});
}

bool
is_waiting_for(const Copier *copier, int64 table_id)
{
	for (const WaitingGate *it = copier->gates; it != nullptr; it = it->next)
		if (it->table_id == table_id)
			return true;
	return false;
}

void
open_table_gate(Copier *copier, const state::SyncedTable *table)
{
	MemoryContext context =
		AllocSetContextCreate(copier->context, "livesync gate", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	WaitingGate *it = (WaitingGate *) palloc0(sizeof(WaitingGate));

	it->table_id = table->id;
	it->generation = table->generation;
	it->phase = table->phase;
	it->context = context;
	it->gate = source::open_gate(copier->connection, table->source_oid);
	it->next = copier->gates;
	copier->gates = it;
	MemoryContextSwitchTo(old);
}

void
take_new_gates(Copier *copier)
{
	base::begin_transaction();
	state::SyncedTables list = state::load_tables_in_gate(copier->config->id);

	for (int i = 0; i < list.count; i++)
		if (!is_waiting_for(copier, list.tables[i]->id) && try_take(list.tables[i]->id))
			open_table_gate(copier, list.tables[i]);
	base::commit_transaction();
}

void
close_table_gate(Copier *copier, WaitingGate *gate)
{
	WaitingGate **link = &copier->gates;

	while (*link != gate)
		link = &(*link)->next;
	*link = gate->next;
	set_table_wait(gate->table_id, nullptr);
	give_back(gate->table_id);
	MemoryContextDelete(gate->context);
}

/* False: not yet, the table is locked at the source. */
bool
pass_gate(Copier *copier, const WaitingGate *gate)
{
	const char *planned = nullptr;
	PlanResult plan = PlanResult::made;
	wire::Lsn position = wire::kInvalidLsn;

	if (gate->phase == state::Phase::publish_gate)
		position = source::wait_source_flushed(copier->connection);

	base::begin_transaction();
	state::SyncedTable *table = state::load_table(gate->table_id, state::RowLock::update);

	if (table != nullptr && table->generation == gate->generation && table->phase == gate->phase &&
		(table->state == state::TableState::queued || table->state == state::TableState::copying))
	{
		const char *name = state::source_table_name(table);

		if (gate->phase == state::Phase::publish_gate)
			state::record_admit_lsn(table->id, position);
		else
		{
			base::failpoint("gate_passed", name);
			plan = plan_copy(copier, table);
			if (plan == PlanResult::made)
			{
				state::record_event(copier->config->name, name, "copy_started", nullptr);
				planned = MemoryContextStrdup(copier->turn, name);
			}
		}
	}
	base::commit_transaction();
	if (plan == PlanResult::later)
		return false;
	if (planned != nullptr)
		base::failpoint("planned", planned);
	wake_connector();
	return true;
}

} // namespace

bool
poll_gates(Copier *copier)
{
	TimestampTz now = GetCurrentTimestamp();
	bool any = false;

	if (!TimestampDifferenceExceeds(copier->gates_at, now, kGateEveryMs))
		return copier->gates != nullptr;
	copier->gates_at = now;
	take_new_gates(copier);
	for (WaitingGate *it = copier->gates; it != nullptr;)
	{
		WaitingGate *next = it->next;
		state::SyncedTable *table;
		Oid source_oid = InvalidOid;

		base::begin_transaction();
		table = state::load_table(it->table_id, state::RowLock::none);
		if (table != nullptr && table->generation == it->generation && table->phase == it->phase)
			source_oid = table->source_oid;
		base::commit_transaction();

		MemoryContext old = MemoryContextSwitchTo(it->context);
		bool passed =
			OidIsValid(source_oid) && source::poll_gate(copier->connection, source_oid, &it->gate);

		MemoryContextSwitchTo(old);
		if (passed)
		{
			passed = pass_gate(copier, it);
			if (!passed)
				it->gate.waiting_for = MemoryContextStrdup(it->context, kLockedTable);
		}
		if (passed || !OidIsValid(source_oid))
		{
			base::begin_transaction();
			close_table_gate(copier, it);
			base::commit_transaction();
			any = true;
		}
		else
			set_table_wait(it->table_id, it->gate.waiting_for);
		it = next;
	}
	return any || copier->gates != nullptr;
}

} // namespace worker
