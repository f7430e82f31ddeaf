/*
 * state/synced_table.cpp
 *
 * Reading synced tables.  See synced_table.hpp; what is written is in listed_table.cpp and table_states.cpp.
 */
#include "state/synced_table.hpp"

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
	it->wish = wish_of_word(get_text(scope, row, 28));
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

} // namespace

const char *
state_name(TableState state)
{
	for (const StateWord &it : kStateWords)
		if (state == it.state)
			return it.word;
	elog(ERROR, "unknown state of a synced table");
}

const char *
phase_name(Phase phase)
{
	for (const PhaseWord &it : kPhaseWords)
		if (phase == it.phase)
			return it.word;
	elog(ERROR, "unknown phase of a synced table");
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

} // namespace state
