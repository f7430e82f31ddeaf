/*
 * wire/pgoutput.hpp
 *
 * Owns: the messages of the output plugin pgoutput, protocol versions 1 to 4, as PostgreSQL 13 to
 * 18 send them. One call of decode() takes one message.
 *
 *   transaction     B (I | U | D | T | M | R | Y | O)* C
 *   in pieces       (S (I | U | D | T | M | R | Y | O)* E | A)+ c, or A, or p
 *   two-phase       b ... P, later K or r
 *
 *   tuple           u16 columns, then for each:  'n'                    null
 *                                                'u'                    unchanged, not sent
 *                                                't' u32 size, bytes    text form
 *                                                'b' u32 size, bytes    binary form
 *
 * In: the payload of one XLogData. Out: a Message whose views point into that payload.
 * Must not know: which messages may follow which, what a relation id stands for, the server.
 *
 * The surprising thing: the same letter has two layouts. Between S and E the messages R Y I U D T M
 * carry the (sub)transaction's xid in front of all else, and nothing in the bytes says so: whoever
 * keeps a raw message must keep that one bit with it.
 */
#ifndef LIVESYNC_WIRE_PGOUTPUT_HPP
#define LIVESYNC_WIRE_PGOUTPUT_HPP

#include <cstdint>
#include <cstring>
#include <string_view>

#include "wire/lsn.hpp"
#include "wire/reader.hpp"

namespace wire
{

enum class ValueKind : uint8_t
{
	null,
	unchanged, /* a TOASTed value that this change did not touch, so it was not sent */
	text,
	binary
};

struct Value
{
	ValueKind kind = ValueKind::null;
	std::string_view bytes = {}; /* empty unless text or binary */
};

/* To the last byte.  Not string_view's ==, which hands an empty view's null pointer to memcmp(). */
inline bool
is_same(const Value &a, const Value &b)
{
	return a.kind == b.kind && a.bytes.size() == b.bytes.size() &&
		   (a.bytes.empty() || memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0);
}

/*
 * The columns of a row in their encoded form. decode() has walked them once, so that walking them
 * again needs no checks. A tuple of no columns is possible (a table without any); an absent one
 * has no body.
 */
struct Tuple
{
	const char *body = nullptr; /* behind the column count */
	uint32_t size = 0;
	uint16_t columns = 0;

	bool is_present() const
	{
		return body != nullptr;
	}
};

/* next() may be called once for each column of the tuple, and no more. */
class TupleCursor
{
public:
	explicit TupleCursor(const Tuple &tuple) : next_(tuple.body)
	{
	}

	Value next()
	{
		char kind = *next_++;

		if (kind == 'n')
			return {ValueKind::null, {}};
		if (kind == 'u')
			return {ValueKind::unchanged, {}};

		uint32_t size = load_big_endian<uint32_t>(next_);
		std::string_view bytes(next_ + 4, size);
		next_ += 4 + static_cast<size_t>(size);
		return {kind == 't' ? ValueKind::text : ValueKind::binary, bytes};
	}

private:
	const char *next_;
};

inline bool
has_unchanged(const Tuple &tuple)
{
	TupleCursor cursor(tuple);

	for (uint16_t i = 0; i < tuple.columns; i++)
		if (cursor.next().kind == ValueKind::unchanged)
			return true;
	return false;
}

/* `out` has tuple.columns entries. */
inline void
read_values(const Tuple &tuple, Value *out)
{
	TupleCursor cursor(tuple);

	for (uint16_t i = 0; i < tuple.columns; i++)
		out[i] = cursor.next();
}

enum class MessageKind : uint8_t
{
	begin,			   /* B */
	commit,			   /* C */
	origin,			   /* O */
	relation,		   /* R */
	type,			   /* Y */
	insert,			   /* I */
	update,			   /* U */
	del,			   /* D */
	truncate,		   /* T */
	message,		   /* M */
	stream_start,	   /* S */
	stream_stop,	   /* E */
	stream_commit,	   /* c */
	stream_abort,	   /* A */
	begin_prepare,	   /* b */
	prepare,		   /* P */
	commit_prepared,   /* K */
	rollback_prepared, /* r */
	stream_prepare	   /* p */
};

/* All times are microseconds since 2000-01-01 00:00 UTC, the server's TimestampTz. */

struct Begin
{
	Lsn final_lsn = kInvalidLsn; /* the commit_lsn of the Commit message to come */
	int64_t commit_time = 0;
	uint32_t xid = 0;
};

struct Commit
{
	uint8_t flags = 0;
	Lsn commit_lsn = kInvalidLsn;
	Lsn end_lsn = kInvalidLsn;
	int64_t commit_time = 0;
};

struct Origin
{
	Lsn lsn = kInvalidLsn; /* of the commit at that origin */
	std::string_view name = {};
};

struct RelationColumn
{
	bool is_key = false; /* part of the replica identity; true for every column when it is FULL */
	std::string_view name = {};
	uint32_t type_oid = 0;
	int32_t type_modifier = -1;
};

struct RelationMessage
{
	uint32_t relid = 0;
	std::string_view nspname = {}; /* as sent: empty stands for pg_catalog */
	std::string_view relname = {};
	char replica_identity = 0; /* d, n, f or i */
	uint16_t column_count = 0;
	std::string_view columns = {}; /* encoded; walked by RelationColumnCursor */
};

/* next() may be called once for each column of the relation, and no more. */
class RelationColumnCursor
{
public:
	explicit RelationColumnCursor(const RelationMessage &relation) : reader_(relation.columns)
	{
	}

