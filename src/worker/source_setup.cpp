/*
 * worker/source_setup.cpp
 *
 * Before the stream: the source is the one we know, slot and publication are there, and the position
 * here fits the position there.  See connector.hpp.
 *
 * The invariant: the origin, flushed, is never behind what was confirmed to the source.  When it is
 * found broken, a tail was lost (a failover to a standby that was behind, a restore, a clone), and
 * streaming on would skip changes without a word; so it is refused, with the way out.
 */
#include "worker/connector.hpp"

#include "base/failpoint.hpp"
#include "base/settings.hpp"
#include "base/transaction.hpp"
#include "source/prerequisites.hpp"
#include "source/slot.hpp"
#include "state/event.hpp"
#include "state/ledger.hpp"
#include "target/origin.hpp"
#include "worker/registry.hpp"
#include "worker/slot_health.hpp"

namespace worker
{
namespace
{

constexpr const char *kStartOver =
	"Call livesync.pause_connector() and livesync.drop_connector() (force => true if need be), empty "
	"the target tables and create the connector again.";

#define LSN_WORDS(lsn) (uint32)((lsn) >> 32), (uint32) (lsn)

void
show_wait(void *, const char *text_form)
{
	set_waiting_for(text_form);
}

/* For the statements in between: each step is recorded before the next. */
void
in_transaction(void (*step)(ConnectorWorker *worker), ConnectorWorker *worker)
{
	base::begin_transaction();
	step(worker);
	base::commit_transaction();
}

void
record_slot_and_origin(ConnectorWorker *worker)
{
	target::create_origin(state::origin_name(worker->config->id), worker->config->slot_lsn);
	state::record_slot(worker->config->id, worker->config->slot_lsn);
	state::record_event(worker->config->name, nullptr, "slot_created", worker->config->slot_name);
}

void
make_slot(ConnectorWorker *worker)
{
	state::Connector *config = worker->config;

	/* one that is there was made by us and never recorded: nothing was streamed from it */
	source::drop_slot(worker->control, config->slot_name);
	config->slot_lsn =
		source::create_slot(worker->stream_connection, worker->control, config->slot_name,
							base::settings::failover_slots, show_wait, nullptr);
	set_waiting_for(nullptr);
	base::failpoint("slot_created");
	in_transaction(record_slot_and_origin, worker);
}

void
check_same_system(const ConnectorWorker *worker, const source::SystemIdentity &system)
{
	const state::Connector *config = worker->config;

	if (config->source_system == nullptr ||
		strcmp(config->source_system, system.system_identifier) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the source is another server than the one the connector was made for"),
			 errdetail("Its system identifier is %s, expected %s.", system.system_identifier,
					   config->source_system),
			 errhint("Point the connector at the old server, or start over: %s", kStartOver)));
}

/*
 * Rows that were read from the old primary behind the place where the new one left its history may not be there
 * any more, and nothing in the stream would tell of them.
 */
void
copy_what_was_lost(const state::Connector *config, wire::Lsn left_at)
{
	stop_copies(0);
	base::begin_transaction();
	state::SyncedTables all = state::load_tables(config->id);

	for (int i = 0; i < all.count; i++)
	{
		/* locked: a loader that has not ended yet commits before */
		state::SyncedTable *table =
			all.tables[i]->state == state::TableState::streaming
				? nullptr
				: state::load_table(all.tables[i]->id, state::RowLock::update);

		if (table == nullptr || table->state == state::TableState::queued ||
			!state::was_read_behind(table->id, left_at))
			continue;
		state::restart_copy(table->id, true);
		state::record_event(config->name, state::source_table_name(table), "table_restarted",
							"The source failed over to a server that lacks changes which the copy "
							"had read.");
	}
	base::commit_transaction();
}

/* After a failover the position must lie on the part of history that both timelines share. */
void
check_timeline(const ConnectorWorker *worker, const source::SystemIdentity &system,
			   wire::Lsn origin)
{
	const state::Connector *config = worker->config;
	wire::Lsn left_at;

	if (config->source_timeline == 0 || config->source_timeline == system.timeline)
		return;
	if (system.timeline > config->source_timeline &&
		source::read_switch_point(worker->stream_connection, system.timeline,
								  config->source_timeline, &left_at) &&
		origin <= left_at)
	{
		copy_what_was_lost(config, left_at);
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the source lost changes that are already applied here"),
			 errdetail("It is on timeline %u now; the target follows timeline %u up to %X/%X.",
					   system.timeline, config->source_timeline, LSN_WORDS(origin)),
			 errhint("%s", kStartOver)));
}

/* A standby has a slot only when it was made to take it over before it was promoted. */
[[noreturn]] void
raise_left_behind(const state::Connector *config, const source::SystemIdentity &system)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("replication slot \"%s\" does not exist at the source", config->slot_name),
			 errdetail("The source failed over, from timeline %u to %u, to a server that had not "
					   "taken over the slot.",
					   config->source_timeline, system.timeline),
			 errhint("Changes may be missing for good. %s  For the next time, let the standby have "
					 "the slot: from version 17 on with sync_replication_slots there, and the "
					 "standby's own slot in synchronized_standby_slots at the primary.",
					 kStartOver)));
}

void
check_slot_is_valid(const source::SlotState &slot, const char *name)
{
	if (!slot.exists)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("replication slot \"%s\" does not exist at the source", name),
				 errhint("Changes since it was dropped are missing for good. %s", kStartOver)));
	if (!slot.lost)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("replication slot \"%s\" has lost WAL that is not applied here", name),
		 slot.invalidation == nullptr
			 ? errdetail("The source removed it; wal_status of the slot is %s.", slot.wal_status)
		 : slot.inactive_since == nullptr
			 ? errdetail("The source invalidated the slot: %s.", slot.invalidation)
			 : errdetail("The source invalidated the slot: %s; it has been inactive since %s.",
						 slot.invalidation, slot.inactive_since),
		 errhint("Changes are missing for good. %s  Before that, raise max_slot_wal_keep_size "
				 "at the source, or find out why the connector was behind for so long.",
				 kStartOver)));
}

