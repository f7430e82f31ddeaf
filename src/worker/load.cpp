/*
 * worker/load.cpp
 *
 * One chunk: from the source's COPY into the target's, with its ledger entry in the same transaction.
 * See copier.hpp.
 *
 * The local transaction holds the table's row FOR SHARE with the generation checked, so nobody can
 * start the table over, or let it stream, while rows of an older look are under way.  It commits only when the source has
 * flushed what the chunk saw: a crash of a source with asynchronous commits must not leave rows here that never were.
 *
 * Surprising: a row can come twice, when an update moved it between two chunks.  The second chunk then meets the key's index and
 * is read again, row by row, as upserts; which version wins does not matter, the spool has the last word.  Some hypertables
 * are always written by statements, see TargetRelation::needs_inserts.
 */
#include "worker/copier.hpp"

#include "base/failpoint.hpp"
#include "base/settings.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "target/apply.hpp"
#include "target/copy_in.hpp"
#include "target/hypertable.hpp"
#include "wire/copy_text.hpp"
#include "worker/drain.hpp"
#include "worker/failure.hpp"
#include "worker/pace.hpp"
#include "worker/registry.hpp"
#include "worker/routes.hpp"

namespace worker
{
namespace
{

constexpr size_t kUpsertRows = 5000;
constexpr size_t kUpsertBytes = 4 * 1024 * 1024;

struct Load
{
	Copier *copier;
	const state::Chunk *chunk;
	const state::SyncedTable *table;
	target::TargetRelation *target;
	target::CopyResult result;
	source::ChunkCheck check;
	bool as_upserts;
	bool as_statements; /* no COPY here: its rows are written as sets */
	bool as_binary;		/* never with as_statements, which reads the text form */
	Pace pace;
	bool is_paced; /* and the views say so */
};

source::ChunkRequest
make_request(const Load *load)
{
	const state::SyncedTable *table = load->table;
	const state::Connector *config = load->copier->config;
	source::ChunkRequest it{};

	it.table = table->source_oid;
	it.schema = table->source_schema;
	it.name = table->source_name;
	it.leaf = load->chunk->leaf_oid;
	it.leaf_schema = load->chunk->leaf_schema;
	it.leaf_name = load->chunk->leaf_name;
	it.leaf_filenode = load->chunk->leaf_filenode;
	it.first_block = load->chunk->first_block;
	it.end_block = load->chunk->end_block;
	it.fingerprint = table->fingerprint;
	it.npublications = config->npublications;
	it.publications = config->publications;
	it.ncolumns = table->ncolumns;
	it.columns = table->columns;
	it.row_filter = table->row_filter;
	it.binary = load->as_binary;
	it.snapshot = table->exported;
	return it;
}

/* The next piece, when the limit of the copy's rate allows it.  Below C's stdio: nothing is raised here. */
int
next_piece(void *context, const char **data)
{
	Load *load = (Load *) context;
	int size = source::next_piece(load->copier->connection, data);

	if (size > 0 && pace_copy(&load->pace, (size_t) size) && !load->is_paced)
	{
		load->is_paced = true;
		set_table_wait(load->table->id, "the limit livesync.copy_rate");
	}
	return size;
}

void
release_piece(void *context)
{
	source::release_copy_data(((Load *) context)->copier->connection);
}

void
copy_rows(Load *load)
{
	const state::SyncedTable *table = load->table;
	target::CopySource from{load, next_piece, release_piece, false};
	MemoryContext context = CurrentMemoryContext;

	int settings = NewGUCNestLevel();

	if (load->target->hypertable != nullptr)
		target::set_for_hypertable();
	PG_TRY();
	{
		load->result = target::copy_in(load->target->insert_name, load->target->owner,
									   table->ncolumns, table->columns, load->as_binary, &from);
	}
	PG_CATCH();
	{
		if (from.has_failed)
		{
			MemoryContextSwitchTo(context);
			FlushErrorState();
			source::raise_chunk_error(load->copier->connection);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	AtEOXact_GUC(true, settings);
}

/* Rows waiting to be written as one set. */
struct RowBatch
{
	target::WriteRow rows[kUpsertRows];
	size_t count;
	size_t bytes;
};

void
write_batch(Load *load, RowBatch *batch, MemoryContext memory)
{
	Drain drain{};

	drain.table = load->table;
	drain.control = load->copier->connection;
	target::CatchUp catch_up = make_catch_up(&drain, drain.table->columns);
	target::Role role = target::become_owner(load->target->owner);

	if (load->as_upserts)
		target::write_over(load->target, batch->rows, batch->count, catch_up);
	else
		(void) target::write_rows(load->target, target::Statement::insert, nullptr, batch->rows,
								  batch->count);
	target::restore_role(role);
	batch->count = 0;
	batch->bytes = 0;
	MemoryContextReset(memory);
}

void
add_row(const Load *load, RowBatch *batch, std::string_view row)
{
	size_t ncolumns = (size_t) load->table->ncolumns;
	wire::Value *values = (wire::Value *) palloc(sizeof(wire::Value) * (ncolumns + 1));
	wire::Value *key = (wire::Value *) palloc(sizeof(wire::Value) * (load->target->nkeys + 1));
	char *room = (char *) MemoryContextAllocHuge(CurrentMemoryContext, row.size() + 1);

	if (!wire::parse_copy_row(row, values, ncolumns, room))
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the source sent a row of COPY data that cannot be read")));
	for (int k = 0; k < load->target->nkeys; k++)
		key[k] = values[load->target->keys[k]];
	batch->rows[batch->count++] = target::WriteRow{values, load->as_upserts ? key : nullptr};
	batch->bytes += row.size();
}

void
write_as_statements(Load *load)
{
	MemoryContext memory =
		AllocSetContextCreate(CurrentMemoryContext, "livesync upserts", ALLOCSET_DEFAULT_SIZES);
	RowBatch *batch = (RowBatch *) palloc0(sizeof(RowBatch));
	MemoryContext old = MemoryContextSwitchTo(memory);
	const char *data;
	int size;

	while ((size = next_piece(load, &data)) > 0)
	{
		add_row(load, batch, std::string_view(data, (size_t) size));
		release_piece(load);
		load->result.rows++;
		load->result.bytes += (uint64) size;
		if (batch->count == kUpsertRows || batch->bytes >= kUpsertBytes)
			write_batch(load, batch, memory);
	}
	if (size < 0)
		source::raise_chunk_error(load->copier->connection);
	write_batch(load, batch, memory);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(memory);
}

/* The target may have changed since the plan was made. */
bool
can_copy_binary(const Load *load)
{
	for (int i = 0; i < load->table->ncolumns; i++)
		if (!OidIsValid(load->table->binary_types[i]) ||
			load->table->binary_types[i] != load->target->columns[i].type ||
			!load->target->columns[i].has_receive)
			return false;
	return true;
}

void
load_rows(void *argument)
{
	Load *load = (Load *) argument;

	load->result = {};
	load->target = open_recorded_target(load->table, CurrentMemoryContext);
	load->as_statements = load->as_upserts || load->target->needs_inserts;
	load->as_binary =
		base::settings::binary_values && !load->as_statements && can_copy_binary(load);
	load->check = source::start_chunk(load->copier->connection, make_request(load));
	if (load->check != source::ChunkCheck::ready)
		return;
	base::failpoint("chunk_locked", state::source_table_name(load->table));
	if (load->as_statements)
		write_as_statements(load);
	else
		copy_rows(load);
	source::finish_chunk(load->copier->connection);
	target::close_target(load->target);
}

/* Do rows that come twice meet an index here, and may they? */
bool
can_upsert(const Load *load)
{
	return load->table->mode == state::CopyMode::keyed && load->target != nullptr;
}

ErrorData *
load_rows_once_or_twice(Load *load)
{
	ErrorData *error = base::run_in_subtransaction(load_rows, load);

	if (error == nullptr)
		return nullptr;
	source::abandon_chunk(load->copier->connection);
	if ((error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION &&
		 error->sqlerrcode != ERRCODE_EXCLUSION_VIOLATION) ||
		load->as_upserts || !can_upsert(load))
		return error;
	load->as_upserts = true;
	load->target = nullptr;
	error = base::run_in_subtransaction(load_rows, load);
	if (error != nullptr)
		source::abandon_chunk(load->copier->connection);
	return error;
}

const char *
why_restart(source::ChunkCheck check)
{
	switch (check)
	{
		case source::ChunkCheck::ready:
			break;
		case source::ChunkCheck::rewritten:
			return "The source rewrote the table (VACUUM FULL, CLUSTER, ALTER TABLE, TRUNCATE).";
		case source::ChunkCheck::republished:
			return "The source publishes the table in another way.";
		case source::ChunkCheck::snapshot_lost:
			return "The snapshot of the copy was lost with its connection.";
		case source::ChunkCheck::lock_wanted:
			return "Somebody at the source waits to lock the table exclusively, and the copy gave way.";
	}
	return "";
}

/* Not what a constraint says, and not what passes. */
bool
may_be_the_form(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_INTERNAL_ERROR ||
		   error->sqlerrcode == ERRCODE_DATATYPE_MISMATCH;
}

/* The chunk is taken again, and what fails in text form as well fails the table. */
void
go_on_as_text(const Copier *copier, const state::Chunk *chunk, const char *name,
			  const ErrorData *error)
{
	AbortCurrentTransaction();
	base::begin_transaction();
	state::SyncedTable *table = state::load_table(chunk->table_id, state::RowLock::update);

	/* of several workers the first */
	if (table != nullptr && table->generation == chunk->generation &&
		table->state == state::TableState::copying && state::copy_as_text(table->id))
		state::record_event(copier->config->name, name, "copy_in_text", describe_error(error));
	base::commit_transaction();
}

void
fail_load(const Copier *copier, const state::Chunk *chunk, const char *name, const ErrorData *error)
{
	AbortCurrentTransaction();
	base::begin_transaction();
	state::SyncedTable *table = state::load_table(chunk->table_id, state::RowLock::update);

	if (table != nullptr && table->generation == chunk->generation &&
		table->state == state::TableState::copying)
		mark_table_failed(copier->config->name, table->id, name, error, wire::kInvalidLsn);
	base::commit_transaction();
	wake_connector();
}

void
restart_after(const Copier *copier, const state::Chunk *chunk, source::ChunkCheck check)
{
	AbortCurrentTransaction();
	base::begin_transaction();
	state::SyncedTable *table = state::load_table(chunk->table_id, state::RowLock::update);

	if (table != nullptr && table->generation == chunk->generation &&
		table->state == state::TableState::copying)
		restart_table(copier, table, why_restart(check));
	base::commit_transaction();
	wake_connector();
}

} // namespace

void
restart_table(const Copier *copier, const state::SyncedTable *table, const char *why)
{
	state::restart_copy(table->id, true);
	state::record_event(copier->config->name, state::source_table_name(table), "table_restarted",
						why);
}

bool
load_one_chunk(Copier *copier)
{
	MemoryContext old = MemoryContextSwitchTo(copier->turn);

	base::begin_transaction();
	MemoryContextSwitchTo(copier->turn);
	state::Chunk *chunk = state::claim_chunk(copier->config->id, 0);
	state::SyncedTable *table =
		chunk ? state::load_table(chunk->table_id, state::RowLock::share) : nullptr;

	if (table == nullptr || table->generation != chunk->generation ||
		table->state != state::TableState::copying)
	{
		AbortCurrentTransaction();
		MemoryContextSwitchTo(old);
		return false;
	}

	char *name = state::source_table_name(table);
	Load load{copier,
			  chunk,
			  table,
			  nullptr,
			  {},
			  source::ChunkCheck::ready,
			  table->load_upserts && table->mode == state::CopyMode::keyed,
			  false,
			  false,
			  {},
			  false};

	set_copy_activity(table->id, chunk->number, "loading");
	pgstat_report_activity(STATE_RUNNING,
						   psprintf("livesync copy of %s, chunk %d", name, chunk->number));
	ErrorData *error = load_rows_once_or_twice(&load);

	if (error != nullptr && table->exported != nullptr && base::is_lock_timeout(error))
		restart_after(copier, chunk, source::ChunkCheck::lock_wanted);
	else if (error != nullptr && load.as_binary && may_be_the_form(error))
		go_on_as_text(copier, chunk, name, error);
	else if (error != nullptr)
		fail_load(copier, chunk, name, error);
	else if (load.check != source::ChunkCheck::ready)
		restart_after(copier, chunk, load.check);
	else
	{
		wire::Lsn read = source::wait_source_flushed(copier->connection);

		state::finish_chunk(*chunk, (int64) load.result.rows, (int64) load.result.bytes, read);
		base::failpoint("chunk_loaded", name);
		/* last, since all the others do so too */
		if (my_entry()->copy_failures > 0)
			state::clear_connector_error(copier->config->id);
		base::commit_transaction();
		note_copy_success();
		base::failpoint("chunk_committed", name);
	}
	set_copy_activity(0, 0, nullptr);
	if (load.is_paced)
		set_table_wait(chunk->table_id, nullptr);
	MemoryContextSwitchTo(old);
	return true;
}

} // namespace worker
