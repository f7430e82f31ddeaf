/*
 * worker/pace.hpp
 *
 * The limit of the copy's rate, livesync.copy_rate: each copy worker books what it copied on the account that all of a
 * connector share, and waits until the account is even.
 *
 * Surprising: it is called below C's stdio, so it raises nothing and handles no interrupt; it ends its wait for one.
 */
#pragma once

#include "base/pg.hpp"

namespace worker
{

struct Pace
{
	uint64 unbooked;
};

/* True when it had to wait. */
bool pace_copy(Pace *pace, size_t bytes);

} // namespace worker