void
check_positions(const ConnectorWorker *worker, const source::SystemIdentity &system,
				const source::SlotState &slot, wire::Lsn origin)
{
	const char *name = worker->config->slot_name;
	uint32 timeline = worker->config->source_timeline;

	if (!slot.exists && timeline != 0 && timeline != system.timeline)
		raise_left_behind(worker->config, system);
	check_slot_is_valid(slot, name);
	if (!slot.is_ours)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("replication slot \"%s\" is not a pgoutput slot of this database", name),
				 errhint("Drop that slot at the source if it is not needed. %s", kStartOver)));
	if (slot.confirmed_flush > origin)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the target lost changes that it had confirmed to the source"),
			 errdetail("The target stands at %X/%X, the slot at %X/%X.", LSN_WORDS(origin),
					   LSN_WORDS(slot.confirmed_flush)),
			 errhint("This happens after a failover or restore of the target, or when a copy of it "
					 "uses the same slot. %s",
					 kStartOver)));
	if (origin > system.flush)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the source lost changes that are already applied here"),
						errdetail("The target stands at %X/%X, the source ends at %X/%X.",
								  LSN_WORDS(origin), LSN_WORDS(system.flush)),
						errhint("This happens after a failover or restore of the source. %s",
								kStartOver)));
}

void
read_position(ConnectorWorker *worker)
{
	const char *name = state::origin_name(worker->config->id);

	if (!target::read_origin(name, &worker->origin))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("replication origin \"%s\" does not exist", name),
			 errdetail("The position of the connector is lost; pg_upgrade and copies of a database "
					   "do not keep origins."),
			 errhint("%s", kStartOver)));
	worker->origin = target::use_origin(name);
}

void
record_identity(ConnectorWorker *worker)
{
	source::SystemIdentity system = source::identify_system(worker->stream_connection);

	state::record_source(worker->config->id, system.system_identifier, system.timeline);
	state::clear_connector_error(worker->config->id);
}

/* Under the next name that may be free.  Recorded first: what is dropped is known by its mark, not by its name. */
void
rename_own_publication(ConnectorWorker *worker, int number)
{
	state::Connector *config = worker->config;
	char *name = psprintf("livesync_%s_%d", config->name, number);

	base::begin_transaction();
	state::record_own_publication(config->id, name);
	base::commit_transaction();
	config->own_publication = MemoryContextStrdup(GetMemoryChunkContext(config), name);
	config->publications[0] = config->own_publication;
}

/*
 * The slot may have been made before the source or the setting was what it is.  An end of the former stream that the source has
 * not noticed yet keeps it in use: then the next connection does it.
 */
void
ensure_failover(const ConnectorWorker *worker, const source::SlotState &slot)
{
	const state::Connector *config = worker->config;
	bool wanted = base::settings::failover_slots;

	if (!slot.can_fail_over || slot.fails_over == wanted || slot.active ||
		!source::try_set_failover(worker->stream_connection, config->slot_name, wanted))
		return;
	base::begin_transaction();
	state::record_event(config->name, nullptr, wanted ? "slot_failover_on" : "slot_failover_off",
						config->slot_name);
	base::commit_transaction();
}

/* Once there is a slot it stays with its name: whoever made one of that name anew meant it to be used. */
void
ensure_own_publication(ConnectorWorker *worker, bool is_new)
{
	const state::Connector *config = worker->config;
	int number = 2;

	while (!source::try_make_publication(worker->control, config->own_publication,
										 config->slot_name, config->nwanted_tables,
										 config->wanted_tables) &&
		   is_new)
		rename_own_publication(worker, number++);
}

} // namespace

void
ensure_source(ConnectorWorker *worker)
{
	state::Connector *config = worker->config;
	bool is_new = config->slot_lsn == wire::kInvalidLsn;

	/* before anything is made there */
	source::SystemIdentity system = source::identify_system(worker->stream_connection);

	check_same_system(worker, system);

	bool uses_own = config->own_publication != nullptr &&
					strcmp(config->own_publication, config->publications[0]) == 0;

	source::check_prerequisites(worker->control, uses_own ? 0 : config->npublications,
								uses_own ? nullptr : config->publications, is_new);
	if (uses_own)
		ensure_own_publication(worker, is_new);
	if (is_new)
		make_slot(worker);
	in_transaction(read_position, worker);

	/* creating a slot may have taken long */
	system = source::identify_system(worker->stream_connection);
	source::SlotState slot = source::read_slot(worker->control, config->slot_name);

	base::begin_transaction();
	watch_slot(config, slot);
	base::commit_transaction();
	check_timeline(worker, system, worker->origin);
	check_positions(worker, system, slot, worker->origin);
	ensure_failover(worker, slot);
	in_transaction(record_identity, worker);
	if (config->missed_publication)
		pass_missed_publication(worker);
	worker->received = worker->applied = worker->confirmed = worker->end_lsn = worker->origin;
}

void
open_stream(ConnectorWorker *worker)
{
	MemoryContext old = CurrentMemoryContext;

	source::free_slot(worker->control, worker->config->slot_name);
	choose_format(worker);
	MemoryContextSwitchTo(old);
	worker->stream = source::start_stream(worker->stream_connection, worker->config->slot_name,
										  worker->origin, worker->config->npublications,
										  worker->config->publications, worker->is_binary);
	worker->connected_at = worker->confirmed;
}

} // namespace worker
