/*
 * worker/streamed.cpp
 *
 * See streamed.hpp.  A file is a run of
 *
 *   uint32 size of the message | uint32 xid it came with | message, as outside of a piece
 *
 * What a savepoint did stays in the file when it is rolled back; only its xid is noted.  Nothing can follow of an aborted
 * subtransaction, so its xid alone says what to leave out.
 */
#include "worker/streamed.hpp"

#include <algorithm>

namespace worker
{

struct FilePlace
{
	int file;
	off_t offset;
};

struct StreamedTransaction
{
	uint32 xid; /* hash key */
	MemoryContext context;
	BufFile *file;
	bool is_reading;	 /* the file stands where it is read, not where it is written */
	FilePlace elsewhere; /* the other of the two */

	uint32 *aborted; /* subtransactions; in order from rewind_streamed() on */
	size_t naborted;
	size_t aborted_size;

	char *buffer; /* the message given out last */
	size_t buffer_size;
};

namespace
{

struct KeptHeader
{
	uint32 size;
	uint32 xid;
};

constexpr size_t kPrefixSize = 4; /* the xid, behind the tag of a message in a piece */

void
seek(StreamedTransaction *it, FilePlace place)
{
	if (BufFileSeek(it->file, place.file, place.offset, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not seek in the temporary file of source transaction %u: %m",
							   it->xid)));
}

/* The file has one place, for both. */
void
turn_to(StreamedTransaction *it, bool reading)
{
	FilePlace here;

	if (it->is_reading == reading)
		return;
	BufFileTell(it->file, &here.file, &here.offset);
	seek(it, it->elsewhere);
	it->elsewhere = here;
	it->is_reading = reading;
}

[[noreturn]] void
raise_unknown(uint32 xid)
{
	ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
					errmsg("the source went on with transaction %u, which it has not begun", xid)));
}

StreamedTransaction *
find_streamed(const StreamedTransactions *all, uint32 xid)
{
	return (StreamedTransaction *) hash_search(all->by_xid, &xid, HASH_FIND, nullptr);
}

StreamedTransaction *
add_streamed(StreamedTransactions *all, uint32 xid)
{
	bool found;

	forget_streamed(all, xid);
	StreamedTransaction *it =
		(StreamedTransaction *) hash_search(all->by_xid, &xid, HASH_ENTER, &found);

	memset(it, 0, sizeof(*it));
	it->xid = xid;
	it->context =
		AllocSetContextCreate(all->context, "livesync streamed transaction", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(it->context);

	/* local transactions come and go while it is written */
	it->file = BufFileCreateTemp(true);
	MemoryContextSwitchTo(old);
	return it;
}

void
note_aborted(StreamedTransaction *it, uint32 subxid)
{
	if (it->naborted == it->aborted_size)
	{
		size_t size = it->aborted_size == 0 ? 64 : it->aborted_size * 2;
		uint32 *larger = (uint32 *) MemoryContextAllocHuge(it->context, size * sizeof(uint32));

		if (it->aborted != nullptr)
		{
			memcpy(larger, it->aborted, it->naborted * sizeof(uint32));
			pfree(it->aborted);
		}
		it->aborted = larger;
		it->aborted_size = size;
	}
	it->aborted[it->naborted++] = subxid;
}

bool
is_aborted(const StreamedTransaction *it, uint32 xid)
{
	return std::binary_search(it->aborted, it->aborted + it->naborted, xid);
}

void
drop_room(StreamedTransaction *it)
{
	if (it->buffer != nullptr)
		pfree(it->buffer);
	it->buffer = nullptr;
	it->buffer_size = 0;
}

void
make_room(StreamedTransaction *it, size_t size)
{
	if (size <= it->buffer_size)
		return;
	drop_room(it);
	it->buffer_size = Max(size, (size_t) 8192);
	it->buffer = (char *) MemoryContextAllocHuge(it->context, it->buffer_size);
}

void
read_kept(StreamedTransaction *it, void *to, size_t size)
{
	if (BufFileRead(it->file, to, size) != size)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the temporary file of source transaction %u ends too early", it->xid)));
}

} // namespace

