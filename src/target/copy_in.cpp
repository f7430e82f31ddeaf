/*
 * target/copy_in.cpp
 *
 * See copy_in.hpp.
 *
 * Surprising: COPY keeps up to 1000 rows before it writes them, or 64 kB, but a row in binary form counts for
 * nothing there.  So that 1000 rows of a megabyte each are not all kept, such a COPY is ended between two rows
 * before they are too much, and another goes on with what the source sends.
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
	const char *next; /* a piece, fetched already, for the COPY after this one */
	size_t next_size;
	uint64 bytes;
	int rows_kept;
	uint64 bytes_kept;
	bool at_end; /* of this COPY */
};

/* A piece is a row, the first with the header in front, the last the trailer.  Is it one too many for this COPY? */
bool
is_too_much(Feed *feed, size_t size)
{
	if (!feed->binary)
		return false;
	if (feed->bytes_kept >= kMostBytesKept && size > kBinaryTrailerSize)
		return true;
	feed->bytes_kept += size;
	if (++feed->rows_kept == kRowsKept)
	{
		feed->rows_kept = 0;
		feed->bytes_kept = 0;
	}
	return false;
}

/* False: it failed. */
bool
fetch_piece(Feed *feed)
{
	if (feed->next_size > 0)
	{
		feed->rest = feed->next;
		feed->size = feed->next_size;
		feed->next_size = 0;
		(void) is_too_much(feed, feed->size);
		return true;
	}
	int size = feed->source->next_piece(feed->source->context, &feed->rest);

	if (size < 0)
		return false;
	feed->bytes += (uint64) size;
	feed->size = (size_t) size;
	feed->at_end = size == 0;
	if (size > 0 && is_too_much(feed, feed->size))
	{
		feed->next = feed->rest;
		feed->next_size = feed->size;
		feed->rest = kBinaryTrailer;
		feed->size = kBinaryTrailerSize;
	}
	return true;
}

/* Another COPY for the rest.  False: there is none. */
bool
continue_feed(Feed *feed)
{
	if (feed->next_size == 0)
		return false;
	feed->rest = kBinaryHeader;
	feed->size = kBinaryHeaderSize;
	feed->rows_kept = 0;
	feed->bytes_kept = 0;
	feed->at_end = false;
	return true;
}

ssize_t
read_feed(void *cookie, char *buffer, size_t wanted)
{
	Feed *feed = (Feed *) cookie;
	size_t filled = 0;

	while (filled < wanted && !feed->at_end)
	{
		/* behind the trailer of a COPY that was ended */
		if (feed->size == 0 && feed->rest == kBinaryTrailer + kBinaryTrailerSize)
			feed->at_end = true;
		else if (feed->size == 0 && !fetch_piece(feed))
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
