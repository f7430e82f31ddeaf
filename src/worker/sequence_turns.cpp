/*
 * worker/sequence_turns.cpp
 *
 * Sequences every livesync.sequence_interval, so that a target which must take over at once is not far behind.
 * See connector.hpp and sequences.hpp.
 *
 * Surprising: what goes wrong here stops nothing.  It is told in `events`, once until it changes.
 */
#include "worker/connector.hpp"

#include "base/role.hpp"
#include "base/settings.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "worker/registry.hpp"
#include "worker/sequences.hpp"

namespace worker
{
namespace
{

void
ignore(void *, const Sequence *, int64)
{
}

/* With the rights of the connector's owner: setval() of a sequence is not for everybody. */
void
take_turn(void *argument)
{
	ConnectorWorker *worker = (ConnectorWorker *) argument;
	state::SyncedTables tables = state::load_tables(worker->config->id);
	base::Role self = base::become_restricted(worker->config->owner);

	advance_sequences(worker->control, find_owned_sequences(worker->control, tables), ignore,
					  nullptr);
	base::restore_role(self);
}

void
tell_failure(ConnectorWorker *worker, const ErrorData *error)
{
	if (strncmp(worker->sequences_failure, error->message, kTextSize - 1) == 0)
		return;
	strlcpy(worker->sequences_failure, error->message, kTextSize);
	state::record_event(worker->config->name, nullptr, "sequences_not_synced",
						describe_error(error));
}

} // namespace

void
sync_sequences(ConnectorWorker *worker, TimestampTz now)
{
	int interval = base::settings::sequence_interval_ms;

	if (interval == 0 || worker->is_polling ||
		!TimestampDifferenceExceeds(worker->sequences_at, now, interval))
		return;
	worker->sequences_at = now;
	base::begin_transaction();
	ErrorData *error = base::catch_errors(take_turn, worker);

	if (error != nullptr)
		tell_failure(worker, error);
	else
		worker->sequences_failure[0] = '\0';
	base::commit_transaction();
}

} // namespace worker
