/*
 * test/unit/chunk_plan.cpp
 *
 * Owns: the tests of source/chunk_plan.
 *
 * In: sizes, small ones by enumeration, huge ones by hand. Out: TAP.
 *
 * Must not know: the server.
 *
 * The surprising thing: none.
 */
#include <vector>

#include "source/chunk_plan.hpp"
#include "tap.hpp"

static void
test_coverage()
{
	tap::Collection coverage;

	for (uint32_t total = 0; total < 130; total++)
	{
		for (uint32_t size = 1; size < 140; size++)
		{
			std::vector<int> seen(total, 0);
			uint32_t chunks = source::chunk_count(total, size);
			uint32_t end = 0;
			bool is_fine = true;

			for (uint32_t i = 0; i < chunks; i++)
			{
				source::BlockRange range = source::chunk_range(total, size, i);

				is_fine = is_fine && range.first == end && range.end > range.first &&
						  range.end <= total && range.end - range.first <= size;
				for (uint32_t block = range.first; is_fine && block < range.end; block++)
					seen[block]++;
				end = range.end;
			}
			for (int times : seen)
				is_fine = is_fine && times == 1;
			coverage.collect(is_fine && end == total,
							 std::to_string(total) + " blocks by " + std::to_string(size));
		}
	}
	coverage.finish("every block is in exactly one chunk, in order");
}

static void
test_limits()
{
	const uint32_t largest = UINT32_MAX;

	tap::check(source::chunk_count(0, 128) == 0, "an empty leaf has no chunks");
	tap::check(source::chunk_range(0, 128, 0).end == 0, "and an empty range");
	tap::check(source::chunk_count(largest, 1) == largest, "the largest table in single blocks");
	source::BlockRange last = source::chunk_range(largest, 1u << 31, 1);
	tap::check(source::chunk_count(largest, 1u << 31) == 2 && last.first == 1u << 31 &&
				   last.end == largest,
			   "the last range of the largest table does not overflow");
	tap::check(source::chunk_range(10, 4, 2).end == 10, "the last range ends at the planned end");
	source::BlockRange behind = source::chunk_range(10, 4, 3);
	tap::check(behind.first == 10 && behind.end == 10, "a range past the end is empty");
}

static void
test_size()
{
	tap::check(source::chunk_bytes(1 << 20, 64 << 20, 4) == 16 << 20, "chunks of a small table");
	tap::check(source::chunk_bytes(1024u << 20, 64 << 20, 4) == 32 << 20,
			   "8 chunks for each worker");
	tap::check(source::chunk_bytes(1024u << 20, 64 << 20, 0) == 64 << 20, "but not above the most");
	tap::check(source::chunk_bytes(1024u << 20, 8192, 4) == 8192, "the most may be small");
	tap::check(source::blocks_per_chunk(100000, 64 << 20, 8192, 1000) == 8192, "64 MB in blocks");
	tap::check(source::blocks_per_chunk(100000, 1, 8192, UINT32_MAX) == 1, "at least one block");
	tap::check(source::blocks_per_chunk(0, 64 << 20, 8192, 1000) == 8192, "an empty leaf");
	tap::check(source::blocks_per_chunk(5, UINT64_MAX, 8192, 0) == UINT32_MAX,
			   "nonsense is brought into range");

	tap::Collection limit;
	for (uint32_t total : {1u, 999u, 1000u, 1001u, 123456789u, UINT32_MAX})
	{
		for (uint32_t max : {1u, 2u, 7u, 1000u, UINT32_MAX})
		{
			uint32_t size = source::blocks_per_chunk(total, 8192, 8192, max);

			limit.collect(source::chunk_count(total, size) <= max,
						  std::to_string(total) + " blocks in " + std::to_string(max));
		}
	}
	limit.finish("never more chunks than allowed");
}

int
main()
{
	test_coverage();
	test_limits();
	test_size();
	return tap::finish();
}
