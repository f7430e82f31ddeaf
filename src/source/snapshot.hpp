/*
 * source/snapshot.hpp
 *
 * Owns: the question "does this snapshot of the source see the transaction of that change?".
 *
 *   text form    xmin ':' xmax ':' [ xip { ',' xip } ]      all 64-bit, xmin <= xip < xmax
 *
 * In: the text of pg_current_snapshot(), and the 32-bit xid of the stream. Out: yes or no.
 * The list of running transactions is not copied: it is walked in the text for each question.
 *
 * Must not know: the server, our own transactions, what is done with the answer.
 *
 * The surprising thing: the snapshot lists top-level transactions only. A subtransaction's xid is
 * in no list and would look committed while its parent still runs, so the xid must be the one of
 * the Begin or Stream Start message, never the prefix of a single change.
 */
#ifndef LIVESYNC_SOURCE_SNAPSHOT_HPP
#define LIVESYNC_SOURCE_SNAPSHOT_HPP

#include <cstdint>
#include <string_view>

namespace source
{

struct Snapshot
{
	uint64_t xmin = 0;		   /* all below have ended */
	uint64_t xmax = 0;		   /* all from here on had not begun, or not ended */
	std::string_view xip = {}; /* in between, those still running: "101,105,..." */
};

/*
 * Splits the text; the list is kept as it is, unchecked. False, with *out untouched, when the text
 * has not this form. The view lasts as long as `text`.
 */
bool parse_snapshot_header(std::string_view text, Snapshot *out);

/*
 * `xid` must be of a top-level transaction that has ended as far as the stream knows, and within
 * 2^31 of the snapshot, as every xid in use is. Xids below 3 are the server's own and always
 * visible.
 */
bool is_visible(uint32_t xid, const Snapshot &snapshot);

} // namespace source

#endif
