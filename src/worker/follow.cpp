/*
 * worker/follow.cpp
 *
 * See follow.hpp.
 */
#include "worker/follow.hpp"

#include "base/compat.hpp"
#include "base/names.hpp"
#include "source/result.hpp"
#include "source/snapshot.hpp"
#include "state/event.hpp"
#include "state/shape.hpp"
#include "target/relation.hpp"
#include "target/schema_change.hpp"
#include "worker/key_versions.hpp"

namespace worker
{
namespace
{

struct Follow
{
	const FollowContext *context;
	const state::SyncedTable *table;
	state::Shape before;
	state::Shape now;
	bool is_past; /* `now` may be older than `before` */
	bool is_read;
	source::SourceColumns source; /* the catalog of the present; after read_source() */
	bool must_copy;
	StringInfoData statements; /* of a policy to stop */
};

target::FoundColumn
find_in_target(const Follow *it, const char *column)
{
	return target::find_column(it->table->target_schema, it->table->target_name, column);
}

const source::SourceColumn *
find_in_source(Follow *it, const char *column)
{
	if (!it->is_read)
		it->source = source::read_columns(it->context->control, it->table->source_oid);
	it->is_read = true;
	for (int i = 0; i < it->source.count; i++)
		if (strcmp(it->source.columns[i].name, column) == 0)
			return &it->source.columns[i];
	return nullptr;
}

/* Run it, or keep it for the hint. */
void
change_target(Follow *it, const char *event, const char *sql)
{
	if (!it->before.is_followed)
	{
		appendStringInfo(&it->statements, "%s%s", it->statements.len > 0 ? "; " : "", sql);
		return;
	}
	target::alter_table(it->table->target_schema, it->table->target_name, sql);
	state::record_event(it->context->connector, state::source_table_name(it->table), event, sql);
}

/* A column that is new and could be the one that is gone, under another name. */
const char *
find_new_name(const Follow *it, const state::ShapeColumn &gone)
{
	for (int i = 0; i < it->now.count; i++)
	{
		const state::ShapeColumn &column = it->now.columns[i];

		if (column.type == gone.type && state::find_column(it->before, column.name) == nullptr &&
			!find_in_target(it, column.name).exists)
			return column.name;
	}
	return nullptr;
}

/* It is there now: it is not published any more, or was dropped and added again. */
bool
is_back(Follow *it, const char *column)
{
	const source::SourceColumn *found = find_in_source(it, column);

	return found != nullptr && found->generated == '\0';
}

/*
 * Whether its values are to go, to stay under another name, or are those of a column that has another name now, only people
 * can tell.
 */
void
check_gone(Follow *it, const state::ShapeColumn &gone)
{
	const char *schema = it->table->target_schema;
	const char *name = it->table->target_name;

	if (!find_in_target(it, gone.name).exists)
		return;
	if (is_back(it, gone.name))
	{
		it->must_copy = true;
		return;
	}

	const char *new_name = find_new_name(it, gone);
	char *drop = target::drop_column_sql(schema, name, gone.name);

	if (new_name != nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("source table \"%s\" has column \"%s\" no more, but a new column \"%s\"",
						state::source_table_name(it->table), gone.name, new_name),
				 errhint("If it was renamed, run: %s; otherwise run: %s; the table goes on by "
						 "itself, or at once after livesync.retry_table().",
						 target::rename_column_sql(schema, name, gone.name, new_name), drop)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("source table \"%s\" has column \"%s\" no more",
					state::source_table_name(it->table), gone.name),
			 errhint("Run: %s; or rename it to keep its values. The table goes on by itself, or at "
					 "once after livesync.retry_table().",
					 drop)));
}

/* Rows at the source were written anew, in whatever way, since the columns were as before. */
bool
is_rewritten(const Follow *it)
{
	char *storage = source::read_storage(it->context->control, it->table->source_oid);

	return it->before.storage != nullptr && storage != nullptr &&
		   strcmp(it->before.storage, storage) != 0;
}

/* Is there a column that this description does not know? Then one that is missing may have another name now. */
bool
has_unknown_column(const Follow *it)
{
	for (int i = 0; i < it->source.count; i++)
		if (it->source.columns[i].generated == '\0' &&
			state::find_column(it->now, it->source.columns[i].name) == nullptr)
			return true;
	return false;
}

/* It is gone by now: a later description will say so, until then any value may come. */
void
add_past_column(Follow *it, const state::ShapeColumn &column)
{
	target::NewColumn added{};

	if (has_unknown_column(it))
		it->must_copy = true;
	added.name = column.name;
	added.type = source::read_type_name(it->context->control, column.type, column.modifier);
	if (added.type == nullptr)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("the type of column \"%s\" of source table \"%s\" exists no more",
							   column.name, state::source_table_name(it->table)),
						errhint("Add the column with ALTER TABLE, then call "
								"livesync.retry_table().")));
	change_target(
		it, "column_added",
		target::add_column_sql(it->table->target_schema, it->table->target_name, added, nullptr));
}

