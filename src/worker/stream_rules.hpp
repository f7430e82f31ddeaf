/*
 * worker/stream_rules.hpp
 *
 * What must hold of the messages of a stream, beyond each being well formed: a commit belongs to a
 * begin, a row has the columns of its relation.  A breach is an ERROR, which ends the connection.
 *
 * Surprising: nothing here ever happens with a source that is sound.  But the columns decide where
 * memory is read, and a commit's position what the source may forget.
 */
#pragma once

#include "worker/routes.hpp"

namespace worker
{

/* `belongs_in_transaction`: may such a message come between a begin and its commit, or outside? */
void check_place(wire::MessageKind kind, bool in_transaction, bool belongs_in_transaction);

/* `expected`: what its begin said; `sent`: as far as the source says to have sent. */
void check_commit(wire::Lsn expected, wire::Lsn commit_lsn, wire::Lsn end_lsn, wire::Lsn sent);
/* Of a transaction that came in pieces: nothing has said before where it would be. */
void check_streamed_commit(wire::Lsn commit_lsn, wire::Lsn end_lsn, wire::Lsn sent);

/* Whoever reads the values counts on as many as the relation has columns. `relation` may be null. */
void check_columns(const StreamRelation *relation, const char *table, const wire::Change &change);

} // namespace worker
