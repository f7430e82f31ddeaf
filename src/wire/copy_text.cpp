/*
 * wire/copy_text.cpp
 *
 * See copy_text.hpp.
 */
#include "wire/copy_text.hpp"

namespace wire
{
namespace
{

char
unescaped(char letter)
{
	switch (letter)
	{
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		case 'v':
			return '\v';
	}
	return letter;
}

/* Reads up to the tab or the end; leaves *at behind the tab. */
Value
read_column(const char **at, const char *end, char **room)
{
	const char *next = *at;
	char *out = *room;

	if (end - next >= 2 && next[0] == '\\' && next[1] == 'N' &&
		(end - next == 2 || next[2] == '\t'))
	{
		*at = next + 2;
		return {ValueKind::null, {}};
	}
	while (next < end && *next != '\t')
	{
		if (*next == '\\' && next + 1 < end)
		{
			*out++ = unescaped(next[1]);
			next += 2;
		}
		else
			*out++ = *next++;
	}
	Value value{ValueKind::text, std::string_view(*room, static_cast<size_t>(out - *room))};

	*at = next;
	*room = out;
	return value;
}

} // namespace

bool
parse_copy_row(std::string_view row, Value *values, size_t columns, char *room)
{
	const char *at = row.data();
	const char *end = at + row.size();

	if (end > at && end[-1] == '\n')
		end--;
	if (columns == 0)
		return at == end;
	for (size_t i = 0; i < columns; i++)
	{
		values[i] = read_column(&at, end, &room);
		if (i + 1 < columns)
		{
			if (at >= end || *at != '\t')
				return false;
			at++;
		}
	}
	return at == end;
}

} // namespace wire
