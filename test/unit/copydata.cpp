/*
 * test/unit/copydata.cpp
 *
 * Owns: the tests of wire/copydata and wire/lsn.
 *
 * In: envelopes made by hand. Out: TAP.
 *
 * Must not know: the server.
 *
 * The surprising thing: none.
 */
#include <memory>

#include "golden.hpp"
#include "tap.hpp"
#include "wire/copydata.hpp"

using golden::Bytes;
using wire::DecodeStatus;

static DecodeStatus
decode(const std::string &bytes, wire::Envelope *out)
{
	std::unique_ptr<char[]> block(new char[bytes.size()]);

	memcpy(block.get(), bytes.data(), bytes.size());
	DecodeStatus status = wire::decode_copydata({block.get(), bytes.size()}, out);

	/* The block ends here: keep the payload as a view of the argument. */
	if (status == DecodeStatus::ok)
		out->payload = {bytes.data() + bytes.size() - out->payload.size(), out->payload.size()};
	return status;
}

static void
test_envelopes()
{
	wire::Envelope envelope;
	std::string data = Bytes('w').u64(1).u64(2).u64(3).raw("B...").str();
	std::string keepalive = Bytes('k').u64(2).u64(3).u8(1).str();

	tap::check(decode(data, &envelope) == DecodeStatus::ok &&
				   envelope.kind == wire::EnvelopeKind::xlog_data && envelope.start_lsn == 1 &&
				   envelope.end_lsn == 2 && envelope.send_time == 3 && envelope.payload == "B..." &&
				   !envelope.reply_requested,
			   "XLogData");
	tap::check(decode(keepalive, &envelope) == DecodeStatus::ok &&
				   envelope.kind == wire::EnvelopeKind::keepalive && envelope.start_lsn == 0 &&
				   envelope.end_lsn == 2 && envelope.send_time == 3 && envelope.reply_requested &&
				   envelope.payload.empty(),
			   "keepalive");

	tap::Collection cut;
	for (size_t size = 0; size < 25; size++)
		cut.collect(decode(data.substr(0, size), &envelope) == DecodeStatus::truncated, "XLogData");
	for (size_t size = 0; size < keepalive.size(); size++)
		cut.collect(decode(keepalive.substr(0, size), &envelope) == DecodeStatus::truncated,
					"keepalive");
	cut.finish("a cut envelope is truncated");

	tap::check(decode(data.substr(0, 25), &envelope) == DecodeStatus::ok &&
				   envelope.payload.empty(),
			   "an empty payload is an envelope");
	tap::check(decode(keepalive + "x", &envelope) == DecodeStatus::trailing_bytes,
			   "a keepalive with something behind it");
	tap::check(decode("d", &envelope) == DecodeStatus::unknown_message, "unknown envelope");
}

static void
test_status_update()
{
	char out[wire::kStatusUpdateSize];

	wire::encode_status_update({.written_lsn = 0x0102030405060708,
								.flushed_lsn = 2,
								.applied_lsn = 3,
								.send_time = -1,
								.reply_requested = true},
							   out);
	tap::check(std::string(out, sizeof(out)) ==
				   Bytes('r').u64(0x0102030405060708).u64(2).u64(3).u64(UINT64_MAX).u8(1).str(),
			   "status update");
}

static void
test_lsn()
{
	wire::Lsn lsn = 7;
	char text[wire::kLsnTextSize];

	tap::check(wire::parse_lsn("16/B374D848", &lsn) && lsn == 0x16B374D848, "parse an LSN");
	tap::check(wire::parse_lsn("0/0", &lsn) && lsn == wire::kInvalidLsn, "parse zero");
	tap::check(wire::parse_lsn("ffffffff/FFFFFFFF", &lsn) && lsn == UINT64_MAX,
			   "parse the largest");

	tap::Collection bad;
	lsn = 7;
	for (const char *wrong :
		 {"", "/", "1", "1/", "/1", "1/2/3", "1/123456789", "123456789/1", "1/G", " 1/2", "1/2 "})
		bad.collect(!wire::parse_lsn(wrong, &lsn) && lsn == 7, wrong);
	bad.finish("what is no LSN is refused");

	tap::check(wire::format_lsn(0x16B374D848, text) == "16/B374D848" &&
				   std::string(text) == "16/B374D848",
			   "format an LSN");
	tap::check(wire::format_lsn(0, text) == "0/0", "format zero");
	tap::check(wire::format_lsn(UINT64_MAX, text) == "FFFFFFFF/FFFFFFFF", "format the largest");
	tap::check(wire::format_lsn(0x100000010, text) == "1/10", "format with zeros inside");
}

int
main()
{
	test_envelopes();
	test_status_update();
	test_lsn();
	return tap::finish();
}
