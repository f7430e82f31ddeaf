/*
 * target/copy_in.cpp
 *
 * See copy_in.hpp.
 */
#include "target/copy_in.hpp"

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

/* What is left of the piece at hand, for reads that are smaller than a piece. */
struct Feed
{
	CopySource *source;
	const char *rest;
	size_t size;
	uint64 bytes;
	bool at_end;
};

ssize_t
read_feed(void *cookie, char *buffer, size_t wanted)
{
	Feed *feed = (Feed *) cookie;
	size_t filled = 0;

	while (filled < wanted && !feed->at_end)
	{
		if (feed->size == 0)
		{
			int size = feed->source->next_piece(feed->source->context, &feed->rest);

			if (size < 0)
			{
				feed->source->has_failed = true;
				errno = EIO;
				return -1;
			}
			feed->at_end = size == 0;
			feed->size = (size_t) size;
			feed->bytes += (uint64) size;
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
	Feed feed{source, nullptr, 0, 0, false};
	char *const buffer = (char *) palloc(kBufferSize); /* glibc would ignore the size of its own */
	FILE *stream =
		fopencookie(&feed, "r", cookie_io_functions_t{read_feed, nullptr, nullptr, nullptr});
	FILE *const saved = stdin;
	volatile uint64 rows = 0;

	if (stream == nullptr)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open a stream for COPY: %m")));
	(void) setvbuf(stream, buffer, _IOFBF, kBufferSize);
	PG_TRY();
	{
		Role role = become_owner(owner);

		stdin = stream;
		rows = run_utility(copy_text(sql_table, ncolumns, columns, binary));
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
