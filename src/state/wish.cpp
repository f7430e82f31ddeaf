/*
 * state/wish.cpp
 *
 * See wish.hpp.
 */
#include "state/wish.hpp"

using namespace base;

namespace state
{
namespace
{

struct WishWord
{
	Wish wish;
	const char *word;
};

constexpr WishWord kWishWords[] = {
	{Wish::pause, "pause"},
	{Wish::skip, "skip"},
};

const char *
wish_name(Wish wish)
{
	for (const WishWord &it : kWishWords)
		if (wish == it.wish)
			return it.word;
	elog(ERROR, "unknown wish for a synced table");
}

} // namespace

Wish
wish_of_word(const char *word)
{
	for (const WishWord &it : kWishWords)
		if (word != nullptr && strcmp(word, it.word) == 0)
			return it.wish;
	return Wish::none;
}

bool
make_wish(int64 id, Wish wish)
{
	return run_alone("INSERT INTO livesync.wish (table_id, wanted) VALUES ($1, $2) "
					 "ON CONFLICT DO NOTHING",
					 {bigint_value(id), text_value(wish_name(wish))}) == 1;
}

bool
cancel_wish(int64 id, Wish wish)
{
	return run_alone("DELETE FROM livesync.wish WHERE table_id = $1 AND wanted = $2",
					 {bigint_value(id), text_value(wish_name(wish))}) == 1;
}

bool
try_take_wish(int64 id, Wish wish)
{
	return run_alone("DELETE FROM livesync.wish WHERE table_id IN (SELECT table_id "
					 "FROM livesync.wish WHERE table_id = $1 AND wanted = $2 "
					 "FOR UPDATE SKIP LOCKED)",
					 {bigint_value(id), text_value(wish_name(wish))}) == 1;
}

bool
has_wish(int64 id)
{
	return run_alone("SELECT FROM livesync.wish WHERE table_id = $1", {bigint_value(id)}) == 1;
}

} // namespace state