void
add_column(Follow *it, const state::ShapeColumn &column)
{
	const source::SourceColumn *from = find_in_source(it, column.name);

	if (from == nullptr)
	{
		add_past_column(it, column);
		return;
	}

	source::AddedValue value =
		source::read_added_value(it->context->control, it->table->source_oid, column.name);
	bool is_empty = target::is_empty(it->table->target_schema, it->table->target_name);

	if (!value.is_known || from->generated != '\0' || is_rewritten(it))
		it->must_copy = true;

	/* NOT NULL and identity concern the rows that are there, too */
	target::NewColumn added{from->name,
							from->type,
							from->collation,
							from->not_null && (is_empty || value.text != nullptr),
							is_empty ? from->identity : '\0',
							from->constant_default};

	change_target(it, "column_added",
				  target::add_column_sql(it->table->target_schema, it->table->target_name, added,
										 value.text));
}

void
follow_type(Follow *it, const state::ShapeColumn &before, const state::ShapeColumn &now)
{
	target::FoundColumn found = find_in_target(it, now.name);

	if (found.exists && found.type == before.type && found.modifier == before.modifier &&
		target::is_wider(before.type, before.modifier, now.type, now.modifier))
		change_target(it, "column_widened",
					  target::widen_column_sql(it->table->target_schema, it->table->target_name,
											   now.name, now.type, now.modifier));
}

bool
is_same(const state::Shape &a, const state::Shape &b)
{
	if (a.count != b.count)
		return false;
	for (int i = 0; i < a.count; i++)
		if (strcmp(a.columns[i].name, b.columns[i].name) != 0 ||
			a.columns[i].type != b.columns[i].type ||
			a.columns[i].modifier != b.columns[i].modifier)
			return false;
	return true;
}

void
follow(Follow *it)
{
	initStringInfo(&it->statements);
	for (int i = 0; i < it->before.count && !it->is_past; i++)
		if (state::find_column(it->now, it->before.columns[i].name) == nullptr)
			check_gone(it, it->before.columns[i]);
	for (int i = 0; i < it->now.count; i++)
	{
		const state::ShapeColumn &column = it->now.columns[i];
		const state::ShapeColumn *before = state::find_column(it->before, column.name);

		if (before != nullptr && !it->is_past)
			follow_type(it, *before, column);
		else if (before == nullptr && !find_in_target(it, column.name).exists)
			add_column(it, column);
	}
	if (it->statements.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the columns of source table \"%s\" were changed",
						state::source_table_name(it->table)),
				 errhint("Run: %s; the table goes on by itself, or at once after "
						 "livesync.retry_table(). livesync.alter_connector() with schema_changes "
						 "=> 'follow' lets it be done by itself.",
						 it->statements.data)));
}

/* Columns that only a description of the past has are kept: they must be seen to go. */
state::Shape
join_shapes(const state::Shape &before, const state::Shape &past)
{
	state::Shape all = before;

	all.columns =
		(state::ShapeColumn *) palloc(sizeof(state::ShapeColumn) * (before.count + past.count + 1));
	memcpy(all.columns, before.columns, sizeof(state::ShapeColumn) * before.count);
	for (int i = 0; i < past.count; i++)
		if (state::find_column(before, past.columns[i].name) == nullptr)
			all.columns[all.count++] = past.columns[i];
	return all;
}

} // namespace

