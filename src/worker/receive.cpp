/*
 * worker/receive.cpp
 *
 * From the socket to what takes each message, and positions back to the source.  See connector.hpp.
 */
#include "worker/connector.hpp"

#include "base/failpoint.hpp"
#include "worker/registry.hpp"
#include "worker/stream_rules.hpp"
#include "worker/streamed.hpp"

namespace worker
{
namespace
{

/* How many messages are taken before latch, interrupts and feedback get their turn. */
constexpr int kMessagesATurn = 2000;
constexpr int64 kFeedbackEveryMs = 1000;

struct ReceiveContext
{
	const ConnectorWorker *worker;
	wire::MessageKind kind;
};

void
describe_message(void *argument)
{
	const ReceiveContext *at = (const ReceiveContext *) argument;

	errcontext("connector \"%s\", message %s of source transaction %u, finished at %X/%X",
			   at->worker->config->name, wire::describe(at->kind), at->worker->xid,
			   (uint32) (at->worker->commit_lsn >> 32), (uint32) at->worker->commit_lsn);
}

[[noreturn]] void
raise_unexpected(wire::MessageKind kind)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("the source sent a %s message that was not asked for", wire::describe(kind))));
}

/* Of a transaction that still runs at the source: all of it is taken when its commit comes. */
void
take_piece_message(ConnectorWorker *worker, const wire::Message &message, std::string_view raw)
{
	switch (message.kind)
	{
		case wire::MessageKind::relation:
		case wire::MessageKind::type:
		case wire::MessageKind::insert:
		case wire::MessageKind::update:
		case wire::MessageKind::del:
		case wire::MessageKind::truncate:
		case wire::MessageKind::message:
			keep_message(worker->streamed, message.xid, raw);
			break;
		case wire::MessageKind::stream_stop:
			end_piece(worker->streamed);
			base::failpoint("streamed_piece");
			break;
		case wire::MessageKind::origin:
			break;
		case wire::MessageKind::begin:
		case wire::MessageKind::commit:
		case wire::MessageKind::stream_start:
		case wire::MessageKind::stream_commit:
		case wire::MessageKind::stream_abort:
		case wire::MessageKind::begin_prepare:
		case wire::MessageKind::prepare:
		case wire::MessageKind::commit_prepared:
		case wire::MessageKind::rollback_prepared:
		case wire::MessageKind::stream_prepare:
			raise_unexpected(message.kind);
	}
}

/* Between a Begin and its Commit. */
bool
is_receiving_whole(const ConnectorWorker *worker)
{
	return worker->in_source_transaction && worker->ahead == nullptr;
}

/*
 * The batch has a copy of what was taken last.  A row of 100 MB is in memory several times while it is applied: what it came
 * in need not be there as well.
 */
void
release_taken(ConnectorWorker *worker)
{
	source::release_copy_data(worker->stream_connection);
	release_kept(worker->streamed);
}

void
take_plain_message(ConnectorWorker *worker, const wire::Message &message, std::string_view raw)
{
	switch (message.kind)
	{
		case wire::MessageKind::begin:
			check_place(message.kind, worker->in_source_transaction, false);
			note_age(worker, message.begin.commit_time);
			begin_source_transaction(worker, message.begin.xid, message.begin.final_lsn);
			break;
		case wire::MessageKind::commit:
			check_place(message.kind, worker->in_source_transaction, true);
			check_commit(worker->commit_lsn, message.commit.commit_lsn, message.commit.end_lsn,
						 worker->received);
			end_source_transaction(worker, message.commit.end_lsn, message.commit.commit_time);
			break;
		case wire::MessageKind::relation:
			check_place(message.kind, worker->in_source_transaction, true);
			take_relation(worker, message, raw);
			break;
		case wire::MessageKind::insert:
		case wire::MessageKind::update:
		case wire::MessageKind::del:
			check_place(message.kind, worker->in_source_transaction, true);
			worker->has_part = true;
			take_change(worker, message, raw);
			/* a slice of a big transaction */
			if (is_batch_full(worker))
			{
				release_taken(worker);
				flush_batch(worker);
			}
			break;
		case wire::MessageKind::truncate:
			check_place(message.kind, worker->in_source_transaction, true);
			worker->has_part = true;
			take_truncate(worker, message, raw);
			break;
		case wire::MessageKind::message:
			worker->has_part = true;
			take_logical_message(worker, message.message);
			break;
		case wire::MessageKind::type:
		case wire::MessageKind::origin:
			break;
		case wire::MessageKind::stream_start:
			check_place(message.kind, is_receiving_whole(worker), false);
			begin_piece(worker->streamed, message.stream_start);
			break;
		case wire::MessageKind::stream_abort:
			check_place(message.kind, worker->in_source_transaction, false);
			abort_streamed(worker->streamed, message.stream_abort);
			break;
		case wire::MessageKind::stream_commit:
			check_place(message.kind, is_receiving_whole(worker), false);
			check_streamed_commit(message.stream_commit.commit_lsn, message.stream_commit.end_lsn,
								  worker->received);
			take_streamed_commit(worker, message.stream_commit);
			break;
		case wire::MessageKind::stream_stop:
		case wire::MessageKind::begin_prepare:
		case wire::MessageKind::prepare:
		case wire::MessageKind::commit_prepared:
		case wire::MessageKind::rollback_prepared:
		case wire::MessageKind::stream_prepare:
			raise_unexpected(message.kind);
	}
}

