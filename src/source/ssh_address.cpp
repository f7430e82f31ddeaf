/*
 * source/ssh_address.cpp
 *
 * See ssh_address.hpp.
 */
#include "source/ssh_address.hpp"

namespace source
{
namespace
{

constexpr const char *kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr const char *kDigits = "0123456789";
constexpr size_t kLongest = 255;

bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != nullptr;
}

[[noreturn]] void
refuse()
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid address of an SSH server"),
			 errhint("Write user@host or user@host:port, and if you know it the key of the "
					 "host behind a space: user@host:port ssh-ed25519 AAAA...")));
}

/* Letters, digits and `others`, but a letter, a digit or an underscore first. */
char *
take_word(const char **text, const char *others)
{
	const char *end = *text;

	while (is_one_of(*end, kLetters) || is_one_of(*end, kDigits) || is_one_of(*end, others))
		end++;
	size_t length = static_cast<size_t>(end - *text);

	if (length == 0 || length > kLongest ||
		!(is_one_of(**text, kLetters) || is_one_of(**text, kDigits) || **text == '_'))
		refuse();
	char *word = pnstrdup(*text, length);

	*text = end;
	return word;
}

/* An IPv6 address stands in brackets. */
char *
take_host(const char **text)
{
	if (**text != '[')
		return take_word(text, ".-_");
	++*text;
	size_t length = strspn(*text, "0123456789abcdefABCDEF:.");

	if (length < 2 || length > kLongest || (*text)[length] != ']')
		refuse();
	char *host = pnstrdup(*text, length);

	*text += length + 1;
	return host;
}

char *
take_port(const char **text)
{
	size_t length = strspn(*text, kDigits);

	if (length == 0 || length > 5)
		refuse();
	char *port = pnstrdup(*text, length);

	if (atoi(port) < 1 || atoi(port) > 65535)
		refuse();
	*text += length;
	return port;
}

char *
take_host_key(const char **text)
{
	static const char *const kTypes[] = {"ssh-ed25519", "ecdsa-sha2-nistp256",
										 "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"};
	char *type = take_word(text, "-");
	bool is_known = false;

	for (const char *known : kTypes)
		is_known |= strcmp(type, known) == 0;
	if (!is_known || **text != ' ')
		refuse();
	++*text;
	size_t length = strspn(*text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
								  "0123456789+/=");

	if (length == 0 || length > 4096)
		refuse();
	char *key = psprintf("%s %s", type, pnstrdup(*text, length));

	*text += length;
	return key;
}

} // namespace

SshAddress
parse_ssh_address(const char *text)
{
	SshAddress it{};

	it.user = take_word(&text, "._-");
	if (*text++ != '@')
		refuse();
	it.host = take_host(&text);
	it.port = pstrdup("22");
	if (*text == ':')
		it.port = take_port(&++text);
	if (*text == ' ')
		it.host_key = take_host_key(&++text);
	if (*text != '\0')
		refuse();
	return it;
}

char *
known_hosts_line(const SshAddress &address)
{
	if (address.host_key == nullptr)
		return nullptr;
	if (strcmp(address.port, "22") == 0)
		return psprintf("%s %s\n", address.host, address.host_key);
	return psprintf("[%s]:%s %s\n", address.host, address.port, address.host_key);
}

} // namespace source