	RelationColumn next()
	{
		RelationColumn column;

		column.is_key = (reader_.u8() & 1) != 0;
		column.name = reader_.cstring();
		column.type_oid = reader_.u32();
		column.type_modifier = static_cast<int32_t>(reader_.u32());
		return column;
	}

private:
	Reader reader_;
};

struct TypeMessage
{
	uint32_t type_oid = 0;
	std::string_view nspname = {}; /* as sent: empty stands for pg_catalog */
	std::string_view name = {};
};

/*
 * Insert, update and delete. An old tuple of kind K is no proof that the key changed: it is sent
 * as well when a key column is stored out of line, and the new tuple then has it as `unchanged`.
 */
struct Change
{
	uint32_t relid = 0;
	char old_kind = 0; /* K: only the key columns, the others null; O: the whole row; 0: none */
	Tuple old_tuple = {};
	Tuple new_tuple = {};
};

struct Truncate
{
	uint32_t count = 0;
	bool cascade = false;
	bool restart_identity = false;
	const char *relids = nullptr;

	/* index < count */
	uint32_t relid(uint32_t index) const
	{
		return load_big_endian<uint32_t>(relids + static_cast<size_t>(index) * 4);
	}
};

/* What pg_logical_emit_message() wrote. */
struct LogicalMessage
{
	uint8_t flags = 0; /* 1: transactional; otherwise sent outside of any transaction */
	Lsn lsn = kInvalidLsn;
	std::string_view prefix = {};
	std::string_view content = {};
};

struct StreamStart
{
	uint32_t xid = 0; /* always of the top-level transaction */
	bool is_first_segment = false;
};

struct StreamCommit
{
	uint32_t xid = 0;
	uint8_t flags = 0;
	Lsn commit_lsn = kInvalidLsn;
	Lsn end_lsn = kInvalidLsn;
	int64_t commit_time = 0;
};

struct StreamAbort
{
	uint32_t xid = 0;
	uint32_t subxid = 0;	   /* equal to xid: the whole transaction is aborted */
	bool has_position = false; /* only with protocol 4 and streaming = parallel */
	Lsn abort_lsn = kInvalidLsn;
	int64_t abort_time = 0;
};

/* begin_prepare (without flags), prepare, commit_prepared and stream_prepare. */
struct Prepared
{
	uint8_t flags = 0;
	Lsn lsn = kInvalidLsn; /* of the prepare; of the commit in commit_prepared */
	Lsn end_lsn = kInvalidLsn;
	int64_t time = 0;
	uint32_t xid = 0;
	std::string_view gid = {};
};

struct RollbackPrepared
{
	uint8_t flags = 0;
	Lsn prepare_end_lsn = kInvalidLsn;
	Lsn rollback_end_lsn = kInvalidLsn;
	int64_t prepare_time = 0;
	int64_t rollback_time = 0;
	uint32_t xid = 0;
	std::string_view gid = {};
};

/*
 * decode() writes `kind`, `xid` and the one part that belongs to the kind. The other parts keep
 * what an earlier message left there: clearing some 400 bytes for each row would cost more than
 * the decoding itself.
 */
struct Message
{
	MessageKind kind = MessageKind::begin;
	uint32_t xid = 0; /* the prefix inside S ... E: possibly a subtransaction's; 0 otherwise */

	Begin begin = {};
	Commit commit = {};
	Origin origin = {};
	RelationMessage relation = {};
	TypeMessage type = {};
	Change change = {}; /* insert, update, del */
	Truncate truncate = {};
	LogicalMessage message = {};
	StreamStart stream_start = {};
	StreamCommit stream_commit = {};
	StreamAbort stream_abort = {};
	Prepared prepared = {}; /* begin_prepare, prepare, commit_prepared, stream_prepare */
	RollbackPrepared rollback_prepared = {};
};

/*
 * Decodes one whole message; with any status but ok, *out holds nothing of use. Every length is
 * checked, and the views last as long as `bytes`.
 */
DecodeStatus decode(std::string_view bytes, bool in_stream, Message *out);

/* The kind in words, for error contexts: "INSERT", "STREAM START", ... */
const char *describe(MessageKind kind);

} // namespace wire

#endif