wire::Message
decode(std::string_view raw, bool in_piece)
{
	wire::Message message;
	wire::DecodeStatus status = wire::decode(raw, in_piece, &message);

	if (status != wire::DecodeStatus::ok)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the source sent a message that cannot be read: %s",
							   wire::describe(status))));
	return message;
}

/* What is whole is applied before: the source may never get past a change that it cannot send. */
[[noreturn]] void
end_stream(ConnectorWorker *worker)
{
	bool is_within = worker->in_source_transaction && worker->has_part;

	if (worker->has_uncommitted && !is_within)
		commit_local(worker);
	source::raise_end(worker->stream);
}

void
take_keepalive(ConnectorWorker *worker, const source::StreamMessage &message)
{
	if (is_at_boundary(worker))
		advance_idle(worker, worker->received, message.reply_requested);
	if (message.reply_requested)
		send_position(worker, true);
}

/* While few messages come, what is whole is committed before the socket is looked at again. */
bool
is_commit_due(ConnectorWorker *worker)
{
	return worker->has_uncommitted && !worker->in_source_transaction && !gathers(worker);
}

/* Where they leave nothing behind, whatever ended a transaction meanwhile. */
void
enter_turn(const ConnectorWorker *worker)
{
	if (!worker->in_local_transaction)
		MemoryContextSwitchTo(worker->turn);
}

} // namespace

void
begin_source_transaction(ConnectorWorker *worker, uint32 xid, wire::Lsn commit_lsn)
{
	worker->in_source_transaction = true;
	worker->xid = xid;
	worker->commit_lsn = commit_lsn;
	worker->has_part = false;
}

void
end_source_transaction(ConnectorWorker *worker, wire::Lsn end_lsn, TimestampTz commit_time)
{
	worker->in_source_transaction = false;
	worker->has_uncommitted = true;
	worker->end_lsn = end_lsn;
	worker->commit_time = commit_time;
	note_age(worker, commit_time);
	if (worker->batch_changes == 0 && !worker->in_local_transaction)
		commit_local(worker);
	else if (is_batch_due(worker))
		commit_local(worker);
}

void
take_message(ConnectorWorker *worker, std::string_view raw)
{
	bool in_piece = is_in_piece(worker->streamed);
	wire::Message message = decode(raw, in_piece);
	ReceiveContext at{worker, message.kind};
	ErrorContextCallback callback{error_context_stack, describe_message, &at};

	error_context_stack = &callback;
	if (in_piece)
		take_piece_message(worker, message, raw);
	else
	{
		if (worker->ahead != nullptr)
			go_on_ahead(worker, message);
		take_plain_message(worker, message, raw);
	}
	error_context_stack = callback.previous;
}

bool
take_kept_message(ConnectorWorker *worker, std::string_view raw)
{
	wire::Message message = decode(raw, false);
	ReceiveContext at{worker, message.kind};
	ErrorContextCallback callback{error_context_stack, describe_message, &at};

	if (worker->ahead != nullptr && !fits_ahead(worker, message, raw))
		return false;
	error_context_stack = &callback;
	take_plain_message(worker, message, raw);
	error_context_stack = callback.previous;
	return true;
}

void
send_position(ConnectorWorker *worker, bool now)
{
	TimestampTz at = GetCurrentTimestamp();
	wire::Lsn before = worker->confirmed;

	if (worker->stream == nullptr)
		return;
	note_flushed(worker);
	if (!now && worker->confirmed == before && !source::is_sign_of_life_due(worker->stream) &&
		!TimestampDifferenceExceeds(worker->feedback_at, at, kFeedbackEveryMs))
		return;
	source::send_feedback(worker->stream, worker->received, worker->confirmed, worker->applied);
	my_entry()->flushed = worker->confirmed;
	worker->told = worker->received;
	worker->feedback_at = at;
}

bool
is_answer_due(ConnectorWorker *worker)
{
	return worker->received > worker->told && !is_dense(worker);
}

bool
receive_some(ConnectorWorker *worker)
{
	source::StreamMessage message;

	for (int i = 0; i < kMessagesATurn; i++)
	{
		bool is_due = is_commit_due(worker);
		source::Look look = is_due ? source::Look::at_what_is_read : source::Look::at_socket;
		source::Received received = source::next_message(worker->stream, look, &message);

		if (received == source::Received::nothing && !is_due)
			return false;
		if (received == source::Received::nothing)
		{
			commit_local(worker);
			continue;
		}
		if (received == source::Received::ended)
			end_stream(worker);
		enter_turn(worker);
		worker->window_messages++;
		worker->received = Max(worker->received, message.end);
		worker->sent_at = message.sent_at;
		worker->largest_message = Max(worker->largest_message, message.payload.size());
		if (received == source::Received::keepalive)
			take_keepalive(worker, message);
		else
			take_message(worker, message.payload);
		/* under load this is the only end of a transaction that the rest gets to see */
		if (is_at_boundary(worker) && is_housekeeping_due(worker))
			break;
	}
	return true;
}

} // namespace worker
