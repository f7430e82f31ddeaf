/*
 * test/fuzz/pgoutput_fuzz.cpp
 *
 * Owns: the fuzz target of the decoder: whatever decode() accepts, it walks to the last byte.
 *
 * In: one byte that says whether the message stands inside a stream (bit 0), then the message.
 * Out: nothing; a read out of bounds stops the program.
 *
 * Must not know: what a message means.
 *
 * The surprising thing: the input is copied once more. libFuzzer hands out exact buffers only from
 * time to time, and the message starts one byte into it.
 */
#include <cstring>
#include <memory>

#include "walk.hpp"

/* Visible from outside, so that the compiler has to compute the sums. */
uint64_t walked;

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;

	bool in_stream = (data[0] & 1) != 0;
	size_t message_size = size - 1;
	std::unique_ptr<char[]> block(new char[message_size]);
	wire::Message message;

	memcpy(block.get(), data + 1, message_size);
	if (wire::decode({block.get(), message_size}, in_stream, &message) == wire::DecodeStatus::ok)
		walked += walk::sum_message(message);
	return 0;
}
