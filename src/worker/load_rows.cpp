/*
 * worker/load_rows.cpp
 *
 * See load_rows.hpp.
 */
#include "worker/load_rows.hpp"

#include "base/failpoint.hpp"
#include "base/settings.hpp"
#include "target/apply.hpp"
#include "target/hypertable.hpp"
#include "wire/copy_text.hpp"
#include "worker/drain.hpp"
#include "worker/registry.hpp"
#include "worker/routes.hpp"

namespace worker
{
namespace
{

constexpr size_t kUpsertRows = 5000;
constexpr size_t kUpsertBytes = 4 * 1024 * 1024;

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

} // namespace

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

} // namespace worker