namespace
{

constexpr int kVisibleTries = 20;
constexpr long kVisibleMs = 5;

/*
 * A commit is sent as soon as it is flushed, and a moment before others see it; with synchronous
 * replication long before, perhaps because it waits for us.  Until then the catalog is of no use.
 */
bool
is_visible_at_source(source::Connection *control, uint32 xid)
{
	for (int i = 0; i < kVisibleTries; i++)
	{
		PGresult *result = source::query(control, "SELECT pg_current_snapshot()");
		source::Snapshot snapshot;

		if (!source::parse_snapshot_header(source::get_text(result, 0, 0), &snapshot))
			ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
							errmsg("the source sent a snapshot that cannot be read")));
		if (source::is_visible(xid, snapshot))
			return true;
		(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kVisibleMs, base::wait_event());
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

/*
 * With REPLICA IDENTITY FULL the rows are found by the source's primary key, as the last look at the source saw it.  When it is
 * dropped, the stream describes the table anew without a word of that.  Taken for the key still, its columns would make one
 * row of several.
 */
bool
has_lost_key(const FollowContext &context, const StreamRelation *relation, uint32 xid)
{
	const state::SyncedTable *table = context.table;
	int count = 0;

	if (relation->replica_identity != 'f' || table->nkey_columns == 0)
		return false;
	/* a commit that waits for a synchronous standby may never become visible before it is confirmed */
	(void) is_visible_at_source(context.control, xid);

	char **key = source::read_key_columns(context.control, table->source_oid, &count);

	return !base::are_same_names(count, key, table->nkey_columns, table->key_columns);
}

} // namespace

FollowResult
follow_stream(const FollowContext &context, const StreamRelation *relation, uint32 xid,
			  wire::Lsn lsn)
{
	Follow it{};

	/* the next look records it */
	if (has_lost_key(context, relation, xid))
		return FollowResult::again_later;
	if (relation->replica_identity == 'f')
		note_full(context.table->id);
	it.context = &context;
	it.table = context.table;
	it.before = state::load_shape(it.table->id);
	it.now.count = relation->ncolumns;
	it.now.columns =
		(state::ShapeColumn *) palloc(sizeof(state::ShapeColumn) * (relation->ncolumns + 1));
	for (int i = 0; i < relation->ncolumns; i++)
		it.now.columns[i] =
			state::ShapeColumn{relation->columns[i], relation->types[i], relation->modifiers[i]};
	if (is_same(it.before, it.now))
		return FollowResult::done;
	if (it.before.is_known && !is_visible_at_source(context.control, xid))
		return FollowResult::again_later;
	it.is_past = lsn < it.before.lsn;
	if (it.before.is_known)
		follow(&it);
	if (it.must_copy && it.table->copy_data)
		return FollowResult::copy_again;

	state::Shape shape = it.is_past ? join_shapes(it.before, it.now) : it.now;

	state::record_shape(it.table->id, shape.count, shape.columns, Max(lsn, it.before.lsn), nullptr);
	return FollowResult::done;
}

void
follow_catalog(const FollowContext &context, const source::SourceColumns &columns)
{
	Follow it{};
	const state::SyncedTable *table = context.table;

	it.context = &context;
	it.table = table;
	it.before = state::load_shape(table->id);
	it.source = columns;
	it.is_read = true;
	it.now.columns =
		(state::ShapeColumn *) palloc(sizeof(state::ShapeColumn) * (table->ncolumns + 1));
	for (int i = 0; i < table->ncolumns; i++)
	{
		const source::SourceColumn *column = find_in_source(&it, table->columns[i]);

		/* one that is not there any more: the first chunk will find that, and the copy begins again */
		if (column != nullptr)
			it.now.columns[it.now.count++] =
				state::ShapeColumn{column->name, column->type_oid, column->type_modifier};
	}

	/* files after columns, position last: what comes in between is seen once more, not missed */
	char *storage = source::read_storage(context.control, table->source_oid);
	wire::Lsn lsn = source::read_positions(context.control).insert;

	if (it.before.is_known)
		follow(&it);
	state::record_shape(table->id, it.now.count, it.now.columns, lsn, storage);
}

void
copy_again(const char *connector, int64 table_id)
{
	state::SyncedTable *table = state::load_table(table_id, state::RowLock::update);

	if (table == nullptr || (table->state != state::TableState::streaming &&
							 table->state != state::TableState::catching_up))
		return;
	state::restart_copy(table_id, true);
	state::record_event(connector, state::source_table_name(table), "table_restarted",
						"The source wrote the rows that were there anew, or had no key for "
						"them for a while; it is copied again.");
}

} // namespace worker
