/*
 * wire/lsn.hpp
 *
 * Owns: a position in the write-ahead log as a number, and its text form "16/B374D848".
 *
 * In: text from a query result or a timeline history file. Out: the number, or the text written
 * into a buffer of the caller.
 *
 * Must not know: whose log it is (ours or the source's; the type is the same, so names have to
 * say which), or anything of the server.
 *
 * The surprising thing: zero is a well-formed text ("0/0") but no position; the server uses it as
 * "none" and so do we. parse_lsn() accepts it, the caller decides.
 */
#ifndef LIVESYNC_WIRE_LSN_HPP
#define LIVESYNC_WIRE_LSN_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wire
{

using Lsn = uint64_t;

constexpr Lsn kInvalidLsn = 0;
constexpr size_t kLsnTextSize = 32;

/* One half of the text: 1 to 8 hexadecimal digits of either case, nothing else. */
constexpr bool
parse_lsn_half(std::string_view text, uint32_t *out)
{
	if (text.empty() || text.size() > 8)
		return false;

	uint32_t value = 0;
	for (char c : text)
	{
		uint32_t digit = 0;

		if (c >= '0' && c <= '9')
			digit = static_cast<uint32_t>(c - '0');
		else if (c >= 'A' && c <= 'F')
			digit = static_cast<uint32_t>(c - 'A') + 10;
		else if (c >= 'a' && c <= 'f')
			digit = static_cast<uint32_t>(c - 'a') + 10;
		else
			return false;
		value = value << 4 | digit;
	}
	*out = value;
	return true;
}

/* False, with *out untouched, unless the whole text is one position. */
constexpr bool
parse_lsn(std::string_view text, Lsn *out)
{
	size_t slash = 0;
	uint32_t high = 0;
	uint32_t low = 0;

	/*
	 * By hand: string_view::substr() throws and find() catches (it is noexcept), and either would
	 * tie us to libstdc++ at run time.
	 */
	while (slash < text.size() && text[slash] != '/')
		slash++;
	if (slash == text.size() || !parse_lsn_half({text.data(), slash}, &high) ||
		!parse_lsn_half({text.data() + slash + 1, text.size() - slash - 1}, &low))
		return false;
	*out = static_cast<Lsn>(high) << 32 | low;
	return true;
}

/*
 * Writes the text with a terminating NUL; the view returned is of the same text. By hand and not
 * by snprintf(): that name is a macro for the server's function wherever its headers came first.
 */
constexpr std::string_view
format_lsn(Lsn lsn, char (&out)[kLsnTextSize])
{
	size_t size = 0;
	uint32_t halves[2] = {static_cast<uint32_t>(lsn >> 32), static_cast<uint32_t>(lsn)};

	for (int half = 0; half < 2; half++)
	{
		bool started = false;

		if (half == 1)
			out[size++] = '/';
		for (int shift = 28; shift >= 0; shift -= 4)
		{
			uint32_t digit = halves[half] >> shift & 0xF;

			started = started || digit != 0 || shift == 0;
			if (started)
				out[size++] = "0123456789ABCDEF"[digit];
		}
	}
	out[size] = '\0';
	return {out, size};
}

} // namespace wire

#endif
