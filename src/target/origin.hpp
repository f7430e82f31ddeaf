/*
 * target/origin.hpp
 *
 * The replication origin of a connector: the position up to which everything is applied here,
 * advanced by the very commits that apply it, so a crash can neither lose nor repeat.
 *
 * Surprising: a local transaction without an xid advances no origin, so advance_origin() takes one.
 */
#pragma once

#include "base/pg.hpp"
#include "wire/lsn.hpp"

namespace target
{

/* Is there an origin of that name?  With its position.  Needs a transaction. */
bool read_origin(const char *name, wire::Lsn *position);
/* Create it (or take an existing one) and set its position, durably. Needs a transaction. */
void create_origin(const char *name, wire::Lsn position);
void drop_origin(const char *name); /* nothing when there is none */

/* This process becomes the one that advances it; returns the position. Needs a transaction. */
wire::Lsn use_origin(const char *name);
/* The commit of the current transaction advances the origin to here; another transaction's does not. */
void set_commit_position(wire::Lsn position, TimestampTz at);

/*
 * When a commit has failed, before it is rolled back: from 16 on the server moves the origin at a rollback as well, also of
 * a part of a transaction, to the position that it was given.  So it is given one at the last moment, and that is taken away
 * when the commit fails even then.
 */
void forget_commit_position();

} // namespace target
