/*
 * worker/columns.cpp
 *
 * See columns.hpp.
 */
#include "worker/columns.hpp"

#include "source/column_versions.hpp"
#include "state/column_versions.hpp"
#include "state/event.hpp"
#include "target/schema_change.hpp"
#include "worker/key_versions.hpp"
#include "worker/partitions.hpp"

namespace worker
{
namespace
{

/* false: there is none of that name */
bool
find_version(const source::ColumnVersions &all, const char *name, source::ColumnVersion *found)
{
	for (int i = 1; i < all.count; i++)
	{
		*found = source::parse_column_version(all.texts[i]);
		if (strcmp(found->name, name) == 0)
			return true;
	}
	return false;
}

bool
is_of_other_type(const source::ColumnVersion &before, const source::ColumnVersion &now)
{
	return before.type != now.type || before.modifier != now.modifier;
}

/*
 * What happened to a column whose values here may be others than at the source; nullptr: nothing.  ALTER TYPE writes the entries
 * of the columns behind its own as well: behind one that was widened they say nothing.
 */
const char *
find_other_column(const source::ColumnVersions &before, const source::ColumnVersions &now)
{
	bool is_rewritten = strcmp(before.texts[0], now.texts[0]) != 0;
	uint32 widened_by = 0;

	for (int i = 1; i < before.count; i++)
	{
		source::ColumnVersion was = source::parse_column_version(before.texts[i]);
		source::ColumnVersion is;

		if (source::is_key_version(was) || !find_version(now, was.name, &is))
			continue;
		if (was.number != is.number)
			return psprintf("Column \"%s\" was dropped and added, or has the name of another one.",
							was.name);
		if (is_of_other_type(was, is) &&
			target::is_wider(was.type, was.modifier, is.type, is.modifier))
			widened_by = is.written_by;
		else if (is_rewritten && was.written_by != is.written_by && is.written_by != widened_by)
			return psprintf("Column \"%s\" was written anew in all rows.", was.name);
	}
	return nullptr;
}

void
look_at(ConnectorWorker *worker, int64 id)
{
	state::SyncedTable *table = state::load_table(id, state::RowLock::try_update);
	source::ColumnVersions before{};

	if (table == nullptr || table->state != state::TableState::streaming)
		return;
	before.texts = state::load_column_versions(id, &before.count);

	source::ColumnVersions now = source::read_column_versions(worker->control, table->source_oid,
															  table->ncolumns, table->columns);
	const char *why = before.texts != nullptr ? find_other_column(before, now) : nullptr;

	if (judge_key(before, &now, worker->applied, worker->control) == KeyVerdict::other &&
		why == nullptr)
		why = "The primary key was dropped and added.";
	if (why != nullptr && table->copy_data)
	{
		if (try_copy_again(worker, table))
			state::record_event(worker->config->name, state::source_table_name(table),
								"table_resync_wanted", why);
		return;
	}
	if (why != nullptr)
		state::record_event(
			worker->config->name, state::source_table_name(table), "column_not_copied",
			psprintf("%s The table is synced without copying, so rows that were there may have "
					 "other values here. livesync.resync_table() copies all.",
					 why));
	state::record_column_versions(id, now.count, now.texts, now.look);
}

} // namespace

void
follow_columns(ConnectorWorker *worker, const source::PublishedTables &published)
{
	char **oids = (char **) palloc(sizeof(char *) * (published.count + 1));
	char **looks = (char **) palloc(sizeof(char *) * (published.count + 1));

	for (int i = 0; i < published.count; i++)
	{
		oids[i] = psprintf("%u", published.tables[i].oid);
		looks[i] = published.tables[i].column_look;
	}
	state::TableIds changed =
		state::find_changed_columns(worker->config->id, published.count, oids, looks);

	for (int i = 0; i < changed.count; i++)
		look_at(worker, changed.ids[i]);
}

} // namespace worker
