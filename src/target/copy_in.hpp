/*
 * target/copy_in.hpp
 *
 * COPY … FROM STDIN of a target table, fed from a function.
 *
 * It goes through ProcessUtility(), as a client's COPY would, so that other extensions see it: rows of a
 * hypertable would otherwise end in its root heap, invisible.  In a background worker COPY reads C's stdin, which is
 * replaced for the time of the COPY by a stream over the function.
 *
 * In: pieces of COPY data as the source sent them.  Out: rows and bytes.  Must not know where they come from.
 *
 * Surprising: nothing may be raised through stdio.  So the function reports failure by -1, COPY ends with an
 * I/O error of its own, and the caller then raises what really happened.
 */
#pragma once

#include "base/pg.hpp"

namespace target
{

struct CopySource
{
	void *context;
	/* > 0: bytes at *data, valid until the next call of either; 0: end; -1: failed */
	int (*next_piece)(void *context, const char **data);
	/* the bytes are not needed any more, and the next ones not yet */
	void (*release_piece)(void *context);
	bool has_failed; /* set by copy_in when next_piece said so: raise the real error */
};

struct CopyResult
{
	uint64 rows;
	uint64 bytes;
};

/* sql_table: quoted. As the table's owner; the caller has a transaction. */
CopyResult copy_in(const char *sql_table, Oid owner, int ncolumns, const char *const *columns,
				   bool binary, CopySource *source);

} // namespace target
