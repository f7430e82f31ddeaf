/*
 * wire/copydata.cpp
 *
 * Owns: reading and writing the envelopes that wire/copydata.hpp draws.
 *
 * In: one CopyData message, or the positions to report. Out: an Envelope, or 34 bytes.
 *
 * Must not know: the server, the connection, which positions are true.
 *
 * The surprising thing: the payload is not looked at, so an empty one is a valid envelope; that
 * it is no message is for the decoder of the payload to say.
 */
#include "wire/copydata.hpp"

#ifdef POSTGRES_H
#error "wire/ is pure: no server header may be included here"
#endif

namespace wire
{

namespace
{

char *
put_u64(char *to, uint64_t value)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		*to++ = static_cast<char>(value >> shift & 0xFF);
	return to;
}

} // namespace

DecodeStatus
decode_copydata(std::string_view bytes, Envelope *out)
{
	Reader reader(bytes);
	Envelope envelope;

	uint8_t tag = reader.u8();
	if (!reader.ok())
		return DecodeStatus::truncated;

	if (tag == 'w')
	{
		envelope.kind = EnvelopeKind::xlog_data;
		envelope.start_lsn = reader.u64();
		envelope.end_lsn = reader.u64();
		envelope.send_time = reader.i64();
		envelope.payload = reader.rest();
	}
	else if (tag == 'k')
	{
		envelope.kind = EnvelopeKind::keepalive;
		envelope.end_lsn = reader.u64();
		envelope.send_time = reader.i64();
		envelope.reply_requested = reader.u8() != 0;
	}
	else
		return DecodeStatus::unknown_message;

	if (!reader.ok())
		return DecodeStatus::truncated;
	if (!reader.at_end())
		return DecodeStatus::trailing_bytes;
	*out = envelope;
	return DecodeStatus::ok;
}

void
encode_status_update(const StatusUpdate &update, char (&out)[kStatusUpdateSize])
{
	char *to = out;

	*to++ = 'r';
	to = put_u64(to, update.written_lsn);
	to = put_u64(to, update.flushed_lsn);
	to = put_u64(to, update.applied_lsn);
	to = put_u64(to, static_cast<uint64_t>(update.send_time));
	*to = update.reply_requested ? 1 : 0;
}

} // namespace wire
