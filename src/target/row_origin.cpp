/*
 * target/row_origin.cpp
 *
 * See row_origin.hpp.
 */
#include "target/row_origin.hpp"

namespace target
{
namespace
{

bool
is_others(TransactionId writer, TimestampTz since)
{
	TimestampTz at;
	RepOriginId origin;

	/* false also of our own transaction, and of what is older than this knowledge */
	if (!TransactionIdIsNormal(writer) || !TransactionIdGetCommitTsData(writer, &at, &origin))
		return false;
	return at > since && origin != replorigin_session_origin && origin != DoNotReplicateId;
}

} // namespace

bool
is_origin_kept()
{
	return track_commit_timestamp;
}

int64
count_others(const SPITupleTable *writers, TimestampTz since)
{
	TransactionId last = InvalidTransactionId;
	bool last_is_others = false;
	int64 count = 0;

	for (uint64 i = 0; i < writers->numvals; i++)
	{
		bool is_null;
		TransactionId writer =
			DatumGetTransactionId(SPI_getbinval(writers->vals[i], writers->tupdesc, 1, &is_null));

		/* rows of one transaction come together more often than not */
		if (writer != last)
			last_is_others = is_others(writer, since);
		last = writer;
		count += last_is_others;
	}
	return count;
}

} // namespace target
