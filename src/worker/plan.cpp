/*
 * worker/plan.cpp
 *
 * Which chunks a table is copied in, and the snapshots that are held for those that need one.  See copier.hpp.
 */
#include "worker/copier.hpp"

#include "base/settings.hpp"
#include "base/transaction.hpp"
#include "source/chunk_plan.hpp"
#include "state/shape.hpp"
#include "state/stream_format.hpp"
#include "target/binary_value.hpp"
#include "worker/partitions.hpp"
#include "worker/source_address.hpp"

namespace worker
{
namespace
{

constexpr int kMaxChunks = 20000;

/* Chunks of one leaf, numbered on from *number. */
void
add_leaf(const state::SyncedTable *table, const source::Leaf &leaf, uint64 bytes, bool is_whole,
		 int *number)
{
	uint32 blocks = (uint32) leaf.blocks;
	uint32 each = source::blocks_per_chunk(blocks, bytes, BLCKSZ, kMaxChunks);
	uint32 count = is_whole ? 1 : source::chunk_count(blocks, each);

	for (uint32 i = 0; i < count; i++)
	{
		source::BlockRange range = source::chunk_range(blocks, each, i);
		state::Chunk chunk{};

		chunk.table_id = table->id;
		chunk.generation = table->generation;
		chunk.number = ++*number;
		chunk.leaf_oid = leaf.oid;
		chunk.leaf_schema = leaf.schema;
		chunk.leaf_name = leaf.name;
		chunk.leaf_filenode = leaf.filenode;
		chunk.first_block = is_whole ? 0 : range.first;
		chunk.end_block = is_whole ? -1 : (int64) range.end;
		state::add_chunk(chunk);
	}
}

/*
 * Whole leaves where the source has no TID range scan; and where a one-snapshot table meets rows of its own, all in one
 * transaction, so that it can fail and start over without a trace.
 */
bool
wants_whole_leaves(const Copier *copier, const state::SyncedTable *table)
{
	return copier->connection->server_version < 140000 ||
		   (table->mode == state::CopyMode::snapshot && !table->empty_at_start);
}

/* The types of the columns for which COPY may be binary. */
Oid *
binary_types(const Copier *copier, const state::SyncedTable *table)
{
	state::Shape shape = state::load_shape(table->id);
	Oid *types = (Oid *) palloc0(sizeof(Oid) * (table->ncolumns + 1));
	state::TypeList unreadable = state::load_unreadable_types(copier->config->id);

	for (int i = 0; i < table->ncolumns; i++)
	{
		const state::ShapeColumn *column = state::find_column(shape, table->columns[i]);

		if (column != nullptr &&
			target::is_binary_type(column->type, copier->connection->server_version) &&
			!state::contains_type(unreadable, column->type))
			types[i] = column->type;
	}
	return types;
}

/* A table that is not partitioned, and so will never have partitions. */
bool
is_own_leaf(const state::SyncedTable *table, const source::Leaves &leaves)
{
	return leaves.count == 1 && leaves.leaves[0].oid == table->source_oid;
}

/* The connection is opened before the local transaction, to be there however the transaction ends. */
void
open_snapshot_holder(Copier *copier, const state::SyncedTable *table)
{
	MemoryContext context =
		AllocSetContextCreate(copier->context, "livesync snapshot", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HeldSnapshot *held = (HeldSnapshot *) palloc0(sizeof(HeldSnapshot));

	held->table_id = table->id;
	held->generation = table->generation;
	held->context = context;
	held->connection = source::open_connection(address_of(copier->config),
											   copier->config->slot_name, source::Purpose::copy);
	held->next = copier->snapshots;
	copier->snapshots = held;
	MemoryContextSwitchTo(old);
}

void
close_snapshot_holder(HeldSnapshot **link)
{
	HeldSnapshot *held = *link;

	*link = held->next;
	source::close_connection(held->connection);
	MemoryContextDelete(held->context);
}

PlanResult
plan_table(Copier *copier, const state::SyncedTable *table)
{
	const char *exported = nullptr;
	const char *snapshot = nullptr;
	int chunks = 0;

	/* the size of now: rows in pages that are added later all have changes in the spool */
	source::Leaves leaves = source::read_leaves(copier->connection, table->source_oid);
	bool is_plain = is_own_leaf(table, leaves);

	if (!is_plain && restart_if_attached(copier, table))
		return PlanResult::restarted;
	if (table->mode == state::CopyMode::snapshot)
	{
		HeldSnapshot *held = copier->snapshots;
		MemoryContext old = MemoryContextSwitchTo(held->context);
		source::ExportedSnapshot it = source::export_snapshot(
			held->connection, table->source_oid, table->source_schema, table->source_name);

		MemoryContextSwitchTo(old);
		if (it.name == nullptr)
			return PlanResult::later;
		exported = it.name;
		snapshot = it.snapshot;
	}

	/* of the snapshot, and after the partitions were noted */
	if (!is_plain || table->mode == state::CopyMode::snapshot)
		leaves = source::read_leaves(copier->connection, table->source_oid);

	uint64 blocks = 0;

	for (int i = 0; i < leaves.count; i++)
		blocks += (uint64) leaves.leaves[i].blocks;
	uint64 bytes =
		source::chunk_bytes(blocks * BLCKSZ, (uint64) base::settings::chunk_size_kb * 1024,
							(uint32) copier->config->copy_workers);

	for (int i = 0; i < leaves.count; i++)
		add_leaf(table, leaves.leaves[i], bytes, wants_whole_leaves(copier, table), &chunks);
	state::record_plan(table, chunks, binary_types(copier, table), exported, snapshot);
	return PlanResult::made;
}

} // namespace

PlanResult
plan_copy(Copier *copier, const state::SyncedTable *table)
{
	bool needs_snapshot = table->mode == state::CopyMode::snapshot;

	if (needs_snapshot)
		open_snapshot_holder(copier, table);
	PlanResult plan = plan_table(copier, table);

	if (plan != PlanResult::made && needs_snapshot)
		close_snapshot_holder(&copier->snapshots);
	return plan;
}

void
release_finished_snapshots(Copier *copier)
{
	HeldSnapshot **link = &copier->snapshots;

	if (copier->snapshots == nullptr)
		return;
	base::begin_transaction();
	while (*link != nullptr)
	{
		HeldSnapshot *held = *link;
		const state::SyncedTable *table = state::load_table(held->table_id, state::RowLock::none);

		if (table != nullptr && table->generation == held->generation &&
			(table->state == state::TableState::copying ||
			 table->state == state::TableState::failed) &&
			table->exported != nullptr)
		{
			link = &held->next;
			continue;
		}
		close_snapshot_holder(link);
	}
	base::commit_transaction();
}

} // namespace worker
