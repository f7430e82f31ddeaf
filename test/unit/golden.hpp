/*
 * test/unit/golden.hpp
 *
 * Owns: one well-formed pgoutput message of every kind and shape, as bytes.
 *
 * In: nothing. Out: the list, for the decoder's test and for the fuzzer's first corpus.
 *
 * Must not know: the decoder. The bytes are put together here from the documented formats, so that
 * a misreading shared with the decoder is at least written twice.
 *
 * The surprising thing: C++ strings end at the first NUL unless told otherwise, hence the builder.
 */
#ifndef LIVESYNC_TEST_UNIT_GOLDEN_HPP
#define LIVESYNC_TEST_UNIT_GOLDEN_HPP

#include <cstdint>
#include <string>
#include <vector>

namespace golden
{

class Bytes
{
public:
	explicit Bytes(char tag) : data_(1, tag)
	{
	}

	Bytes() = default;

	Bytes &u8(uint8_t value)
	{
		data_.push_back(static_cast<char>(value));
		return *this;
	}

	Bytes &u16(uint16_t value)
	{
		return u8(static_cast<uint8_t>(value >> 8)).u8(static_cast<uint8_t>(value));
	}

	Bytes &u32(uint32_t value)
	{
		return u16(static_cast<uint16_t>(value >> 16)).u16(static_cast<uint16_t>(value));
	}

	Bytes &u64(uint64_t value)
	{
		return u32(static_cast<uint32_t>(value >> 32)).u32(static_cast<uint32_t>(value));
	}

	Bytes &cstring(const std::string &text)
	{
		data_ += text;
		return u8(0);
	}

	Bytes &raw(const std::string &text)
	{
		data_ += text;
		return *this;
	}

	Bytes &text(const std::string &value)
	{
		return u8('t').u32(static_cast<uint32_t>(value.size())).raw(value);
	}

	Bytes &binary(const std::string &value)
	{
		return u8('b').u32(static_cast<uint32_t>(value.size())).raw(value);
	}

	Bytes &null()
	{
		return u8('n');
	}

	Bytes &unchanged()
	{
		return u8('u');
	}

	const std::string &str() const
	{
		return data_;
	}

private:
	std::string data_ = {};
};

struct Message
{
	std::string name;
	bool in_stream;
	std::string bytes;
};

constexpr uint64_t kLsn = 0x0000001612345678;
constexpr uint64_t kEndLsn = 0x00000016FFFFFFF0;
constexpr uint64_t kTime = 0x0002A1B2C3D4E5F6;
constexpr uint32_t kXid = 0xF0000745;
constexpr uint32_t kRelid = 0x00014031;

inline std::vector<Message>
messages()
{
	std::vector<Message> list;
	auto add = [&](const std::string &name, const Bytes &bytes) {
		list.push_back({name, false, bytes.str()});
	};

	/* The kinds with a prefix, once without and once with it. */
	auto add_both = [&](const std::string &name, char tag, const Bytes &body) {
		list.push_back({name, false, Bytes(tag).raw(body.str()).str()});
		list.push_back({name + "_in_stream", true, Bytes(tag).u32(kXid).raw(body.str()).str()});
	};

	add("begin", Bytes('B').u64(kLsn).u64(kTime).u32(kXid));
	add("commit", Bytes('C').u8(0).u64(kLsn).u64(kEndLsn).u64(kTime));
	add("origin", Bytes('O').u64(kLsn).cstring("node_a"));
	add_both("relation", 'R',
			 Bytes()
				 .u32(kRelid)
				 .cstring("public")
				 .cstring("orders")
				 .u8('d')
				 .u16(3)
				 .u8(1)
				 .cstring("id")
				 .u32(20)
				 .u32(0xFFFFFFFF)
				 .u8(0)
				 .cstring("price")
				 .u32(1700)
				 .u32(0x000A0006)
				 .u8(0)
				 .cstring("")
				 .u32(25)
				 .u32(0xFFFFFFFF));
	add("relation_without_columns",
		Bytes('R').u32(kRelid).cstring("").cstring("pg_thing").u8('n').u16(0));
	add_both("type", 'Y', Bytes().u32(16999).cstring("app").cstring("mood"));
	add_both("insert", 'I',
			 Bytes()
				 .u32(kRelid)
				 .u8('N')
				 .u16(4)
				 .text("1")
				 .null()
				 .binary(std::string("\0\1", 2))
				 .text(""));
	add_both("insert_unchanged", 'I', Bytes().u32(kRelid).u8('N').u16(2).text("t").unchanged());
	add("insert_without_columns", Bytes('I').u32(kRelid).u8('N').u16(0));
	add_both("update", 'U', Bytes().u32(kRelid).u8('N').u16(2).text("1").text("new"));
	add_both(
		"update_key", 'U',
		Bytes().u32(kRelid).u8('K').u16(2).text("1").null().u8('N').u16(2).text("2").unchanged());
	add_both("update_binary", 'U',
			 Bytes()
				 .u32(kRelid)
				 .u8('K')
				 .u16(2)
				 .binary(std::string("\0\0\0\1", 4))
				 .null()
				 .u8('N')
				 .u16(2)
				 .binary(std::string("\0\0\0\2", 4))
				 .text("no binary form"));
	add_both("update_full", 'U',
			 Bytes().u32(kRelid).u8('O').u16(2).text("1").text("old").u8('N').u16(2).text("1").text(
				 "new"));
	add_both("delete_key", 'D', Bytes().u32(kRelid).u8('K').u16(2).text("1").null());
	add_both("delete_full", 'D', Bytes().u32(kRelid).u8('O').u16(2).text("1").text("old"));
	add_both("truncate", 'T', Bytes().u32(2).u8(3).u32(kRelid).u32(kRelid + 1));
	add_both("message", 'M', Bytes().u8(1).u64(kLsn).cstring("prefix").u32(3).raw("abc"));
	add("message_empty", Bytes('M').u8(0).u64(kLsn).cstring("").u32(0));
	add("stream_start", Bytes('S').u32(kXid).u8(1));
	add("stream_start_again", Bytes('S').u32(kXid).u8(0));
	add("stream_stop", Bytes('E'));
	add("stream_commit", Bytes('c').u32(kXid).u8(0).u64(kLsn).u64(kEndLsn).u64(kTime));
	add("stream_abort", Bytes('A').u32(kXid).u32(kXid + 1));
	add("stream_abort_whole", Bytes('A').u32(kXid).u32(kXid));
	add("stream_abort_v4", Bytes('A').u32(kXid).u32(kXid + 1).u64(kLsn).u64(kTime));
	add("begin_prepare", Bytes('b').u64(kLsn).u64(kEndLsn).u64(kTime).u32(kXid).cstring("gid 1"));
	add("prepare", Bytes('P').u8(0).u64(kLsn).u64(kEndLsn).u64(kTime).u32(kXid).cstring("gid 1"));
	add("commit_prepared",
		Bytes('K').u8(0).u64(kLsn).u64(kEndLsn).u64(kTime).u32(kXid).cstring("gid 1"));
	add("rollback_prepared",
		Bytes('r').u8(0).u64(kLsn).u64(kEndLsn).u64(kTime).u64(kTime + 1).u32(kXid).cstring(
			"gid 1"));
	add("stream_prepare",
		Bytes('p').u8(0).u64(kLsn).u64(kEndLsn).u64(kTime).u32(kXid).cstring("gid 1"));
	return list;
}

} // namespace golden

#endif
