/*
 * wire/reader.hpp
 *
 * Owns: taking big-endian numbers, NUL-terminated strings and runs of bytes out of a buffer that
 * came over the network, and the one list of ways in which that can go wrong (DecodeStatus).
 *
 * In: a view of bytes that somebody else keeps alive. Out: plain numbers, and views into those
 * same bytes; nothing is copied or allocated.
 *
 * Must not know: which message the bytes are part of, or anything of the server.
 *
 * The surprising thing: failure is sticky and silent. Once a read went past the end, that read and
 * every later one returns zero or an empty view, and ok() stays false. So a decoder reads a whole
 * message straight through and asks once; it must only not trust what it read before it asked.
 */
#ifndef LIVESYNC_WIRE_READER_HPP
#define LIVESYNC_WIRE_READER_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace wire
{

enum class DecodeStatus : uint8_t
{
	ok,
	truncated,		 /* the bytes end before the message does */
	trailing_bytes,	 /* the message ends before the bytes do */
	unknown_message, /* no message starts with this byte */
	bad_value		 /* a field holds what the format does not allow */
};

constexpr const char *
describe(DecodeStatus status)
{
	switch (status)
	{
		case DecodeStatus::ok:
			return "ok";
		case DecodeStatus::truncated:
			return "message ends too early";
		case DecodeStatus::trailing_bytes:
			return "unexpected bytes after the end of the message";
		case DecodeStatus::unknown_message:
			return "unknown message type";
		case DecodeStatus::bad_value:
			return "message has a field with an invalid value";
	}
	return "invalid status";
}

/* Memory to host order, for an address of any alignment. The caller has checked the bounds. */
template <typename Unsigned>
inline Unsigned
load_big_endian(const char *from)
{
	Unsigned value;

	memcpy(&value, from, sizeof(value));
	if constexpr (sizeof(Unsigned) == 1 || std::endian::native == std::endian::big)
		return value;
	else if constexpr (sizeof(Unsigned) == 2)
		return __builtin_bswap16(value);
	else if constexpr (sizeof(Unsigned) == 4)
		return __builtin_bswap32(value);
	else
	{
		static_assert(sizeof(Unsigned) == 8);
		return __builtin_bswap64(value);
	}
}

class Reader
{
public:
	explicit Reader(std::string_view bytes)
		: next_(bytes.data()), end_(bytes.data() + bytes.size()), ok_(true)
	{
	}

	explicit Reader(std::span<const char> bytes)
		: Reader(std::string_view(bytes.data(), bytes.size()))
	{
	}

	bool ok() const
	{
		return ok_;
	}

	/* False after a failure: nothing was read to its end then. */
	bool at_end() const
	{
		return ok_ && next_ == end_;
	}

	size_t remaining() const
	{
		return ok_ ? static_cast<size_t>(end_ - next_) : 0;
	}

	/* Where the next read starts; for remembering a part that is to be walked again later. */
	const char *position() const
	{
		return next_;
	}

	uint8_t u8()
	{
		return number<uint8_t>();
	}

	uint16_t u16()
	{
		return number<uint16_t>();
	}

	uint32_t u32()
	{
		return number<uint32_t>();
	}

	uint64_t u64()
	{
		return number<uint64_t>();
	}

	int64_t i64()
	{
		return static_cast<int64_t>(number<uint64_t>());
	}

	/* The string without its NUL; a missing NUL is a failure. */
	std::string_view cstring()
	{
		size_t left = remaining();

		/* memchr must not be given a null pointer, and an empty view may have one */
		const void *nul = left == 0 ? nullptr : memchr(next_, '\0', left);
		if (nul == nullptr)
		{
			ok_ = false;
			return {};
		}

		std::string_view text(next_, static_cast<size_t>(static_cast<const char *>(nul) - next_));
		next_ += text.size() + 1;
		return text;
	}

	std::string_view bytes(size_t size)
	{
		if (!has(size))
			return {};

		std::string_view taken(next_, size);
		next_ += size;
		return taken;
	}

	/* Everything that is left. */
	std::string_view rest()
	{
		return bytes(remaining());
	}

private:
	bool has(size_t size)
	{
		if (!ok_ || static_cast<size_t>(end_ - next_) < size)
			ok_ = false;
		return ok_;
	}

	template <typename Unsigned> Unsigned number()
	{
		if (!has(sizeof(Unsigned)))
			return 0;

		Unsigned value = load_big_endian<Unsigned>(next_);
		next_ += sizeof(Unsigned);
		return value;
	}

	const char *next_;
	const char *end_;
	bool ok_;
};

} // namespace wire

#endif
