/*
 * worker/streamed.hpp
 *
 * Transactions that the source sends in pieces while they still run: kept in temporary files until
 * their commit or abort comes.
 *
 *   S xid … E        a piece: its messages go to the end of the file of xid
 *   A xid subxid     a savepoint was rolled back: what was done under it is left out later
 *   A xid xid, c     the file is read no more
 *
 * In: the messages of a piece.  Out: the same messages in their order, without the xid in front, so
 * that whoever takes them sees an ordinary transaction.
 *
 * The file may be read while it grows.
 *
 * Owns: the files.  They are temporary files of the server (temp_file_limit counts them, the server
 * removes them when this process ends, however it does), and may be lost at any time: no position
 * behind such a transaction's commit is confirmed before it is applied, so the source sends all of
 * it again.
 *
 * Must not know: routes, what becomes of a change.
 *
 * Surprising: what was done under a savepoint is left out with the descriptions of relations that came
 * with it.  The source sends those again: it forgets what it has described when it tells of the rollback.
 */
#pragma once

#include "base/pg.hpp"
#include "wire/pgoutput.hpp"

namespace worker
{

struct StreamedTransaction;

struct StreamedTransactions
{
	MemoryContext context;
	HTAB *by_xid;
	StreamedTransaction *current; /* whose piece is being received; nullptr: none */
};

StreamedTransactions *make_streamed(MemoryContext parent);

inline bool
is_in_piece(const StreamedTransactions *all)
{
	return all->current != nullptr;
}

void begin_piece(StreamedTransactions *all, const wire::StreamStart &start);
/* xid: the message's own, perhaps of a subtransaction. */
void keep_message(StreamedTransactions *all, uint32 xid, std::string_view raw);
void end_piece(StreamedTransactions *all);
void abort_streamed(StreamedTransactions *all, const wire::StreamAbort &abort);

/* ERROR: the source has not begun it. */
StreamedTransaction *get_streamed(const StreamedTransactions *all, uint32 xid);
/* nullptr: there is none, or more than one. */
StreamedTransaction *only_streamed(const StreamedTransactions *all);
uint32 xid_of(const StreamedTransaction *it);

/* From the first message on, until next_kept() is false: no more has come so far.  Views last until the next call. */
void rewind_streamed(StreamedTransaction *it);
bool next_kept(StreamedTransaction *it, std::string_view *message);
void release_kept(const StreamedTransactions *all); /* what was given out last */
void forget_streamed(StreamedTransactions *all, uint32 xid);

} // namespace worker
