/*
 * worker/refetch.cpp
 *
 * Rows that are asked for at the source while a table catches up: those whose unchanged values nobody has here, and those
 * that were set aside since they stood in another one's way.  See drain.hpp.
 */
#include "worker/drain.hpp"

#include "base/names.hpp"
#include "source/chunk_reader.hpp"
#include "source/snapshot.hpp"
#include "state/aside.hpp"
#include "target/binary_value.hpp"
#include "worker/follow.hpp"

namespace worker
{
namespace
{

state::AsideKey
key_of(const target::TargetRelation *relation, char **texts)
{
	state::AsideKey it{relation->nkeys, (char **) palloc(sizeof(char *) * (relation->nkeys + 1)),
					   texts};

	for (int k = 0; k < relation->nkeys; k++)
		it.columns[k] = relation->columns[relation->keys[k]].name;
	return it;
}

state::AsideKey
key_of(const target::TargetRelation *relation, const wire::Value *key)
{
	char **texts = (char **) palloc(sizeof(char *) * (relation->nkeys + 1));

	for (int k = 0; k < relation->nkeys; k++)
		texts[k] = target::text_of(relation->columns[relation->keys[k]], key[k]);
	return key_of(relation, texts);
}

bool
refetch_row(Drain *drain, const state::AsideKey &key, int ncolumns, char **columns,
			const uint32 *xids, int nxids, wire::Value *values, bool *found)
{
	const state::SyncedTable *table = drain->table;
	source::FetchedRow row =
		source::fetch_row(drain->control, table->source_schema, table->source_name, ncolumns,
						  columns, key.count, key.columns, key.texts, table->row_filter);

	/* another table has the name for now, perhaps for a moment only: the next look at the source will tell */
	if (row.table != table->source_oid || !are_visible(xids, nxids, row.snapshot))
		return false;
	drain->has_refetched = true;
	*found = row.found;
	for (int i = 0; i < ncolumns && row.found; i++)
		values[i] = row.values[i] == nullptr
						? wire::Value{wire::ValueKind::null, {}}
						: wire::Value{wire::ValueKind::text, std::string_view(row.values[i])};
	return true;
}

struct HookContext
{
	Drain *drain;
	char **columns; /* the source's, in the relation's order */
};

bool
refetch_hook(void *context, const target::TargetRelation *relation, const wire::Value *key,
			 const uint32 *xids, int nxids, wire::Value *values, bool *found)
{
	HookContext *it = (HookContext *) context;

	return refetch_row(it->drain, key_of(relation, key), relation->ncolumns, it->columns, xids,
					   nxids, values, found);
}

void
set_aside_hook(void *context, const target::TargetRelation *relation, int nkeys, char **key)
{
	HookContext *it = (HookContext *) context;
	const state::SyncedTable *table = it->drain->table;
	base::Role owner = base::become_extension();

	(void) nkeys;
	state::remember_aside(table->id, table->generation, key_of(relation, key));
	base::restore_role(owner);
}

void
written_hook(void *context, const target::TargetRelation *relation, const wire::Value *key)
{
	HookContext *it = (HookContext *) context;
	const state::SyncedTable *table = it->drain->table;
	base::Role owner = base::become_extension();

	state::forget_aside(table->id, table->generation, key_of(relation, key));
	base::restore_role(owner);
}

/* By the columns that the rows were set aside by: the table's key may be another one by now. */
target::TargetRelation *
open_by_key(const state::SyncedTable *table, const state::AsideKey &key)
{
	state::SyncedTable as_before = *table;

	as_before.nkey_columns = key.count;
	as_before.key_columns = key.columns;
	return open_recorded_target(&as_before, CurrentMemoryContext);
}

void
write_fetched(target::TargetRelation *target, const state::AsideKey &key, const wire::Value *values)
{
	wire::Value *find = (wire::Value *) palloc(sizeof(wire::Value) * (key.count + 1));

	for (int k = 0; k < key.count; k++)
		find[k] = wire::Value{wire::ValueKind::text, std::string_view(key.texts[k])};
	target::WriteRow row{values, find};
	target::Role role = target::become_owner(target->owner);

	(void) target::write_rows(target, target::Statement::del, nullptr, &row, 1);
	(void) target::write_rows(target, target::Statement::insert, nullptr, &row, 1);
	target::restore_role(role);
}

} // namespace

bool
are_visible(const uint32 *xids, int nxids, const char *snapshot_text)
{
	source::Snapshot snapshot;

	if (!source::parse_snapshot_header(snapshot_text, &snapshot))
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the source sent a snapshot that cannot be read")));
	for (int i = 0; i < nxids; i++)
		if (!source::is_visible(xids[i], snapshot))
			return false;
	return true;
}

void
settle_refetches(Drain *drain)
{
	if (drain->has_refetched)
		drain->refetched = source::wait_source_flushed(drain->control);
	drain->has_refetched = false;
}

target::CatchUp
make_catch_up(Drain *drain, char **columns)
{
	HookContext *context = (HookContext *) palloc0(sizeof(HookContext));
	target::CatchUp it;

	context->drain = drain;
	context->columns = columns;
	it.context = context;
	it.trust_unchanged =
		drain->table->empty_at_start || drain->table->mode == state::CopyMode::snapshot;
	it.refetch = refetch_hook;
	it.tracks_aside = state::has_aside(drain->table->id, drain->table->generation);
	it.set_aside = set_aside_hook;
	it.written = written_hook;
	return it;
}

DrainResult
restore_aside(Drain *drain)
{
	const state::SyncedTable *table = drain->table;
	target::TargetRelation *target = nullptr;
	state::AsideKey opened_by{};
	state::AsideKey key;

	while (state::first_aside(table->id, table->generation, &key))
	{
		wire::Value *values = (wire::Value *) palloc(sizeof(wire::Value) * (table->ncolumns + 1));
		bool found = false;

		if (target != nullptr &&
			!base::are_same_names(key.count, key.columns, opened_by.count, opened_by.columns))
		{
			target::close_target(target);
			target = nullptr;
		}
		if (target == nullptr)
			target = open_by_key(table, opened_by = key);
		if (!refetch_row(drain, key, table->ncolumns, table->columns, nullptr, 0, values, &found))
			return DrainResult::again_later;
		if (found)
			write_fetched(target, key, values);
		state::forget_aside(table->id, table->generation, key);
	}
	if (target == nullptr)
		return DrainResult::empty;
	settle_refetches(drain);
	target::close_target(target);
	return DrainResult::empty;
}

} // namespace worker
