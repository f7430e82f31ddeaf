/*
 * test/unit/walk.hpp
 *
 * Owns: touching every byte that a decoded message points to.
 *
 * In: a message that decode() called ok. Out: a sum over all that it holds, so that the compiler
 * cannot leave the reads out.
 *
 * Must not know: whether the message makes sense.
 *
 * The surprising thing: it checks nothing itself. Under AddressSanitizer the walk is the check:
 * cursors that decode() should have refused run out of the buffer here.
 */
#ifndef LIVESYNC_TEST_UNIT_WALK_HPP
#define LIVESYNC_TEST_UNIT_WALK_HPP

#include <memory>

#include "wire/pgoutput.hpp"

namespace walk
{

inline uint64_t
sum_bytes(std::string_view bytes)
{
	uint64_t sum = bytes.size();

	for (char c : bytes)
		sum = sum * 31 + static_cast<unsigned char>(c);
	return sum;
}

inline uint64_t
sum_tuple(const wire::Tuple &tuple)
{
	if (!tuple.is_present())
		return 1;

	auto values = std::make_unique<wire::Value[]>(tuple.columns);
	uint64_t sum = sum_bytes({tuple.body, tuple.size});

	wire::read_values(tuple, values.get());
	for (uint16_t i = 0; i < tuple.columns; i++)
		sum += static_cast<uint64_t>(values[i].kind) + sum_bytes(values[i].bytes);
	return sum;
}

inline uint64_t
sum_message(const wire::Message &m)
{
	uint64_t sum = m.xid + sum_bytes(wire::describe(m.kind));

	switch (m.kind)
	{
		case wire::MessageKind::begin:
		case wire::MessageKind::commit:
		case wire::MessageKind::stream_start:
		case wire::MessageKind::stream_stop:
		case wire::MessageKind::stream_commit:
		case wire::MessageKind::stream_abort:
			return sum;
		case wire::MessageKind::origin:
			return sum + sum_bytes(m.origin.name);
		case wire::MessageKind::relation:
		{
			wire::RelationColumnCursor cursor(m.relation);

			sum += sum_bytes(m.relation.nspname) + sum_bytes(m.relation.relname);
			for (uint16_t i = 0; i < m.relation.column_count; i++)
			{
				wire::RelationColumn column = cursor.next();

				sum += sum_bytes(column.name) + column.type_oid +
					   static_cast<uint64_t>(column.type_modifier) + (column.is_key ? 1 : 0);
			}
			return sum;
		}
		case wire::MessageKind::type:
			return sum + sum_bytes(m.type.nspname) + sum_bytes(m.type.name);
		case wire::MessageKind::insert:
		case wire::MessageKind::update:
		case wire::MessageKind::del:
			return sum + sum_tuple(m.change.old_tuple) + sum_tuple(m.change.new_tuple);
		case wire::MessageKind::truncate:
			for (uint32_t i = 0; i < m.truncate.count; i++)
				sum += m.truncate.relid(i);
			return sum;
		case wire::MessageKind::message:
			return sum + sum_bytes(m.message.prefix) + sum_bytes(m.message.content);
		case wire::MessageKind::begin_prepare:
		case wire::MessageKind::prepare:
		case wire::MessageKind::commit_prepared:
		case wire::MessageKind::stream_prepare:
			return sum + sum_bytes(m.prepared.gid);
		case wire::MessageKind::rollback_prepared:
			return sum + sum_bytes(m.rollback_prepared.gid);
	}
	return sum;
}

} // namespace walk

#endif
