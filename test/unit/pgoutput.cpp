/*
 * test/unit/pgoutput.cpp
 *
 * Owns: the tests of wire/pgoutput and wire/reader.
 *
 * In: the golden messages, whole, cut at every length, prolonged, damaged at random. Out: TAP.
 *
 * Must not know: the server. That the golden bytes are what a server sends is for the tests with
 * two servers to show.
 *
 * The surprising thing: every buffer given to the decoder is copied to a heap block of exactly its
 * size, so that AddressSanitizer sees a read of even one byte too many.
 */
#include <memory>
#include <random>

#include "golden.hpp"
#include "tap.hpp"
#include "walk.hpp"

using golden::Bytes;
using wire::DecodeStatus;
using wire::MessageKind;

static uint64_t walked;

/* The message stays valid as long as the block does. */
struct Decoded
{
	std::unique_ptr<char[]> block;
	wire::Message message;
	DecodeStatus status;
};

static Decoded
decode(const std::string &bytes, bool in_stream)
{
	Decoded decoded;

	decoded.block.reset(new char[bytes.size()]);
	memcpy(decoded.block.get(), bytes.data(), bytes.size());
	decoded.status = wire::decode({decoded.block.get(), bytes.size()}, in_stream, &decoded.message);
	if (decoded.status == DecodeStatus::ok)
		walked += walk::sum_message(decoded.message);
	return decoded;
}

static Decoded
decode(const std::string &name)
{
	for (const golden::Message &m : golden::messages())
	{
		if (m.name == name)
			return decode(m.bytes, m.in_stream);
	}
	fprintf(stderr, "no golden message %s\n", name.c_str());
	abort();
}

static bool
is_value(const wire::Value &value, wire::ValueKind kind, std::string_view bytes)
{
	return value.kind == kind && value.bytes == bytes;
}

static void
test_transactions()
{
	Decoded d = decode("begin");
	tap::check(d.status == DecodeStatus::ok && d.message.kind == MessageKind::begin &&
				   d.message.begin.final_lsn == golden::kLsn &&
				   d.message.begin.commit_time == static_cast<int64_t>(golden::kTime) &&
				   d.message.begin.xid == golden::kXid && d.message.xid == 0,
			   "begin");

	d = decode("commit");
	tap::check(d.message.kind == MessageKind::commit && d.message.commit.flags == 0 &&
				   d.message.commit.commit_lsn == golden::kLsn &&
				   d.message.commit.end_lsn == golden::kEndLsn &&
				   d.message.commit.commit_time == static_cast<int64_t>(golden::kTime),
			   "commit");

	d = decode("origin");
	tap::check(d.message.kind == MessageKind::origin && d.message.origin.lsn == golden::kLsn &&
				   d.message.origin.name == "node_a",
			   "origin");

	d = decode("message");
	tap::check(d.message.kind == MessageKind::message && d.message.message.flags == 1 &&
				   d.message.message.lsn == golden::kLsn && d.message.message.prefix == "prefix" &&
				   d.message.message.content == "abc",
			   "message");

	d = decode("stream_start");
	tap::check(d.message.kind == MessageKind::stream_start &&
				   d.message.stream_start.xid == golden::kXid &&
				   d.message.stream_start.is_first_segment,
			   "stream start");
	tap::check(!decode("stream_start_again").message.stream_start.is_first_segment,
			   "stream start of a later piece");
	tap::check(decode("stream_stop").message.kind == MessageKind::stream_stop, "stream stop");

	d = decode("stream_commit");
	tap::check(d.message.kind == MessageKind::stream_commit &&
				   d.message.stream_commit.xid == golden::kXid &&
				   d.message.stream_commit.commit_lsn == golden::kLsn &&
				   d.message.stream_commit.end_lsn == golden::kEndLsn,
			   "stream commit");

	d = decode("stream_abort");
	tap::check(d.message.kind == MessageKind::stream_abort &&
				   d.message.stream_abort.xid == golden::kXid &&
				   d.message.stream_abort.subxid == golden::kXid + 1 &&
				   !d.message.stream_abort.has_position,
			   "stream abort");

	d = decode("stream_abort_whole");
	tap::check(d.message.stream_abort.subxid == d.message.stream_abort.xid,
			   "stream abort of the whole transaction");

	d = decode("stream_abort_v4");
	tap::check(d.message.stream_abort.has_position &&
				   d.message.stream_abort.abort_lsn == golden::kLsn &&
				   d.message.stream_abort.abort_time == static_cast<int64_t>(golden::kTime),
			   "stream abort with a position");

	const std::pair<const char *, MessageKind> prepared[] = {
		{"begin_prepare", MessageKind::begin_prepare},
		{"prepare", MessageKind::prepare},
		{"commit_prepared", MessageKind::commit_prepared},
		{"stream_prepare", MessageKind::stream_prepare},
	};
	for (const auto &[name, kind] : prepared)
	{
		d = decode(name);
		const wire::Prepared &p = d.message.prepared;

		tap::check(d.status == DecodeStatus::ok && d.message.kind == kind &&
					   p.lsn == golden::kLsn && p.end_lsn == golden::kEndLsn &&
					   p.xid == golden::kXid && p.gid == "gid 1",
				   name);
	}

	d = decode("rollback_prepared");
	const wire::RollbackPrepared &r = d.message.rollback_prepared;
	tap::check(d.message.kind == MessageKind::rollback_prepared &&
				   r.prepare_end_lsn == golden::kLsn && r.rollback_end_lsn == golden::kEndLsn &&
				   r.rollback_time == static_cast<int64_t>(golden::kTime) + 1 &&
				   r.xid == golden::kXid && r.gid == "gid 1",
			   "rollback prepared");
}

