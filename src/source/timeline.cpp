/*
 * source/timeline.cpp
 *
 * Owns: parsing the lines of a timeline history file.
 *
 * In: the content. Out: one switch point.
 *
 * Must not know: the server; its own parser reads local files only.
 *
 * The surprising thing: the server writes tabs but reads any white space, and allows comments and
 * empty lines, since administrators may edit the file; so do we.
 */
#include "source/timeline.hpp"

#ifdef POSTGRES_H
#error "source/timeline is pure: no server header may be included here"
#endif

namespace source
{

namespace
{

bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

std::string_view
skip_space(std::string_view text)
{
	while (!text.empty() && is_space(text.front()))
		text.remove_prefix(1);
	return text;
}

std::string_view
take_word(std::string_view *text)
{
	size_t size = 0;

	*text = skip_space(*text);
	while (size < text->size() && !is_space((*text)[size]))
		size++;

	std::string_view word(text->data(), size);
	text->remove_prefix(size);
	return word;
}

std::string_view
take_line(std::string_view *text)
{
	size_t size = 0;

	/* By hand, since find() would drag in an exception table; see wire/lsn.hpp. */
	while (size < text->size() && (*text)[size] != '\n')
		size++;

	std::string_view line(text->data(), size);
	text->remove_prefix(size == text->size() ? size : size + 1);
	return line;
}

bool
parse_timeline(std::string_view word, uint32_t *out)
{
	uint64_t value = 0;

	if (word.empty() || word.size() > 10)
		return false;
	for (char c : word)
	{
		if (c < '0' || c > '9')
			return false;
		value = value * 10 + static_cast<uint64_t>(c - '0');
	}
	if (value > UINT32_MAX)
		return false;
	*out = static_cast<uint32_t>(value);
	return true;
}

} // namespace

bool
switch_point(std::string_view content, uint32_t timeline, wire::Lsn *out)
{
	while (!content.empty())
	{
		std::string_view line = skip_space(take_line(&content));
		uint32_t listed = 0;
		wire::Lsn lsn = wire::kInvalidLsn;

		if (line.empty() || line.front() == '#')
			continue;
		if (!parse_timeline(take_word(&line), &listed) || !wire::parse_lsn(take_word(&line), &lsn))
			return false;
		if (listed == timeline)
		{
			*out = lsn;
			return true;
		}
	}
	return false;
}

} // namespace source
