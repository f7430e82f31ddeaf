/*
 * worker/streamed_commit.cpp
 *
 * A transaction that came in pieces, at its commit: its messages are taken from the file as if they came now.
 * See connector.hpp and streamed.hpp.
 *
 * Surprising: where a change goes is decided here and not when its piece came: a table may have begun its copy, failed or
 * been paused in between, and that happened at a position of the stream before this commit.
 */
#include "worker/connector.hpp"

#include "base/failpoint.hpp"
#include "worker/registry.hpp"
#include "worker/streamed.hpp"

namespace worker
{
namespace
{

/* After so many messages feedback and interrupts get their turn. */
constexpr int kMessagesATurn = 100;

} // namespace

void
take_streamed_commit(ConnectorWorker *worker, const wire::StreamCommit &commit)
{
	StreamedTransaction *it = get_streamed(worker->streamed, commit.xid);
	std::string_view raw;

	base::failpoint("streamed_commit");
	if (worker->ahead == it)
		end_ahead(worker, commit.commit_lsn);
	else
	{
		rewind_streamed(it);
		begin_source_transaction(worker, commit.xid, commit.commit_lsn);
	}
	for (int64 taken = 1; next_kept(it, &raw); taken++)
	{
		(void) take_kept_message(worker, raw);
		if (taken % kMessagesATurn != 0)
			continue;
		base::failpoint("streamed_apply");
		send_position(worker, false);
		CHECK_FOR_INTERRUPTS();
	}
	forget_streamed(worker->streamed, commit.xid);
	my_entry()->keeps_behind = false;
	end_source_transaction(worker, commit.end_lsn, commit.commit_time);
}

} // namespace worker