StreamedTransactions *
make_streamed(MemoryContext parent)
{
	MemoryContext context =
		AllocSetContextCreate(parent, "livesync streamed transactions", ALLOCSET_SMALL_SIZES);
	StreamedTransactions *all =
		(StreamedTransactions *) MemoryContextAllocZero(context, sizeof(StreamedTransactions));
	HASHCTL control;

	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(uint32);
	control.entrysize = sizeof(StreamedTransaction);
	control.hcxt = context;
	all->context = context;
	all->by_xid = hash_create("livesync streamed transactions", 16, &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return all;
}

void
begin_piece(StreamedTransactions *all, const wire::StreamStart &start)
{
	all->current =
		start.is_first_segment ? add_streamed(all, start.xid) : find_streamed(all, start.xid);
	if (all->current == nullptr)
		raise_unknown(start.xid);
}

void
keep_message(StreamedTransactions *all, uint32 xid, std::string_view raw)
{
	StreamedTransaction *it = all->current;
	BufFile *file = it->file;
	KeptHeader header{(uint32) (raw.size() - kPrefixSize), xid};

	turn_to(it, false);
	BufFileWrite(file, &header, sizeof(header));
	BufFileWrite(file, (void *) raw.data(), 1);
	BufFileWrite(file, (void *) (raw.data() + 1 + kPrefixSize), raw.size() - 1 - kPrefixSize);
}

void
end_piece(StreamedTransactions *all)
{
	all->current = nullptr;
}

void
abort_streamed(StreamedTransactions *all, const wire::StreamAbort &abort)
{
	StreamedTransaction *it = find_streamed(all, abort.xid);

	if (abort.subxid == abort.xid)
		forget_streamed(all, abort.xid);
	else if (it != nullptr)
		note_aborted(it, abort.subxid);
}

StreamedTransaction *
get_streamed(const StreamedTransactions *all, uint32 xid)
{
	StreamedTransaction *it = find_streamed(all, xid);

	if (it == nullptr)
		raise_unknown(xid);
	return it;
}

StreamedTransaction *
only_streamed(const StreamedTransactions *all)
{
	HASH_SEQ_STATUS scan;

	if (hash_get_num_entries(all->by_xid) != 1)
		return nullptr;
	hash_seq_init(&scan, all->by_xid);
	StreamedTransaction *it = (StreamedTransaction *) hash_seq_search(&scan);

	hash_seq_term(&scan);
	return it;
}

uint32
xid_of(const StreamedTransaction *it)
{
	return it->xid;
}

void
rewind_streamed(StreamedTransaction *it)
{
	turn_to(it, true);
	seek(it, {0, 0});
	std::sort(it->aborted, it->aborted + it->naborted);
}

bool
next_kept(StreamedTransaction *it, std::string_view *message)
{
	KeptHeader header;
	size_t size;

	turn_to(it, true);
	while ((size = BufFileRead(it->file, &header, sizeof(header))) == sizeof(header))
	{
		make_room(it, header.size);
		read_kept(it, it->buffer, header.size);
		*message = std::string_view(it->buffer, header.size);
		if (it->naborted == 0 || !is_aborted(it, header.xid))
			return true;
	}
	if (size != 0)
		read_kept(it, &header, sizeof(header));
	return false;
}

void
release_kept(const StreamedTransactions *all)
{
	HASH_SEQ_STATUS scan;

	hash_seq_init(&scan, all->by_xid);
	while (void *entry = hash_seq_search(&scan))
		drop_room((StreamedTransaction *) entry);
}

void
forget_streamed(StreamedTransactions *all, uint32 xid)
{
	StreamedTransaction *it = find_streamed(all, xid);

	if (it == nullptr)
		return;
	BufFileClose(it->file);
	MemoryContextDelete(it->context);
	(void) hash_search(all->by_xid, &xid, HASH_REMOVE, nullptr);
}

} // namespace worker
