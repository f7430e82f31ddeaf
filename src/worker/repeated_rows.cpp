/*
 * worker/repeated_rows.cpp
 *
 * See repeated_rows.hpp.
 *
 * Of two rows with a key one was written after the other had been read, and so after P0: by an INSERT of that key or an UPDATE
 * that led to it.  So the keys of the spool's new rows are enough; those of old rows and of deletes need not be looked for.
 */
#include "worker/repeated_rows.hpp"

#include "base/failpoint.hpp"
#include "base/subtransaction.hpp"
#include "state/spool.hpp"
#include "target/repeated_keys.hpp"
#include "worker/registry.hpp"
#include "worker/routes.hpp"

namespace worker
{
namespace
{

/* A stream that is farther behind is not waited for: without its changes the build may fail, and is done again. */
constexpr int64 kLongestWaitMs = 10000;
constexpr int kLockMs = 1000;
constexpr size_t kRowsATime = 1000;

struct Collection
{
	const state::SyncedTable *table;
	Routes *relations; /* for the one Relation message only */
	target::TargetRelation *target;
	target::KeySet keys;
	target::WriteRow rows[kRowsATime];
	size_t count;
};

void
add_collected(Collection *it)
{
	target::add_keys(&it->keys, it->rows, it->count);
	it->count = 0;
}

/* False: the columns changed meanwhile, or have no key. */
bool
take_relation(Collection *it, const wire::RelationMessage &message, std::string_view raw)
{
	if (message.relid != it->table->source_oid)
		return true;

	const StreamRelation *known = find_relation(it->relations, message.relid);

	if (known != nullptr)
		return std::string_view(known->message, known->message_size) == raw;
	remember_relation(it->relations, message, raw);
	it->target = target::open_target(
		make_spec(it->table, find_relation(it->relations, message.relid)), it->relations->context);
	MemoryContext old = MemoryContextSwitchTo(it->relations->context);

	it->keys = target::open_key_set(it->target);
	MemoryContextSwitchTo(old);
	return it->target->nkeys > 0 && it->target->kind == RELKIND_RELATION &&
		   it->target->hypertable == nullptr;
}

/* False: the key was not sent. */
bool
take_new_row(Collection *it, const wire::Change &change)
{
	const target::TargetRelation *target = it->target;
	wire::Value *values = target::values_of(change.new_tuple);
	wire::Value *old =
		change.old_tuple.is_present() ? target::values_of(change.old_tuple) : nullptr;
	wire::Value *key = (wire::Value *) palloc(sizeof(wire::Value) * target->nkeys);

	for (int k = 0; k < target->nkeys; k++)
	{
		uint16 column = target->keys[k];

		key[k] = values[column];
		/* a large value of a key that stays the same */
		if (key[k].kind == wire::ValueKind::unchanged && old != nullptr)
			key[k] = old[column];
		if (key[k].kind == wire::ValueKind::unchanged)
			return false;
	}
	it->rows[it->count++] = target::WriteRow{nullptr, key};
	if (it->count == kRowsATime)
		add_collected(it);
	return true;
}

bool
take_entry(Collection *it, const state::SpoolEntry &entry)
{
	wire::Message message;

	if (wire::decode(entry.message, false, &message) != wire::DecodeStatus::ok)
		elog(ERROR, "spool segment has a message that cannot be read");
	if (message.kind == wire::MessageKind::relation)
		return take_relation(it, message.relation, entry.message);
	if (message.kind != wire::MessageKind::insert && message.kind != wire::MessageKind::update)
		return true;
	return it->target != nullptr && take_new_row(it, message.change);
}

/* False: the keys cannot be told from the spool. */
bool
collect_keys(Collection *it)
{
	MemoryContext memory =
		AllocSetContextCreate(CurrentMemoryContext, "livesync keys", ALLOCSET_DEFAULT_SIZES);
	const state::SyncedTable *table = it->table;
	state::SpoolSegment *segment;
	bool is_known = true;

	for (int64 taken = 0; is_known; taken = segment->number)
	{
		MemoryContextReset(memory);
		MemoryContext old = MemoryContextSwitchTo(memory);

		segment = state::read_segment(table->id, table->generation, taken);
		if (segment == nullptr)
		{
			MemoryContextSwitchTo(old);
			break;
		}
		std::string_view rest(VARDATA_ANY(segment->body), VARSIZE_ANY_EXHDR(segment->body));
		state::SpoolEntry entry;

		while (is_known && state::next_entry(&rest, &entry))
			is_known = take_entry(it, entry);
		if (it->count > 0)
			add_collected(it);
		MemoryContextSwitchTo(old);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextDelete(memory);
	return is_known;
}

void
remove_step(void *argument)
{
	Collection *it = (Collection *) argument;

	it->relations = make_routes(CurrentMemoryContext);
	if (collect_keys(it) && it->keys.count > 0)
		(void) target::remove_repeated_keys(&it->keys);
}

} // namespace

bool
may_have_repeated_rows(const state::SyncedTable *table)
{
	return table->mode == state::CopyMode::keyed && table->chunks_total > 1 &&
		   table->hypertable_column == nullptr;
}

bool
has_spooled_load(const state::SyncedTable *table)
{
	state::LoadSummary load = state::summarize_load(table->id, table->generation);

	/* read before the spool is: what is applied has its spool committed */
	return my_entry()->applied >= load.read_lsn || load.ended_ms > kLongestWaitMs;
}

void
remove_repeated_rows(const state::SyncedTable *table)
{
	int64 spooled = state::count_spooled(table->id, table->generation);

	/* with most keys changed it is better to look at the table alone, if need be */
	if (spooled == 0 || spooled > state::summarize_load(table->id, table->generation).rows)
		return;

	Collection *it = (Collection *) palloc0(sizeof(Collection));

	it->table = table;
	ErrorData *error = base::run_limited(remove_step, it, kLockMs);

	if (error != nullptr)
		ereport(LOG, (errmsg("could not look for rows of table \"%s\" that were copied twice: %s",
							 state::source_table_name(table), error->message)));
}

} // namespace worker
