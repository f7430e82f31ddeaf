/*
 * target/copy_in.cpp
 *
 * See copy_in.hpp.
 *
 * Surprising: COPY keeps up to 1000 rows before it writes them, or 64 kB, but a row in binary form counts for
 * nothing there.  So that 1000 rows of a megabyte each are not all kept, such a COPY is ended behind the row
 * with which they are too much, and another goes on with what the source sends.  The next row is only fetched then:
 * a row of 100 MB is in memory several times until it is written, and the next one must not be there as well.
 */
#include "target/copy_in.hpp"

#include "target/binary_value.hpp"
#include "target/relation.hpp"
#include "target/utility.hpp"

#include <cstdio>

namespace target
{
namespace
{

/*
 * As large as COPY's own.  Without a buffer a stream of fopencookie() is read byte by byte, which
 * cost more than all the rest of a COPY of narrow rows.
 */
constexpr size_t kBufferSize = 65536;

constexpr int kRowsKept = 1000; /* by the server */
constexpr uint64 kMostBytesKept = 16 * 1024 * 1024;

/* Signature, flags, length of the header's extension; and the row that says that there are no more. */
constexpr char kBinaryHeader[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
constexpr size_t kBinaryHeaderSize = 19;
constexpr char kBinaryTrailer[] = "\377\377";
constexpr size_t kBinaryTrailerSize = 2;

static_assert(sizeof(kBinaryHeader) == kBinaryHeaderSize + 1);

/* What is left of the piece at hand, for reads that are smaller than a piece. */
struct Feed
{
	CopySource *source;
	bool binary;
	const char *rest;
	size_t size;
	uint64 bytes;
	int rows_kept;
	uint64 bytes_kept;
	bool is_ended_early; /* another COPY takes the rest */
	bool at_end;		 /* of this COPY */
};

/* A piece is a row; in binary form the first has the header in front, and the last is the trailer. */
void
count_piece(Feed *feed)
{
	feed->bytes += feed->size;
	feed->bytes_kept += feed->size;
	if (++feed->rows_kept == kRowsKept)
	{
		feed->rows_kept = 0;
		feed->bytes_kept = 0;
	}
}

void
end_early(Feed *feed)
{
	feed->source->release_piece(feed->source->context);
	feed->is_ended_early = true;
	feed->rest = kBinaryTrailer;
	feed->size = feed->binary ? kBinaryTrailerSize : 0;
}

/* When all of the last one is read.  False: it failed. */
bool
next_part(Feed *feed)
{
	if (feed->is_ended_early)
		feed->at_end = true;
	else if (feed->bytes_kept >= kMostBytesKept)
		end_early(feed);
	else
	{
		int size = feed->source->next_piece(feed->source->context, &feed->rest);

		if (size < 0)
			return false;
		feed->size = (size_t) size;
		feed->at_end = size == 0;
		count_piece(feed);
	}
	return true;
}

/* Another COPY for the rest.  False: there is none. */
bool
continue_feed(Feed *feed)
{
	if (!feed->is_ended_early)
		return false;
	feed->rest = kBinaryHeader;
	feed->size = feed->binary ? kBinaryHeaderSize : 0;
	feed->rows_kept = 0;
	feed->bytes_kept = 0;
	feed->is_ended_early = feed->at_end = false;
	return true;
}

ssize_t
read_feed(void *cookie, char *buffer, size_t wanted)
{
	Feed *feed = (Feed *) cookie;
	size_t filled = 0;

	while (filled < wanted && !feed->at_end)
	{
		if (feed->size == 0 && !next_part(feed))
		{
			feed->source->has_failed = true;
			errno = EIO;
			return -1;
		}
		size_t part = Min(feed->size, wanted - filled);

		memcpy(buffer + filled, feed->rest, part);
		feed->rest += part;
		feed->size -= part;
		filled += part;
	}
	return (ssize_t) filled;
}

char *
copy_text(const char *sql_table, int ncolumns, const char *const *columns, bool binary)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "COPY %s ", sql_table);
	for (int i = 0; i < ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "(", quote_identifier(columns[i]));
	appendStringInfo(&sql, "%s FROM STDIN%s", ncolumns > 0 ? ")" : "",
					 binary ? " (FORMAT binary)" : "");
	return sql.data;
}

} // namespace

CopyResult
copy_in(const char *sql_table, Oid owner, int ncolumns, const char *const *columns, bool binary,
		CopySource *source)
{
	Feed feed{};
	char *const buffer = (char *) palloc(kBufferSize); /* glibc would ignore the size of its own */
	FILE *stream =
		fopencookie(&feed, "r", cookie_io_functions_t{read_feed, nullptr, nullptr, nullptr});
	FILE *const saved = stdin;
	volatile uint64 rows = 0;

	feed.source = source;
	feed.binary = binary;
	if (stream == nullptr)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open a stream for COPY: %m")));
	(void) setvbuf(stream, buffer, _IOFBF, kBufferSize);
	PG_TRY();
	{
		Role role = become_owner(owner);
		ErrorContextCallback callback{error_context_stack, blame_value, nullptr};

		error_context_stack = &callback;
		stdin = stream;
		do
		{
			clearerr(stream);
			rows = rows + run_utility(copy_text(sql_table, ncolumns, columns, binary));
		} while (continue_feed(&feed));
		error_context_stack = callback.previous;
		restore_role(role);
	}
	PG_FINALLY();
	{
		stdin = saved;
		(void) fclose(stream);
		pfree(buffer);
	}
	PG_END_TRY();
	return CopyResult{rows, feed.bytes};
}

} // namespace target
