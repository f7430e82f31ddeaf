/*
 * state/synced_table.cpp
 *
 * See synced_table.hpp.
 */
#include "state/synced_table.hpp"

#include "state/stats.hpp"

#include <string_view>

using namespace base;

namespace state
{
namespace
{

#define TABLE_COLUMNS                                                                              \
	"SELECT id, connector_id, source_schema, source_name, source_oid, target_schema, "             \
	"target_name, state, phase, mode, copy_data, generation, fingerprint, columns, key_columns, "  \
	"row_filter, replica_identity, empty_at_start, load_upserts, exported, snapshot, admit_lsn, "  \
	"end_lsn, bytes_expected, chunks_total, binary_types::text[], "                                \
	"coalesce(paused_from, failed_from, state), "                                                  \
	"(SELECT w.wanted FROM livesync.wish w WHERE w.table_id = synced_table.id), last_error, "      \
	"parked_lsn, hypertable_column, chunk_interval::text, storage, coalesce(shadow_of, 0), "       \
	"coalesce(parked_segment, 0), pg_catalog.md5(partitions), streams_since FROM livesync.synced_table "

struct StateWord
{
	TableState state;
	const char *word;
};

constexpr StateWord kStateWords[] = {
	{TableState::queued, "queued"},			  {TableState::copying, "copying"},
	{TableState::catching_up, "catching_up"}, {TableState::streaming, "streaming"},
	{TableState::paused, "paused"},			  {TableState::failed, "failed"},
};

struct PhaseWord
{
	Phase phase;
	const char *word;
};

constexpr PhaseWord kPhaseWords[] = {
	{Phase::none, ""},			 {Phase::publish_gate, "publish_gate"},
	{Phase::confirm, "confirm"}, {Phase::gate, "gate"},
	{Phase::load, "load"},		 {Phase::exchange, "exchange"},
};

struct WishWord
{
	Wish wish;
	const char *word;
};

constexpr WishWord kWishWords[] = {
	{Wish::pause, "pause"},
	{Wish::skip, "skip"},
};

TableState
state_of(std::string_view word)
{
	for (const StateWord &it : kStateWords)
		if (word == it.word)
			return it.state;
	elog(ERROR, "unknown state of a synced table");
}

Phase
phase_of(std::string_view word)
{
	for (const PhaseWord &it : kPhaseWords)
		if (word == it.word)
			return it.phase;
	elog(ERROR, "unknown phase of a synced table");
}

const char *
phase_name(Phase phase)
{
	for (const PhaseWord &it : kPhaseWords)
		if (phase == it.phase)
			return it.word;
	elog(ERROR, "unknown phase of a synced table");
}

Wish
wish_of(const char *word)
{
	for (const WishWord &it : kWishWords)
		if (word != nullptr && strcmp(word, it.word) == 0)
			return it.wish;
	return Wish::none;
}

const char *
wish_name(Wish wish)
{
	for (const WishWord &it : kWishWords)
		if (wish == it.wish)
			return it.word;
	elog(ERROR, "unknown wish for a synced table");
}

SyncedTable *
read_row(const SqlScope &scope, uint64 row)
{
	SyncedTable *it = (SyncedTable *) MemoryContextAllocZero(scope.caller, sizeof(SyncedTable));
	int ntypes;

	it->id = get_bigint(row, 1);
	it->connector_id = get_int(row, 2);
	it->source_schema = get_text(scope, row, 3);
	it->source_name = get_text(scope, row, 4);
	it->source_oid = get_oid(row, 5);
	it->target_schema = get_text(scope, row, 6);
	it->target_name = get_text(scope, row, 7);
	it->state = state_of(get_text(scope, row, 8));
	it->phase = phase_of(get_text(scope, row, 9));
	it->mode = std::string_view(get_text(scope, row, 10)) == "keyed" ? CopyMode::keyed
																	 : CopyMode::snapshot;
	it->copy_data = get_bool(row, 11);
	it->generation = get_int(row, 12);
	it->fingerprint = get_text(scope, row, 13);
	it->columns = get_text_array(scope, row, 14, &it->ncolumns);
	it->key_columns = get_text_array(scope, row, 15, &it->nkey_columns);
	it->row_filter = get_text(scope, row, 16);
	it->replica_identity = get_char(row, 17);
	it->empty_at_start = get_bool(row, 18);
	it->load_upserts = get_bool(row, 19);
	it->exported = get_text(scope, row, 20);
	it->snapshot = get_text(scope, row, 21);
	it->admit_lsn = get_lsn(row, 22);
	it->end_lsn = get_lsn(row, 23);
	it->bytes_expected = get_bigint(row, 24);
	it->chunks_total = get_int(row, 25);
	it->binary_types =
		(Oid *) MemoryContextAllocZero(scope.caller, sizeof(Oid) * (it->ncolumns + 1));

	char **types = get_text_array(scope, row, 26, &ntypes);

	for (int i = 0; i < Min(ntypes, it->ncolumns); i++)
		it->binary_types[i] = atooid(types[i]);
	it->came_from = state_of(get_text(scope, row, 27));
	it->wish = wish_of(get_text(scope, row, 28));
	it->last_error = get_text(scope, row, 29);
	it->parked_lsn = get_lsn(row, 30);
	it->hypertable_column = get_text(scope, row, 31);
	it->chunk_interval = get_text(scope, row, 32);
	it->storage = get_text(scope, row, 33);
	it->shadow_of = get_bigint(row, 34);
	it->parked_segment = get_bigint(row, 35);
	it->partitions = get_text(scope, row, 36);
	it->streams_since = get_timestamp(row, 37);
	return it;
}

const char *
mode_name(const Publication &publication)
{
	return publication.keyed ? "keyed" : "snapshot";
}

} // namespace

const char *
state_name(TableState state)
{
	for (const StateWord &it : kStateWords)
		if (state == it.state)
			return it.word;
	elog(ERROR, "unknown state of a synced table");
}

char *
source_table_name(const SyncedTable *table)
{
	return psprintf("%s.%s", table->source_schema, table->source_name);
}

namespace
{

char *
copy_text(const char *text_form)
{
	return text_form ? pstrdup(text_form) : nullptr;
}

char **
copy_texts(int count, char **texts)
{
	char **copy = (char **) palloc(sizeof(char *) * (count + 1));

	for (int i = 0; i < count; i++)
		copy[i] = copy_text(texts[i]);
	return copy;
}

} // namespace

SyncedTable *
copy_table(const SyncedTable *table)
{
	SyncedTable *it = (SyncedTable *) palloc(sizeof(SyncedTable));

	*it = *table;
	it->source_schema = copy_text(table->source_schema);
	it->source_name = copy_text(table->source_name);
	it->target_schema = copy_text(table->target_schema);
	it->target_name = copy_text(table->target_name);
	it->fingerprint = copy_text(table->fingerprint);
	it->columns = copy_texts(table->ncolumns, table->columns);
	it->key_columns = copy_texts(table->nkey_columns, table->key_columns);
	it->row_filter = copy_text(table->row_filter);
	it->binary_types = (Oid *) palloc0(sizeof(Oid) * (table->ncolumns + 1));
	memcpy(it->binary_types, table->binary_types, sizeof(Oid) * table->ncolumns);
	it->exported = copy_text(table->exported);
	it->snapshot = copy_text(table->snapshot);
	it->last_error = copy_text(table->last_error);
	it->hypertable_column = copy_text(table->hypertable_column);
	it->chunk_interval = copy_text(table->chunk_interval);
	it->storage = copy_text(table->storage);
	it->partitions = copy_text(table->partitions);
	return it;
}

namespace
{

SyncedTables
read_tables(const char *sql, int connector_id)
{
	SqlScope scope = begin_sql();
	int count = (int) run_sql(sql, {int_value(connector_id)});
	SyncedTables it{count, (SyncedTable **) MemoryContextAlloc(scope.caller, sizeof(SyncedTable *) *
																				 (count + 1))};

	for (int i = 0; i < count; i++)
		it.tables[i] = read_row(scope, i);
	end_sql();
	return it;
}

} // namespace

SyncedTables
load_tables(int connector_id)
{
	return read_tables(TABLE_COLUMNS "WHERE connector_id = $1 AND NOT released "
									 "ORDER BY bytes_expected DESC, source_schema, source_name",
					   connector_id);
}

SyncedTables
load_tables_in_gate(int connector_id)
{
	return read_tables(
		TABLE_COLUMNS
		"WHERE connector_id = $1 AND NOT released AND phase IN ('publish_gate', 'gate') "
		"AND state IN ('queued', 'copying') "
		"ORDER BY bytes_expected DESC, source_schema, source_name",
		connector_id);
}

SyncedTable *
load_table(int64 id, RowLock lock)
{
	const char *sql = nullptr;

	switch (lock)
	{
		case RowLock::none:
			sql = TABLE_COLUMNS "WHERE id = $1";
			break;
		case RowLock::share:
			sql = TABLE_COLUMNS "WHERE id = $1 FOR SHARE";
			break;
		case RowLock::update:
			sql = TABLE_COLUMNS "WHERE id = $1 FOR NO KEY UPDATE";
			break;
		case RowLock::try_share:
			sql = TABLE_COLUMNS "WHERE id = $1 FOR SHARE SKIP LOCKED";
			break;
		case RowLock::try_update:
			sql = TABLE_COLUMNS "WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED";
			break;
	}

	SqlScope scope = begin_sql();
	SyncedTable *table = run_sql(sql, {bigint_value(id)}) == 1 ? read_row(scope, 0) : nullptr;

	end_sql();
	return table;
}

namespace
{

int64
find_table(int connector_id, const char *schema, const char *name)
{
	return read_number("SELECT id FROM livesync.synced_table WHERE connector_id = $1 "
					   "AND source_schema = $2 AND source_name = $3 AND shadow_of IS NULL",
					   {int_value(connector_id), text_value(schema), text_value(name)});
}

} // namespace

void
add_table(int connector_id, const Publication &publication, const char *target_schema,
		  const char *target_name, bool copy_data, Phase phase)
{
	/* one that comes back is copied again, from an empty target: what it missed is not known */
	if (run_alone(
			"UPDATE livesync.synced_table SET released = false, state = 'queued', phase = $4, "
			"updated_at = pg_catalog.clock_timestamp() WHERE connector_id = $1 "
			"AND source_schema = $2 AND source_name = $3 AND released",
			{int_value(connector_id), text_value(publication.schema), text_value(publication.name),
			 text_value(phase_name(phase))}) > 0)
	{
		record_publication(find_table(connector_id, publication.schema, publication.name),
						   publication, false);
		return;
	}
	run_alone(
		"WITH t AS (INSERT INTO livesync.synced_table (connector_id, source_schema, "
		"source_name, source_oid, target_schema, target_name, copy_data, phase, fingerprint, "
		"columns, key_columns, row_filter, replica_identity, mode, bytes_expected, "
		"rows_expected) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, "
		"$15, $16) RETURNING id) INSERT INTO livesync.table_stats (table_id) SELECT id FROM t",
		{int_value(connector_id), text_value(publication.schema), text_value(publication.name),
		 oid_value(publication.oid), text_value(target_schema), text_value(target_name),
		 bool_value(copy_data), text_value(phase_name(phase)), text_value(publication.fingerprint),
		 text_array_value(publication.ncolumns, publication.columns),
		 text_array_value(publication.nkey_columns, publication.key_columns),
		 text_value(publication.row_filter), char_value(publication.replica_identity),
		 text_value(mode_name(publication)), bigint_value(publication.bytes),
		 bigint_value(publication.rows)});
}

void
record_hypertable(int connector_id, const char *schema, const char *name, const char *column,
				  const char *chunk_interval)
{
	run_alone("UPDATE livesync.synced_table SET hypertable_column = $4, "
			  "chunk_interval = $5::pg_catalog.interval WHERE connector_id = $1 "
			  "AND source_schema = $2 AND source_name = $3",
			  {int_value(connector_id), text_value(schema), text_value(name), text_value(column),
			   text_value(chunk_interval)});
}

void
release_table(int64 id)
{
	run_alone("DELETE FROM livesync.spool WHERE table_id = $1", {bigint_value(id)});
	run_alone("DELETE FROM livesync.chunk WHERE table_id = $1", {bigint_value(id)});
	run_alone("DELETE FROM livesync.aside WHERE table_id = $1", {bigint_value(id)});
	run_alone("UPDATE livesync.synced_table SET released = true, state = 'paused', phase = '', "
			  "parked_lsn = NULL, failed_from = NULL, paused_from = NULL WHERE id = $1",
			  {bigint_value(id)});
	(void) cancel_wish(id, Wish::pause);
	(void) cancel_wish(id, Wish::skip);
}

void
record_publication(int64 id, const Publication &publication, bool restart)
{
	run_alone("UPDATE livesync.synced_table SET shape_columns = CASE source_oid WHEN $2 THEN "
			  "shape_columns END, source_oid = $2, fingerprint = $3, columns = $4, "
			  "key_columns = $5, row_filter = $6, replica_identity = $7, mode = $8, "
			  "bytes_expected = $9, rows_expected = $10 WHERE id = $1",
			  {bigint_value(id), oid_value(publication.oid), text_value(publication.fingerprint),
			   text_array_value(publication.ncolumns, publication.columns),
			   text_array_value(publication.nkey_columns, publication.key_columns),
			   text_value(publication.row_filter), char_value(publication.replica_identity),
			   text_value(mode_name(publication)), bigint_value(publication.bytes),
			   bigint_value(publication.rows)});
	if (restart)
		run_alone("UPDATE livesync.synced_table SET state = 'queued', phase = 'publish_gate', "
				  "failed_from = NULL, paused_from = NULL, last_error = NULL, hint = NULL, "
				  "error_lsn = NULL, updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
				  {bigint_value(id)});
}

void
start_copying(int64 id, bool target_is_empty)
{
	run_alone("DELETE FROM livesync.spool WHERE table_id = $1", {bigint_value(id)});
	run_alone("DELETE FROM livesync.chunk WHERE table_id = $1", {bigint_value(id)});
	run_alone("DELETE FROM livesync.aside WHERE table_id = $1", {bigint_value(id)});
	(void) cancel_wish(id, Wish::skip);
	run_alone(
		"UPDATE livesync.synced_table SET state = 'copying', phase = 'gate', "
		"generation = generation + 1, empty_at_start = $2, load_upserts = NOT $2, "
		"chunks_total = 0, exported = NULL, snapshot = NULL, end_lsn = NULL, parked_lsn = NULL, "
		"failed_from = NULL, paused_from = NULL, "
		"updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
		{bigint_value(id), bool_value(target_is_empty)});
}

void
record_admit_lsn(int64 id, XLogRecPtr lsn)
{
	run_alone("UPDATE livesync.synced_table SET phase = 'confirm', admit_lsn = $2, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id), lsn_value(lsn)});
}

void
record_plan(const SyncedTable *table, int chunks, const Oid *binary_types, const char *exported,
			const char *snapshot)
{
	char **types = (char **) palloc(sizeof(char *) * (table->ncolumns + 1));

	for (int i = 0; i < table->ncolumns; i++)
		types[i] = psprintf("%u", binary_types[i]);
	run_alone("UPDATE livesync.synced_table SET phase = 'load', chunks_total = $2, "
			  "binary_types = $3::pg_catalog.oid[], exported = $4, snapshot = $5, "
			  "last_error = NULL, hint = NULL, error_lsn = NULL, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(table->id), int_value(chunks), text_array_value(table->ncolumns, types),
			   text_value(exported), text_value(snapshot)});
}

bool
copy_as_text(int64 id)
{
	return run_alone("UPDATE livesync.synced_table SET binary_types = '{}', "
					 "updated_at = pg_catalog.clock_timestamp() "
					 "WHERE id = $1 AND binary_types <> '{}'",
					 {bigint_value(id)}) > 0;
}

void
finish_load(int64 id, XLogRecPtr end_lsn)
{
	run_alone(
		"UPDATE livesync.synced_table SET parked_lsn = CASE state WHEN 'streaming' THEN $2 END, "
		"state = 'catching_up', phase = '', end_lsn = $2, analyze_wanted = true, "
		"exported = NULL, updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
		{bigint_value(id), lsn_value(end_lsn)});
}

void
move_end_lsn(int64 id, XLogRecPtr end_lsn)
{
	run_alone("UPDATE livesync.synced_table SET end_lsn = greatest(end_lsn, $2) WHERE id = $1",
			  {bigint_value(id), lsn_value(end_lsn)});
}

void
set_streaming(int64 id)
{
	run_alone("UPDATE livesync.synced_table SET state = 'streaming', phase = '', snapshot = NULL, "
			  "parked_lsn = NULL, "
			  "streams_since = coalesce(streams_since, pg_catalog.clock_timestamp()), "
			  "last_error = NULL, hint = NULL, error_lsn = NULL, failed_from = NULL, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id)});
}

void
set_failed(int64 id, const char *error, const char *hint, XLogRecPtr lsn)
{
	run_alone("UPDATE livesync.synced_table SET failed_from = CASE state WHEN 'failed' THEN "
			  "failed_from ELSE state END, parked_lsn = CASE state WHEN 'streaming' THEN $4 + 1 "
			  "ELSE parked_lsn END, state = 'failed', last_error = $2, hint = $3, error_lsn = $4, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id), text_value(error), text_value(hint), lsn_value(lsn)});
	count_error(id);
}

bool
leave_failed(int64 id)
{
	/* what was wrong stays to be read until it is known to be mended */
	return run_alone(
			   "UPDATE livesync.synced_table SET state = CASE failed_from "
			   "WHEN 'streaming' THEN 'catching_up' ELSE failed_from END, "
			   "end_lsn = CASE failed_from WHEN 'streaming' THEN parked_lsn ELSE end_lsn END, "
			   "failed_from = NULL, "
			   "updated_at = pg_catalog.clock_timestamp() WHERE id = $1 AND state = 'failed'",
			   {bigint_value(id)}) == 1;
}

bool
make_wish(int64 id, Wish wish)
{
	return run_alone("INSERT INTO livesync.wish (table_id, wanted) VALUES ($1, $2) "
					 "ON CONFLICT DO NOTHING",
					 {bigint_value(id), text_value(wish_name(wish))}) == 1;
}

bool
cancel_wish(int64 id, Wish wish)
{
	return run_alone("DELETE FROM livesync.wish WHERE table_id = $1 AND wanted = $2",
					 {bigint_value(id), text_value(wish_name(wish))}) == 1;
}

bool
try_take_wish(int64 id, Wish wish)
{
	return run_alone("DELETE FROM livesync.wish WHERE table_id IN (SELECT table_id "
					 "FROM livesync.wish WHERE table_id = $1 AND wanted = $2 "
					 "FOR UPDATE SKIP LOCKED)",
					 {bigint_value(id), text_value(wish_name(wish))}) == 1;
}

bool
has_wish(int64 id)
{
	return run_alone("SELECT FROM livesync.wish WHERE table_id = $1", {bigint_value(id)}) == 1;
}

void
set_paused(int64 id, XLogRecPtr applied)
{
	run_alone("UPDATE livesync.synced_table SET paused_from = state, state = 'paused', "
			  "parked_lsn = CASE state WHEN 'streaming' THEN $2 ELSE parked_lsn END, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id), lsn_value(applied)});
}

bool
leave_paused(int64 id)
{
	return run_alone("UPDATE livesync.synced_table SET state = CASE paused_from "
					 "WHEN 'streaming' THEN 'catching_up' ELSE paused_from END, "
					 "end_lsn = CASE paused_from WHEN 'streaming' THEN NULL ELSE end_lsn END, "
					 "paused_from = NULL, "
					 "updated_at = pg_catalog.clock_timestamp() WHERE id = $1 AND state = 'paused'",
					 {bigint_value(id)}) == 1;
}

void
restart_copy(int64 id, bool empty_target)
{
	/* one that is paused stays so, and begins when it is resumed */
	run_alone("UPDATE livesync.synced_table SET state = CASE state WHEN 'paused' THEN state "
			  "ELSE 'queued' END, paused_from = CASE state WHEN 'paused' THEN 'queued' END, "
			  "phase = '', failed_from = NULL, "
			  "exported = NULL, snapshot = NULL, load_upserts = load_upserts AND NOT $2, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id), bool_value(empty_target)});
}

} // namespace state