static void
test_relations()
{
	for (const char *name : {"relation", "relation_in_stream"})
	{
		Decoded d = decode(name);
		const wire::RelationMessage &r = d.message.relation;
		wire::RelationColumnCursor cursor(r);
		wire::RelationColumn id = cursor.next();
		wire::RelationColumn price = cursor.next();
		wire::RelationColumn unnamed = cursor.next();

		tap::check(d.message.kind == MessageKind::relation && r.relid == golden::kRelid &&
					   r.nspname == "public" && r.relname == "orders" &&
					   r.replica_identity == 'd' && r.column_count == 3,
				   name);
		tap::check(id.is_key && id.name == "id" && id.type_oid == 20 && id.type_modifier == -1 &&
					   !price.is_key && price.name == "price" && price.type_modifier == 0xA0006 &&
					   unnamed.name.empty() && unnamed.type_oid == 25,
				   std::string(name) + ": columns");
	}
	tap::check(decode("relation_in_stream").message.xid == golden::kXid, "relation: prefix");
	tap::check(decode("relation_without_columns").message.relation.nspname.empty(),
			   "relation: the empty schema name is kept");

	Decoded d = decode("type");
	tap::check(d.message.kind == MessageKind::type && d.message.type.type_oid == 16999 &&
				   d.message.type.nspname == "app" && d.message.type.name == "mood",
			   "type");

	d = decode("truncate");
	tap::check(d.message.truncate.count == 2 && d.message.truncate.cascade &&
				   d.message.truncate.restart_identity &&
				   d.message.truncate.relid(0) == golden::kRelid &&
				   d.message.truncate.relid(1) == golden::kRelid + 1,
			   "truncate");
}

