/*
 * source/waiting.hpp
 *
 * How every call of this room that waits does its waiting: for a socket, the latch and interrupts
 * at once, in steps of at most a second, between which the function given to set_while_waiting()
 * is called.
 *
 * Surprising: such a wait swallows the process's latch, which may have been set for somebody else.
 * end_waiting() sets it again, so the main loop looks around once too often rather than too late.
 */
#pragma once

#include "base/pg.hpp"

namespace source
{

/* One step: returns the WL_SOCKET_* events that came, 0 when none did. */
int wait_step(int socket, int events, long timeout_ms);
void end_waiting();

void pause_ms(long ms);

/* Milliseconds until then, never less than 0. */
long remaining_ms(TimestampTz deadline);

} // namespace source
