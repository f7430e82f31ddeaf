/*
 * wire/copydata.hpp
 *
 * Owns: the envelope of the streaming replication protocol, that is what one CopyData message
 * holds in either direction.
 *
 *   received   'w'  u64 start, u64 end, i64 send time, payload          XLogData
 *              'k'  u64 end, i64 send time, u8 reply requested          keepalive
 *   sent       'r'  u64 written, u64 flushed, u64 applied, i64 time, u8 reply requested
 *
 * In: what PQgetCopyData() returned. Out: an Envelope whose payload is a view of it; and the
 * bytes for PQputCopyData().
 * Must not know: what the payload means (wire/pgoutput), when a position may be confirmed.
 *
 * The surprising thing: for a logical slot the positions of a 'w' are no range of WAL; both are
 * where the decoded change stands (or zero), so only a keepalive's end and a commit's end LSN are
 * positions one can confirm.
 */
#ifndef LIVESYNC_WIRE_COPYDATA_HPP
#define LIVESYNC_WIRE_COPYDATA_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/lsn.hpp"
#include "wire/reader.hpp"

namespace wire
{

enum class EnvelopeKind : uint8_t
{
	xlog_data,
	keepalive
};

/* Times are microseconds since 2000-01-01 00:00 UTC, by the source's clock. */
struct Envelope
{
	EnvelopeKind kind = EnvelopeKind::keepalive;
	Lsn start_lsn = kInvalidLsn; /* xlog_data only */
	Lsn end_lsn = kInvalidLsn;
	int64_t send_time = 0;
	bool reply_requested = false;  /* keepalive only */
	std::string_view payload = {}; /* xlog_data only */
};

struct StatusUpdate
{
	Lsn written_lsn = kInvalidLsn;
	Lsn flushed_lsn = kInvalidLsn; /* the one that lets the source free its WAL */
	Lsn applied_lsn = kInvalidLsn;
	int64_t send_time = 0; /* by our clock */
	bool reply_requested = false;
};

constexpr size_t kStatusUpdateSize = 34;

/* *out is written as a whole when the status is ok, and not at all otherwise. */
DecodeStatus decode_copydata(std::string_view bytes, Envelope *out);

void encode_status_update(const StatusUpdate &update, char (&out)[kStatusUpdateSize]);

} // namespace wire

#endif