static void
test_changes()
{
	wire::Value values[4];

	for (const char *name : {"insert", "insert_in_stream"})
	{
		Decoded d = decode(name);

		wire::read_values(d.message.change.new_tuple, values);
		tap::check(d.message.kind == MessageKind::insert &&
					   d.message.change.relid == golden::kRelid && d.message.change.old_kind == 0 &&
					   !d.message.change.old_tuple.is_present() &&
					   d.message.change.new_tuple.columns == 4 &&
					   is_value(values[0], wire::ValueKind::text, "1") &&
					   is_value(values[1], wire::ValueKind::null, "") &&
					   is_value(values[2], wire::ValueKind::binary, {"\0\1", 2}) &&
					   is_value(values[3], wire::ValueKind::text, ""),
				   name);
		tap::check(d.message.xid == (name == std::string("insert") ? 0 : golden::kXid),
				   std::string(name) + ": prefix");
	}

	Decoded d = decode("insert_unchanged");
	wire::read_values(d.message.change.new_tuple, values);
	tap::check(is_value(values[1], wire::ValueKind::unchanged, ""), "insert with unchanged value");

	d = decode("insert_without_columns");
	tap::check(d.message.change.new_tuple.is_present() && d.message.change.new_tuple.columns == 0,
			   "insert without columns is not an absent tuple");

	d = decode("update");
	tap::check(d.message.kind == MessageKind::update && d.message.change.old_kind == 0 &&
				   !d.message.change.old_tuple.is_present(),
			   "update");

	d = decode("update_key");
	wire::read_values(d.message.change.old_tuple, values);
	wire::read_values(d.message.change.new_tuple, values + 2);
	tap::check(d.message.change.old_kind == 'K' &&
				   is_value(values[0], wire::ValueKind::text, "1") &&
				   is_value(values[1], wire::ValueKind::null, "") &&
				   is_value(values[2], wire::ValueKind::text, "2") &&
				   is_value(values[3], wire::ValueKind::unchanged, ""),
			   "update with old key");

	for (const char *name : {"update_binary", "update_binary_in_stream"})
	{
		d = decode(name);
		wire::read_values(d.message.change.old_tuple, values);
		wire::read_values(d.message.change.new_tuple, values + 2);
		tap::check(is_value(values[0], wire::ValueKind::binary, {"\0\0\0\1", 4}) &&
					   is_value(values[2], wire::ValueKind::binary, {"\0\0\0\2", 4}) &&
					   is_value(values[3], wire::ValueKind::text, "no binary form"),
				   std::string(name) + ": binary and text in one row");
	}
	tap::check(decode("update_full").message.change.old_kind == 'O', "update with old row");

	d = decode("delete_key");
	tap::check(d.message.kind == MessageKind::del && d.message.change.old_kind == 'K' &&
				   !d.message.change.new_tuple.is_present(),
			   "delete by key");
	tap::check(decode("delete_full").message.change.old_kind == 'O', "delete of a whole row");
}

/* Cut at every length, prolonged by a byte, and with every byte set to some other values. */
static void
test_damage()
{
	tap::Collection whole, cut, prolonged, changed;

	for (const golden::Message &m : golden::messages())
	{
		whole.collect(decode(m.bytes, m.in_stream).status == DecodeStatus::ok, m.name);

		for (size_t size = 0; size < m.bytes.size(); size++)
		{
			Decoded d = decode(m.bytes.substr(0, size), m.in_stream);

			/* The one message whose tail is optional. */
			bool is_short_abort = m.name == "stream_abort_v4" && size == 9;
			cut.collect(d.status == (is_short_abort ? DecodeStatus::ok : DecodeStatus::truncated),
						m.name + " cut at " + std::to_string(size));
		}

		Decoded longer = decode(m.bytes + '\0', m.in_stream);
		prolonged.collect(longer.status ==
							  (m.name == "stream_abort" || m.name == "stream_abort_whole"
								   ? DecodeStatus::truncated
								   : DecodeStatus::trailing_bytes),
						  m.name);

		for (size_t i = 0; i < m.bytes.size(); i++)
		{
			for (int value : {0, 1, 0x7F, 0x80, 0xFF, int('K'), int('N'), int('t'), int('u')})
			{
				std::string damaged = m.bytes;

				damaged[i] = static_cast<char>(value);
				decode(damaged, m.in_stream);
				decode(damaged, !m.in_stream);
				changed.collect(true, "");
			}
		}
	}
	whole.finish("every golden message is decoded");
	cut.finish("a message cut at any length is truncated");
	prolonged.finish("a byte too many is noticed");
	changed.finish("damaged bytes never lead out of the buffer");
}

/* Whoever keeps the messages of a piece takes the xid out, and decodes them as plain ones later. */
static void
test_prefix()
{
	tap::Collection same;
	size_t pairs = 0;

	for (const golden::Message &m : golden::messages())
	{
		if (!m.in_stream)
			continue;
		std::string plain = m.bytes.substr(0, 1) + m.bytes.substr(5);
		Decoded with = decode(m.bytes, true);
		Decoded without = decode(plain, false);

		with.message.xid = 0;
		same.collect(without.status == DecodeStatus::ok &&
						 walk::sum_message(with.message) == walk::sum_message(without.message),
					 m.name);
		pairs++;
	}
	tap::check(pairs > 10, "there are messages with a prefix");
	same.finish("without its prefix a message says the same");
}

