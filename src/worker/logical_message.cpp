/*
 * worker/logical_message.cpp
 *
 * What pg_logical_emit_message() wrote at the source: told in the events when its prefix says that it is for us, else
 * skipped.  See connector.hpp.
 *
 * Each is told once: one of a transaction with the rows of that transaction, any other with a position behind it.
 *
 * Surprising: the source sends the bytes as they are.  They may be of another encoding, or no text at all.
 */
#include "worker/connector.hpp"

#include "state/event.hpp"

namespace worker
{
namespace
{

constexpr std::string_view kPrefix = "livesync";
constexpr int kMostBytes = 4096;
constexpr uint8 kTransactional = 1;

/* What text cannot hold is told as hexadecimal digits. */
char *
printable(std::string_view content)
{
	int size = (int) Min(content.size(), (size_t) kMostBytes);

	if (pg_verifymbstr(content.data(), (int) content.size(), true))
		return pnstrdup(content.data(), pg_mbcliplen(content.data(), (int) content.size(), size));

	StringInfoData hex;

	size = Min(size, kMostBytes / 2);
	initStringInfo(&hex);
	appendStringInfoString(&hex, "\\x");
	for (int i = 0; i < size; i++)
		appendStringInfo(&hex, "%02x", (unsigned char) content[i]);
	return hex.data;
}

} // namespace

void
take_logical_message(ConnectorWorker *worker, const wire::LogicalMessage &message)
{
	if (message.prefix != kPrefix)
		return;
	begin_local(worker);
	state::record_event(worker->config->name, nullptr, "message", printable(message.content));

	/* the source sends it again unless the position is behind it; all that was committed before it has come */
	if ((message.flags & kTransactional) == 0 && !worker->in_source_transaction)
		end_source_transaction(worker, Max(worker->end_lsn, message.lsn + 1),
							   GetCurrentTimestamp());
}

} // namespace worker
