/*
 * worker/missed_publication.cpp
 *
 * Getting past what a source cannot decode.  See connector.hpp.
 *
 * Before version 18 a walsender ends with an error at each change that was written while one of the publications was
 * not there: dropped and made again, which scripts do that make all publications anew.  The same comes at each new
 * try, and the slot would keep WAL for ever.
 *
 *   the error                        is noted with the connector
 *   the next start, when all exist   moves the origin behind the newest change, and all tables are copied again
 *
 * Surprising: that is all it takes.  A source asked to begin behind the slot's position decodes nothing that committed
 * before, so it asks for no publication there.  A transaction that is open meanwhile makes it happen once more.
 */
#include "worker/connector.hpp"

#include "base/transaction.hpp"
#include "state/event.hpp"
#include "state/ledger.hpp"
#include "target/origin.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

/* The source's message may be in any language, but has the name in quotes. */
bool
is_about_publication(const state::Connector *config, const ErrorData *error)
{
	if (error->sqlerrcode != ERRCODE_UNDEFINED_OBJECT || error->message == nullptr)
		return false;
	for (int i = 0; i < config->npublications; i++)
		if (strstr(error->message, psprintf("\"%s\"", config->publications[i])) != nullptr)
			return true;
	return false;
}

void
copy_all_again(const state::Connector *config)
{
	state::SyncedTables all = state::load_tables(config->id);

	for (int i = 0; i < all.count; i++)
	{
		/* locked: a loader that has not ended yet commits before */
		state::SyncedTable *table = state::load_table(all.tables[i]->id, state::RowLock::update);

		if (table == nullptr || table->state == state::TableState::queued)
			continue;
		state::restart_copy(table->id, true);
		state::record_event(config->name, state::source_table_name(table), "table_restarted",
							"A publication was dropped and made again; what was written meanwhile "
							"cannot be streamed.");
	}
}

} // namespace

void
note_missed_publication(const ConnectorWorker *worker, const ErrorData *error)
{
	if (worker->stream == nullptr || !is_about_publication(worker->config, error))
		return;
	target::forget_commit_position();
	base::begin_transaction();
	state::record_missed_publication(worker->config->id, true);
	base::commit_transaction();
}

void
pass_missed_publication(ConnectorWorker *worker)
{
	stop_copies(0);
	base::begin_transaction();
	/* the publications have been seen: whatever commits behind this finds them */
	wire::Lsn position = source::wait_source_flushed(worker->control);

	copy_all_again(worker->config);
	state::record_missed_publication(worker->config->id, false);
	target::set_commit_position(position, GetCurrentTimestamp());
	base::commit_transaction();
	XLogFlush(XactLastCommitEnd);
	worker->origin = position;
}

} // namespace worker
