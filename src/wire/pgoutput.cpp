/*
 * wire/pgoutput.cpp
 *
 * Owns: the checks that make the cursors of pgoutput.hpp safe. Whatever decode() accepts can be
 * walked without looking at a length again.
 *
 * In: bytes of a source that we trust to be a PostgreSQL server, and nothing more: a cut or
 * damaged message has to end as a status. Out: a Message of views.
 *
 * Must not know: the server (its headers are refused below), sessions, relations, transactions.
 *
 * The surprising thing: flags that we do not know are let through, kinds are not. The source speaks
 * the protocol version we asked for, in which unused bits mean nothing; but a kind we do not know
 * would make us lose our place in the message.
 */
#include "wire/pgoutput.hpp"

#ifdef POSTGRES_H
#error "wire/ is pure: no server header may be included here"
#endif

namespace wire
{

namespace
{

/* Larger than any message the server can build (1 GB), and small enough for Tuple's 32-bit size. */
constexpr size_t kMaxMessageSize = 0x7FFFFFFF;
constexpr uint32_t kMaxLength = 0x7FFFFFFF; /* lengths are int32 at the source */

constexpr uint8_t kTruncateCascade = 1;
constexpr uint8_t kTruncateRestartIdentity = 2;

bool
find_kind(char tag, MessageKind *out)
{
	switch (tag)
	{
		case 'B':
			*out = MessageKind::begin;
			return true;
		case 'C':
			*out = MessageKind::commit;
			return true;
		case 'O':
			*out = MessageKind::origin;
			return true;
		case 'R':
			*out = MessageKind::relation;
			return true;
		case 'Y':
			*out = MessageKind::type;
			return true;
		case 'I':
			*out = MessageKind::insert;
			return true;
		case 'U':
			*out = MessageKind::update;
			return true;
		case 'D':
			*out = MessageKind::del;
			return true;
		case 'T':
			*out = MessageKind::truncate;
			return true;
		case 'M':
			*out = MessageKind::message;
			return true;
		case 'S':
			*out = MessageKind::stream_start;
			return true;
		case 'E':
			*out = MessageKind::stream_stop;
			return true;
		case 'c':
			*out = MessageKind::stream_commit;
			return true;
		case 'A':
			*out = MessageKind::stream_abort;
			return true;
		case 'b':
			*out = MessageKind::begin_prepare;
			return true;
		case 'P':
			*out = MessageKind::prepare;
			return true;
		case 'K':
			*out = MessageKind::commit_prepared;
			return true;
		case 'r':
			*out = MessageKind::rollback_prepared;
			return true;
		case 'p':
			*out = MessageKind::stream_prepare;
			return true;
		default:
			return false;
	}
}

/*
 * The read_ functions below return false for a value that the format does not allow. What they
 * make of a message that ends too early does not matter: decode() looks at the reader first.
 */

bool
read_tuple(Reader *reader, Tuple *out)
{
	uint16_t columns = reader->u16();
	const char *body = reader->position();

	for (uint16_t i = 0; i < columns && reader->ok(); i++)
	{
		uint8_t kind = reader->u8();

		if (kind == 'n' || kind == 'u')
			continue;
		if (kind != 't' && kind != 'b')
			return false;

		uint32_t size = reader->u32();
		if (size > kMaxLength)
			return false;
		reader->bytes(size);
	}

	out->body = body;
	out->size = static_cast<uint32_t>(reader->position() - body);
	out->columns = columns;
	return true;
}

bool
read_relation(Reader *reader, RelationMessage *out)
{
	out->relid = reader->u32();
	out->nspname = reader->cstring();
	out->relname = reader->cstring();
	out->replica_identity = static_cast<char>(reader->u8());
	out->column_count = reader->u16();

	const char *columns = reader->position();
	for (uint16_t i = 0; i < out->column_count && reader->ok(); i++)
	{
		reader->u8();
		reader->cstring();
		reader->u32();
		reader->u32();
	}
	out->columns = {columns, static_cast<size_t>(reader->position() - columns)};

	char identity = out->replica_identity;
	return identity == 'd' || identity == 'n' || identity == 'f' || identity == 'i';
}

bool
read_insert(Reader *reader, Change *out)
{
	out->relid = reader->u32();
	out->old_kind = 0;
	out->old_tuple = {};
	return reader->u8() == 'N' && read_tuple(reader, &out->new_tuple);
}

bool
read_update(Reader *reader, Change *out)
{
	out->relid = reader->u32();
	out->old_kind = 0;
	out->old_tuple = {};

	char part = static_cast<char>(reader->u8());
	if (part == 'K' || part == 'O')
	{
		out->old_kind = part;
		if (!read_tuple(reader, &out->old_tuple))
			return false;
		part = static_cast<char>(reader->u8());
	}
	return part == 'N' && read_tuple(reader, &out->new_tuple);
}

bool
read_delete(Reader *reader, Change *out)
{
	out->relid = reader->u32();
	out->old_kind = static_cast<char>(reader->u8());
	out->new_tuple = {};
	return (out->old_kind == 'K' || out->old_kind == 'O') && read_tuple(reader, &out->old_tuple);
}

bool
read_truncate(Reader *reader, Truncate *out)
{
	uint32_t count = reader->u32();
	uint8_t options = reader->u8();

	out->count = count;
	out->cascade = (options & kTruncateCascade) != 0;
	out->restart_identity = (options & kTruncateRestartIdentity) != 0;
	out->relids = reader->position();
	if (count > kMaxLength)
		return false;
	reader->bytes(static_cast<size_t>(count) * 4);
	return true;
}

bool
read_logical_message(Reader *reader, LogicalMessage *out)
{
	out->flags = reader->u8();
	out->lsn = reader->u64();
	out->prefix = reader->cstring();

	uint32_t size = reader->u32();
	if (size > kMaxLength)
		return false;
	out->content = reader->bytes(size);
	return true;
}

void
read_stream_abort(Reader *reader, StreamAbort *out)
{
	out->xid = reader->u32();
	out->subxid = reader->u32();

	/* Depends on an option of the session, not on anything in the message. */
	out->has_position = reader->remaining() > 0;
	out->abort_lsn = out->has_position ? reader->u64() : kInvalidLsn;
	out->abort_time = out->has_position ? reader->i64() : 0;
}

void
read_prepared(Reader *reader, bool has_flags, Prepared *out)
{
	out->flags = has_flags ? reader->u8() : 0;
	out->lsn = reader->u64();
	out->end_lsn = reader->u64();
	out->time = reader->i64();
	out->xid = reader->u32();
	out->gid = reader->cstring();
}

void
read_rollback_prepared(Reader *reader, RollbackPrepared *out)
{
	out->flags = reader->u8();
	out->prepare_end_lsn = reader->u64();
	out->rollback_end_lsn = reader->u64();
	out->prepare_time = reader->i64();
	out->rollback_time = reader->i64();
	out->xid = reader->u32();
	out->gid = reader->cstring();
}

bool
read_body(Reader *reader, bool in_stream, Message *out)
{
	/* Only seven kinds have the prefix; see the head of pgoutput.hpp. */
	auto read_prefix = [=] { out->xid = in_stream ? reader->u32() : 0; };

	switch (out->kind)
	{
		case MessageKind::begin:
			out->begin.final_lsn = reader->u64();
			out->begin.commit_time = reader->i64();
			out->begin.xid = reader->u32();
			return true;
		case MessageKind::commit:
			out->commit.flags = reader->u8();
			out->commit.commit_lsn = reader->u64();
			out->commit.end_lsn = reader->u64();
			out->commit.commit_time = reader->i64();
			return true;
		case MessageKind::origin:
			out->origin.lsn = reader->u64();
			out->origin.name = reader->cstring();
			return true;
		case MessageKind::relation:
			read_prefix();
			return read_relation(reader, &out->relation);
		case MessageKind::type:
			read_prefix();
			out->type.type_oid = reader->u32();
			out->type.nspname = reader->cstring();
			out->type.name = reader->cstring();
			return true;
		case MessageKind::insert:
			read_prefix();
			return read_insert(reader, &out->change);
		case MessageKind::update:
			read_prefix();
			return read_update(reader, &out->change);
		case MessageKind::del:
			read_prefix();
			return read_delete(reader, &out->change);
		case MessageKind::truncate:
			read_prefix();
			return read_truncate(reader, &out->truncate);
		case MessageKind::message:
			read_prefix();
			return read_logical_message(reader, &out->message);
		case MessageKind::stream_start:
			out->stream_start.xid = reader->u32();
			out->stream_start.is_first_segment = reader->u8() != 0;
			return true;
		case MessageKind::stream_stop:
			return true;
		case MessageKind::stream_commit:
			out->stream_commit.xid = reader->u32();
			out->stream_commit.flags = reader->u8();
			out->stream_commit.commit_lsn = reader->u64();
			out->stream_commit.end_lsn = reader->u64();
			out->stream_commit.commit_time = reader->i64();
			return true;
		case MessageKind::stream_abort:
			read_stream_abort(reader, &out->stream_abort);
			return true;
		case MessageKind::begin_prepare:
			read_prepared(reader, false, &out->prepared);
			return true;
		case MessageKind::prepare:
		case MessageKind::commit_prepared:
		case MessageKind::stream_prepare:
			read_prepared(reader, true, &out->prepared);
			return true;
		case MessageKind::rollback_prepared:
			read_rollback_prepared(reader, &out->rollback_prepared);
			return true;
	}
	return false;
}

} // namespace

DecodeStatus
decode(std::string_view bytes, bool in_stream, Message *out)
{
	if (bytes.empty())
		return DecodeStatus::truncated;
	if (bytes.size() > kMaxMessageSize)
		return DecodeStatus::bad_value;
	if (!find_kind(bytes.front(), &out->kind))
		return DecodeStatus::unknown_message;

	Reader reader(std::string_view(bytes.data() + 1, bytes.size() - 1));
	out->xid = 0;
	bool is_valid = read_body(&reader, in_stream, out);

	/* First the reader: a field that was cut off reads as zero, which may look like a bad value. */
	if (!reader.ok())
		return DecodeStatus::truncated;
	if (!is_valid)
		return DecodeStatus::bad_value;
	return reader.at_end() ? DecodeStatus::ok : DecodeStatus::trailing_bytes;
}

const char *
describe(MessageKind kind)
{
	switch (kind)
	{
		case MessageKind::begin:
			return "BEGIN";
		case MessageKind::commit:
			return "COMMIT";
		case MessageKind::origin:
			return "ORIGIN";
		case MessageKind::relation:
			return "RELATION";
		case MessageKind::type:
			return "TYPE";
		case MessageKind::insert:
			return "INSERT";
		case MessageKind::update:
			return "UPDATE";
		case MessageKind::del:
			return "DELETE";
		case MessageKind::truncate:
			return "TRUNCATE";
		case MessageKind::message:
			return "MESSAGE";
		case MessageKind::stream_start:
			return "STREAM START";
		case MessageKind::stream_stop:
			return "STREAM STOP";
		case MessageKind::stream_commit:
			return "STREAM COMMIT";
		case MessageKind::stream_abort:
			return "STREAM ABORT";
		case MessageKind::begin_prepare:
			return "BEGIN PREPARE";
		case MessageKind::prepare:
			return "PREPARE";
		case MessageKind::commit_prepared:
			return "COMMIT PREPARED";
		case MessageKind::rollback_prepared:
			return "ROLLBACK PREPARED";
		case MessageKind::stream_prepare:
			return "STREAM PREPARE";
	}
	return "unknown";
}

} // namespace wire