static void
test_bad_values()
{
	auto status = [](const Bytes &bytes) { return decode(bytes.str(), false).status; };

	tap::check(status(Bytes()) == DecodeStatus::truncated, "no bytes at all");
	tap::check(status(Bytes('Z')) == DecodeStatus::unknown_message, "unknown message");
	tap::check(status(Bytes('I').u32(1).u8('X').u16(0)) == DecodeStatus::bad_value,
			   "insert without a new tuple");
	tap::check(status(Bytes('I').u32(1).u8('N').u16(1).u8('x')) == DecodeStatus::bad_value,
			   "unknown kind of value");
	tap::check(status(Bytes('I').u32(1).u8('N').u16(1).u8('t').u32(0xFFFFFFFF)) ==
				   DecodeStatus::bad_value,
			   "negative length of a value");
	tap::check(status(Bytes('I').u32(1).u8('N').u16(1).u8('t').u32(0x7FFFFFFF)) ==
				   DecodeStatus::truncated,
			   "length of a value past the end");
	tap::check(status(Bytes('I').u32(1).u8('N').u16(0xFFFF).null()) == DecodeStatus::truncated,
			   "more columns than bytes");
	tap::check(status(Bytes('U').u32(1).u8('O').u16(0)) == DecodeStatus::truncated,
			   "update with an old tuple only");
	tap::check(status(Bytes('D').u32(1).u8('N').u16(0)) == DecodeStatus::bad_value,
			   "delete with a new tuple");
	tap::check(status(Bytes('T').u32(0x40000001).u8(0).u32(1)) == DecodeStatus::truncated,
			   "a number of relations that overflows when multiplied");
	tap::check(status(Bytes('T').u32(0xFFFFFFFF).u8(0)) == DecodeStatus::bad_value,
			   "negative number of relations");
	tap::check(status(Bytes('R').u32(1).cstring("a").cstring("b").u8('x').u16(0)) ==
				   DecodeStatus::bad_value,
			   "unknown replica identity");
	tap::check(status(Bytes('M').u8(0).u64(1).cstring("p").u32(0x80000000)) ==
				   DecodeStatus::bad_value,
			   "negative length of a message");
	tap::check(std::string(wire::describe(DecodeStatus::truncated)) == "message ends too early",
			   "a status has a description");
}

static void
test_garbage()
{
	std::mt19937 random(20240501);
	const std::string tags = "BCORYIUDTMSEcAbPKrp";
	tap::Collection all;

	for (int round = 0; round < 200000; round++)
	{
		std::string bytes(1, tags[random() % tags.size()]);
		size_t size = random() % 60;

		/* Small bytes make plausible counts and lengths, letters make plausible kinds. */
		for (size_t i = 0; i < size; i++)
		{
			switch (random() % 3)
			{
				case 0:
					bytes.push_back(static_cast<char>(random() % 3));
					break;
				case 1:
					bytes.push_back("NKOnutb"[random() % 7]);
					break;
				default:
					bytes.push_back(static_cast<char>(random()));
			}
		}
		decode(bytes, random() % 2 == 0);
		all.collect(true, "");
	}
	all.finish("random bytes");
}

static void
test_reader()
{
	wire::Reader reader(std::string_view("\x01\x02\x03", 3));

	tap::check(reader.u16() == 0x0102 && reader.ok() && reader.remaining() == 1,
			   "reader: a number");
	tap::check(reader.u32() == 0 && !reader.ok(), "reader: a number past the end");
	tap::check(reader.u8() == 0 && !reader.at_end() && reader.rest().empty(),
			   "reader: failure is sticky");

	wire::Reader empty(std::string_view{});
	tap::check(empty.at_end() && empty.bytes(0).empty() && empty.ok() && empty.cstring().empty() &&
				   !empty.ok(),
			   "reader: nothing to read");
}

int
main()
{
	test_reader();
	test_transactions();
	test_relations();
	test_changes();
	test_prefix();
	test_bad_values();
	test_damage();
	test_garbage();
	printf("# walked: %llu\n", static_cast<unsigned long long>(walked));
	return tap::finish();
}
