/*
 * source/chunk_plan.hpp
 *
 * Owns: how the heap blocks of one leaf table are divided into chunks, the units of the initial
 * copy.
 *
 * In: the leaf's size in blocks when the plan is made, the wanted size of a chunk. Out: how many
 * chunks, and the block range of each. Together they cover every planned block exactly once.
 *
 * Must not know: which table, who loads the chunk, what is already done. Numbers only.
 *
 * The surprising thing: the last range ends at the planned end and is not open. Pages that appear
 * later hold only rows whose changes come through the spool, and a chunk open at its end would scan
 * a growing table for as long as it grows.
 */
#ifndef LIVESYNC_SOURCE_CHUNK_PLAN_HPP
#define LIVESYNC_SOURCE_CHUNK_PLAN_HPP

#include <cstdint>

namespace source
{

/* Blocks first <= b < end. A table has at most 2^32 - 1 blocks, so `end` always fits. */
struct BlockRange
{
	uint32_t first = 0;
	uint32_t end = 0;
};

/* How many chunks of that many blocks a leaf has; none when it is empty. */
constexpr uint32_t
chunk_count(uint32_t total_blocks, uint32_t blocks_per_chunk)
{
	if (blocks_per_chunk == 0)
		blocks_per_chunk = 1;
	return total_blocks / blocks_per_chunk + (total_blocks % blocks_per_chunk != 0 ? 1 : 0);
}

/* index < chunk_count(); a range past the end of the leaf is empty. */
constexpr BlockRange
chunk_range(uint32_t total_blocks, uint32_t blocks_per_chunk, uint32_t index)
{
	uint64_t size = blocks_per_chunk == 0 ? 1 : blocks_per_chunk;
	uint64_t first = size * index;
	uint64_t end = first + size;

	if (first > total_blocks)
		first = total_blocks;
	if (end > total_blocks)
		end = total_blocks;
	return {static_cast<uint32_t>(first), static_cast<uint32_t>(end)};
}

/*
 * The wanted size of the chunks of a table: so many that its workers end at about the same time, but
 * none so small that the round trips of its transaction count, and none bigger than the setting.
 */
constexpr uint64_t
chunk_bytes(uint64_t table_bytes, uint64_t most, uint32_t workers)
{
	constexpr uint64_t kLeast = 16 << 20;
	constexpr uint64_t kChunksEach = 8;
	uint64_t wanted = table_bytes / ((workers > 0 ? workers : 1) * kChunksEach);

	if (wanted < kLeast)
		wanted = kLeast;
	return wanted > most ? most : wanted;
}

/*
 * The blocks of one chunk: about chunk_bytes, at least one block, and grown so that a huge leaf
 * does not fill the ledger with more than max_chunks rows.
 */
constexpr uint32_t
blocks_per_chunk(uint32_t total_blocks, uint64_t chunk_bytes, uint32_t block_size,
				 uint32_t max_chunks)
{
	if (block_size == 0)
		block_size = 1;
	if (max_chunks == 0)
		max_chunks = 1;

	uint64_t wanted = chunk_bytes / block_size;
	if (wanted == 0)
		wanted = 1;

	uint64_t needed = (static_cast<uint64_t>(total_blocks) + max_chunks - 1) / max_chunks;
	if (wanted < needed)
		wanted = needed;
	return wanted > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(wanted);
}

} // namespace source

#endif
