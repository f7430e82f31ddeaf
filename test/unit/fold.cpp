/*
 * test/unit/fold.cpp
 *
 * Owns: the tests of target/fold.
 *
 * In: changes by hand for each rule, and long random histories. Out: TAP.
 *
 * A random history is made beside a model of the source (a std::map), encoded as a server would
 * encode it, and folded; the folded rows are applied to a model of the target in the order delete,
 * update, insert. After each batch both models must be equal, and every row must have met what it
 * claims: a delete a row unless it is quiet, an update a row, an insert none.
 *
 * Must not know: the server, or how the fold finds its rows.
 *
 * The surprising thing: the arena really frees at each reset, so that AddressSanitizer notices a
 * fold that remembers anything of the batch before.
 */
#include <array>
#include <cstdlib>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "golden.hpp"
#include "tap.hpp"
#include "target/fold.hpp"

using target::Fold;
using target::FoldedOp;
using target::FoldedRow;
using target::FoldStatus;

class Arena
{
public:
	~Arena()
	{
		reset();
	}

	target::FoldAllocator allocator()
	{
		return {[](void *context, size_t size) {
					return static_cast<Arena *>(context)->allocate(size);
				},
				this};
	}

	void reset()
	{
		for (void *block : blocks_)
			free(block);
		blocks_.clear();
		allocated = 0;
	}

	size_t allocated = 0;

private:
	void *allocate(size_t size)
	{
		blocks_.push_back(malloc(size));
		allocated += size;
		return blocks_.back();
	}

	std::vector<void *> blocks_;
};

/* A value as a test writes it: nothing is null, kUnchanged is 'u'. */
using Cell = std::optional<std::string>;
using Cells = std::vector<Cell>;

static const std::string kUnchanged = "<unchanged>";
static const Cell kNull = std::nullopt;

static golden::Bytes
encode(const Cells &cells)
{
	golden::Bytes bytes;

	bytes.u16(static_cast<uint16_t>(cells.size()));
	for (const Cell &cell : cells)
	{
		if (!cell)
			bytes.null();
		else if (*cell == kUnchanged)
			bytes.unchanged();
		else
			bytes.text(*cell);
	}
	return bytes;
}

static Cell
cell_of(const wire::Value &value)
{
	switch (value.kind)
	{
		case wire::ValueKind::null:
			return kNull;
		case wire::ValueKind::unchanged:
			return kUnchanged;
		case wire::ValueKind::text:
		case wire::ValueKind::binary:
			return std::string(value.bytes);
	}
	return kNull;
}

/* A fold with all that has to outlive its rows. */
class Batch
{
public:
	Batch(uint16_t columns, std::vector<uint16_t> key, bool key_change_as_delete_insert,
		  bool needs_old_tuple = false)
		: columns_(columns), key_(std::move(key))
	{
		fold.init({columns, key_, key_change_as_delete_insert, needs_old_tuple}, arena.allocator());
	}

	FoldStatus insert(const Cells &row)
	{
		const wire::Change &c = decode(golden::Bytes('I').u32(1).u8('N').raw(encode(row).str()));
		return fold.add_insert(c.new_tuple);
	}

	FoldStatus update(const Cells &row)
	{
		const wire::Change &c = decode(golden::Bytes('U').u32(1).u8('N').raw(encode(row).str()));
		return fold.add_update(c.old_kind, c.old_tuple, c.new_tuple);
	}

	FoldStatus update(char old_kind, const Cells &old_row, const Cells &row)
	{
		const wire::Change &c = decode(golden::Bytes('U')
										   .u32(1)
										   .u8(static_cast<uint8_t>(old_kind))
										   .raw(encode(old_row).str())
										   .u8('N')
										   .raw(encode(row).str()));
		return fold.add_update(c.old_kind, c.old_tuple, c.new_tuple);
	}

	FoldStatus del(char old_kind, const Cells &old_row)
	{
		const wire::Change &c = decode(golden::Bytes('D')
										   .u32(1)
										   .u8(static_cast<uint8_t>(old_kind))
										   .raw(encode(old_row).str()));
		return fold.add_delete(c.old_kind, c.old_tuple);
	}

	void reset()
	{
		fold.reset();
		arena.reset();
		messages_.clear();
	}

	/* "insert(a,b) del!(c)": op, quiet as '!', values or key. Checks the bookkeeping as well. */
	std::string dump()
	{
		std::string text;
		uint32_t rows = 0;
		uint32_t counts[target::kFoldedOpCount] = {};

		for (const FoldedRow *row = fold.rows(); row != nullptr; row = row->next)
		{
			static const char *const names[] = {"none", "insert", "update", "del", "replace"};
			size_t op = static_cast<size_t>(row->op);
			bool has_unchanged = false;

			text += (text.empty() ? "" : " ") + std::string(names[op]);
			text += row->quiet_delete ? "!(" : "(";
			if (row->op == FoldedOp::del)
			{
				for (size_t i = 0; i < key_.size(); i++)
					text += (i == 0 ? "" : ",") + cell_of(row->key[i]).value_or("null");
				is_consistent = is_consistent && row->values == nullptr;
			}
			else
			{
				for (uint16_t i = 0; i < columns_; i++)
				{
					text += (i == 0 ? "" : ",") + cell_of(row->values[i]).value_or("null");
					has_unchanged =
						has_unchanged || row->values[i].kind == wire::ValueKind::unchanged;
				}
				for (size_t i = 0; i < key_.size(); i++)
					is_consistent =
						is_consistent && cell_of(row->key[i]) == cell_of(row->values[key_[i]]);
			}
			text += ")";
			is_consistent = is_consistent && row->order == rows &&
							row->has_unchanged == has_unchanged && row->op != FoldedOp::none;
			counts[op]++;
			rows++;
		}
		is_consistent = is_consistent && rows == fold.row_count();
		for (size_t op = 0; op < target::kFoldedOpCount; op++)
			is_consistent = is_consistent && counts[op] == fold.count(static_cast<FoldedOp>(op));
		return text;
	}

	bool is_consistent = true;
	Arena arena;
	Fold fold;

private:
	const wire::Change &decode(const golden::Bytes &bytes)
	{
		messages_.push_back(bytes.str());
		if (wire::decode(messages_.back(), false, &message_) != wire::DecodeStatus::ok)
			abort();
		return message_.change;
	}

	uint16_t columns_;
	std::vector<uint16_t> key_;
	std::list<std::string> messages_;
	wire::Message message_;
};

/* ---- one rule at a time: columns k, a, b; the key is k ---- */

static constexpr FoldStatus kFolded = FoldStatus::folded;
static constexpr FoldStatus kBarrier = FoldStatus::barrier;

static Batch
simple(bool key_change_as_delete_insert = true)
{
	return Batch(3, {0}, key_change_as_delete_insert);
}

static void
expect(Batch &batch, bool statuses, const std::string &rows, const std::string &name)
{
	std::string got = batch.dump();

	if (!tap::check(statuses && batch.is_consistent && got == rows, name))
		printf("# got: %s\n# expected: %s\n", got.c_str(), rows.c_str());
}

static void
test_rules()
{
	{
		Batch b(3, {0}, true);
		bool done = b.insert({"1", "x", "y"}) == kFolded;
		done = done && b.update({"1", kUnchanged, "z"}) == kFolded;
		expect(b, done, "insert(1,x,z)", "insert, update");
		done = b.del('K', {"1", kNull, kNull}) == kFolded;
		expect(b, done, "del!(1)", "insert, update, delete: quiet");
		done = b.insert({"1", "v", "w"}) == kFolded;
		expect(b, done, "replace!(1,v,w)", "and an insert again");
		done = b.update({"1", "v2", kUnchanged}) == kFolded;
		expect(b, done, "replace!(1,v2,w)", "and an update of it");
		done = b.del('O', {"1", "v2", "w"}) == kFolded;
		expect(b, done, "del!(1)", "and a delete again: still quiet");
	}
	{
		Batch b(3, {0}, true);
		bool done = b.update({"1", kUnchanged, "a"}) == kFolded;
		done = done && b.update({"1", kUnchanged, "b"}) == kFolded;
		expect(b, done, "update(1,<unchanged>,b)",
			   "two updates; what is unchanged in both stays so");
		done = b.update({"1", "x", kUnchanged}) == kFolded;
		expect(b, done, "update(1,x,b)", "unchanged takes the earlier value");
		done = b.update({"1", kNull, kNull}) == kFolded;
		expect(b, done, "update(1,null,null)", "null is a value");
		done = b.del('K', {"1", kNull, kNull}) == kFolded;
		expect(b, done, "del(1)", "update, delete: not quiet");
		done = b.insert({"1", "p", "q"}) == kFolded;
		expect(b, done, "replace(1,p,q)", "delete, insert");
	}
	{
		Batch b(3, {0}, true);
		bool done = b.del('K', {"1", kNull, kNull}) == kFolded;
		done = done && b.insert({"1", "x", kUnchanged}) == kFolded;
		expect(b, done, "replace(1,x,<unchanged>)", "an unchanged value of an insert is kept");
		done = b.update({"1", "y", kUnchanged}) == kFolded;
		expect(b, done, "replace(1,y,<unchanged>)", "also by an update");
		done = b.del('K', {"1", kNull, kNull}) == kFolded &&
			   b.del('K', {"1", kNull, kNull}) == kFolded;
		expect(b, done, "del(1)", "anything, delete");
	}
	{
		Batch b(3, {0}, true);
		bool done = b.insert({"2", "a", "b"}) == kFolded && b.update({"1", "a", "b"}) == kFolded &&
					b.del('K', {"3", kNull, kNull}) == kFolded &&
					b.update({"2", "c", kUnchanged}) == kFolded;
		expect(b, done, "insert(2,c,b) update(1,a,b) del(3)", "rows come in first-touch order");
		b.reset();
		expect(b, b.fold.rows() == nullptr, "", "nothing is left after a reset");
		expect(b, b.insert({"2", "a", "b"}) == kFolded, "insert(2,a,b)",
			   "and the fold works again");
	}
	{
		Batch b(3, {0}, true);
		bool done = b.insert({"1", "", kNull}) == kFolded && b.insert({"", "", ""}) == kFolded &&
					b.insert({kNull, "", ""}) == kFolded;
		expect(b, done, "insert(1,,null) insert(,,) insert(null,,)", "null is not the empty key");
	}
}

static void
test_anomalies()
{
	struct Case
	{
		const char *name;
		FoldStatus (*apply)(Batch &);
	};
	const Case cases[] = {
		{"insert on insert",
		 [](Batch &b) {
			 return b.insert({"i", "1", "2"});
		 }},
		{"insert on update",
		 [](Batch &b) {
			 return b.insert({"u", "1", "2"});
		 }},
		{"insert on replace",
		 [](Batch &b) {
			 return b.insert({"r", "1", "2"});
		 }},
		{"update of a deleted key",
		 [](Batch &b) {
			 return b.update({"d", "1", "2"});
		 }},
		{"move of a deleted key",
		 [](Batch &b) {
			 return b.update('K', {"d", kNull, kNull}, {"n", "1", "2"});
		 }},
		{"move onto an insert",
		 [](Batch &b) {
			 return b.update('K', {"u", kNull, kNull}, {"i", "1", "2"});
		 }},
		{"move onto an update",
		 [](Batch &b) {
			 return b.update('K', {"n", kNull, kNull}, {"u", "1", "2"});
		 }},
		{"move onto a replace",
		 [](Batch &b) {
			 return b.update('O', {"i", "1", "2"}, {"r", "1", "2"});
		 }},
		{"move without a value that only the old row has",
		 [](Batch &b) {
			 return b.update('K', {"i", kNull, kNull}, {"n", kUnchanged, "2"});
		 }},
		{"insert with an unknown key",
		 [](Batch &b) {
			 return b.insert({kUnchanged, "1", "2"});
		 }},
		{"update with an unknown key",
		 [](Batch &b) {
			 return b.update({kUnchanged, "1", "2"});
		 }},
		{"update with an unknown old key",
		 [](Batch &b) {
			 return b.update('K', {kUnchanged, kNull, kNull}, {"i", "1", "2"});
		 }},
		{"update with an old key that was not logged",
		 [](Batch &b) {
			 return b.update('O', {kNull, "1", kNull}, {"i", "1", "2"});
		 }},
		{"delete with a key that was not logged",
		 [](Batch &b) {
			 return b.del('K', {kNull, "1", kNull});
		 }},
		{"delete with an unknown key",
		 [](Batch &b) {
			 return b.del('K', {kUnchanged, kNull, kNull});
		 }},
		{"insert with a column too few",
		 [](Batch &b) {
			 return b.insert({"n", "1"});
		 }},
		{"update with a column too many",
		 [](Batch &b) {
			 return b.update({"i", "1", "2", "3"});
		 }},
		{"update with an old tuple of another shape",
		 [](Batch &b) {
			 return b.update('K', {"i"}, {"i", "1", "2"});
		 }},
		{"delete without an old tuple", [](Batch &b) { return b.fold.add_delete(0, {}); }},
		{"insert without a tuple", [](Batch &b) { return b.fold.add_insert({}); }},
	};

	for (const Case &c : cases)
	{
		Batch b(3, {0}, true);
		b.insert({"i", "a", "b"});
		b.update({"u", "a", kUnchanged});
		b.del('K', {"d", kNull, kNull});
		b.del('K', {"r", kNull, kNull});
		b.insert({"r", "a", "b"});

		std::string before = b.dump();
		expect(b, c.apply(b) == kBarrier, before, std::string(c.name) + " is a barrier");
	}

	for (std::vector<uint16_t> key : {std::vector<uint16_t>{}, std::vector<uint16_t>{0, 3}})
	{
		Batch b(3, key, true);
		bool done = b.insert({"i", "a", "b"}) == kBarrier &&
					b.update({"i", "a", "b"}) == kBarrier &&
					b.del('O', {"i", "a", "b"}) == kBarrier;
		expect(b, done, "", key.empty() ? "without a key nothing folds" : "nor with a wrong one");
	}
}

static void
test_keys()
{
	{
		Batch b(3, {0}, true);
		bool done = b.update('K', {"1", kNull, kNull}, {kUnchanged, "x", kUnchanged}) == kFolded;
		expect(b, done, "update(1,x,<unchanged>)", "an unchanged key is no change of the key");
		done = b.update('K', {"1", kNull, kNull}, {"1", kUnchanged, "y"}) == kFolded;
		expect(b, done, "update(1,x,y)", "nor is an old tuple with the same key");
	}
	{
		Batch b(3, {0}, true);
		bool done = b.update('O', {"1", "p", "q"}, {"1", kUnchanged, "y"}) == kFolded;
		expect(b, done, "update(1,p,y)", "a whole old row fills unchanged values");
		done = b.update('O', {"1", "p", "y"}, {"2", kUnchanged, "y"}) == kFolded;
		expect(b, done, "del(1) insert(2,p,y)", "also when the key changes");
	}
	{
		Batch b(3, {0}, true);
		bool done = b.update('O', {"1", kNull, "q"}, {"1", kUnchanged, kUnchanged}) == kFolded;
		expect(b, done, "update(1,<unchanged>,q)", "a value that was not logged is not NULL");
		done = b.update('O', {"1", kNull, kNull}, {"2", kUnchanged, "y"}) == kBarrier;
		expect(b, done, "update(1,<unchanged>,q)", "so a change of the key is a barrier then");
	}
	{
		Batch b(3, {0}, true, true);
		bool done = b.update({"1", "a", "b"}) == kBarrier;
		expect(b, done, "",
			   "an update without an old tuple, where the key needs one, is a barrier");
		done = b.update('O', {"1", "p", "q"}, {"1", "a", "b"}) == kFolded;
		expect(b, done, "update(1,a,b)", "and with one it is not");
	}
	{
		Batch b(3, {0}, true);
		bool done = b.update('K', {"1", kNull, kNull}, {"2", "a", "b"}) == kFolded;
		expect(b, done, "del(1) insert(2,a,b)", "a change of the key");
		done = b.update('K', {"2", kNull, kNull}, {"3", "c", "d"}) == kFolded;
		expect(b, done, "del(1) del!(2) insert(3,c,d)", "and on");
		done = b.update('K', {"3", kNull, kNull}, {"1", "e", "f"}) == kFolded;
		expect(b, done, "replace(1,e,f) del!(2) del!(3)", "and back");
	}
	{
		Batch b(3, {0}, true);
		bool done = b.update('K', {"", kNull, kNull}, {kNull, "a", "b"}) == kFolded;
		expect(b, done, "del() insert(null,a,b)", "from empty to null is a change of the key");
	}
	{
		Batch b(3, {0}, false);
		bool done = b.update('K', {"1", kNull, kNull}, {"1", "a", "b"}) == kFolded &&
					b.update('K', {"1", kNull, kNull}, {"2", "a", "b"}) == kBarrier;
		expect(b, done, "update(1,a,b)", "a change of the key is a barrier unless told otherwise");
	}
	{
		Batch b(4, {2, 0}, true);
		bool done = b.update('K', {"1", kNull, "2", kNull}, {kUnchanged, "a", "3", "b"}) == kFolded;
		expect(b, done, "del(2,1) insert(1,a,3,b)", "one of two key columns changes");
		done = b.insert({"2", "", "1", ""}) == kFolded;
		expect(b, done, "del(2,1) insert(1,a,3,b) insert(2,,1,)",
			   "the order of key columns counts");
		done = b.insert({"23", "", "1", ""}) == kFolded && b.insert({"3", "", "12", ""}) == kFolded;
		expect(b, done, "del(2,1) insert(1,a,3,b) insert(2,,1,) insert(23,,1,) insert(3,,12,)",
			   "columns of a key do not run together");
	}
}

/* ---- many keys ---- */

static void
test_size()
{
	Batch b = simple();
	tap::Collection all;

	for (int round = 0; round < 3; round++)
	{
		for (int i = 0; i < 20000; i++)
		{
			std::string key = "key number " + std::to_string(i * 7919 % 20000);

			all.collect((round == 0
							 ? b.insert({key, "a", "b"})
							 : b.update({key, kUnchanged, std::to_string(round)})) == kFolded,
						key);
		}
	}
	all.collect(b.fold.row_count() == 20000 && b.fold.count(FoldedOp::insert) == 20000, "count");
	b.dump();
	all.collect(b.is_consistent, "consistent");
	all.finish("20000 keys, three times each");

	/* Keys of every length around the hash's word size, different in one byte only. */
	Batch lengths = simple();
	tap::Collection keys;
	uint32_t expected = 0;
	for (size_t size = 0; size <= 40; size++)
	{
		for (size_t at = 0; at < (size == 0 ? 1 : size); at++)
		{
			std::string key(size, 'x');

			if (size != 0)
				key[at] = 'y';
			keys.collect(lengths.insert({key, "", ""}) == kFolded, key);
			keys.collect(lengths.insert({key, "", ""}) == kBarrier, key);
			expected++;
		}
	}
	keys.collect(lengths.fold.row_count() == expected, "count");
	keys.finish("keys of every length");

	Batch hot = simple();
	hot.insert({"1", "a", "b"});
	hot.update({"1", "c", kUnchanged});
	size_t before = hot.arena.allocated;
	for (int i = 0; i < 300; i++)
	{
		hot.update({"1", std::to_string(i), i % 2 == 0 ? kUnchanged : "z"});
		hot.del('K', {"1", kNull, kNull});
		hot.insert({"1", "a", "b"});
	}
	tap::check(hot.fold.row_count() == 1 && hot.arena.allocated < before + 1000,
			   "a hot row takes the memory of one row");
}

/* ---- random histories: columns 0..4, the key is (2, 0) ---- */

constexpr uint16_t kColumns = 5;

using Row = std::array<Cell, kColumns>;
using Key = std::pair<Cell, Cell>;
using Table = std::map<Key, Row>;

static Key
key_of(const Row &row)
{
	return {row[2], row[0]};
}

class History
{
public:
	History(uint32_t seed, bool key_change_as_delete_insert)
		: random_(seed), moves_fold_(key_change_as_delete_insert),
		  batch_(kColumns, {2, 0}, key_change_as_delete_insert)
	{
		size_t rows = pick(20);
		keys_ = 2 + pick(12);
		for (size_t i = 0; i < rows; i++)
		{
			Row row = random_row();
			source_[key_of(row)] = row;
		}
		target_ = source_;
	}

	/* Empty, or what went wrong. */
	std::string run(int changes)
	{
		size_t batch_size = 1 + pick(60);

		for (int i = 0; i < changes && error_.empty(); i++)
		{
			change();
			if (pick(batch_size) == 0)
				write_out();
		}
		write_out();
		return error_;
	}

	long folded = 0;
	long barriers = 0;
	long moved = 0;
	long written = 0;

private:
	size_t pick(size_t below)
	{
		return random_() % below;
	}

	bool chance(size_t percent)
	{
		return pick(100) < percent;
	}

	Cell random_key_cell()
	{
		return chance(3) ? kNull : Cell(std::to_string(pick(keys_)));
	}

	Cell random_cell()
	{
		return chance(15) ? kNull
						  : Cell(std::string(pick(12), 'v') + std::to_string(random_() % 1000));
	}

	Row random_row()
	{
		Row row;

		for (Cell &cell : row)
			cell = random_cell();
		row[0] = Cell(std::to_string(pick(2)));
		row[2] = random_key_cell();
		return row;
	}

	Cells old_tuple(char old_kind, const Row &row)
	{
		Cells cells(row.begin(), row.end());

		if (old_kind == 'K')
			cells[1] = cells[3] = cells[4] = kNull;
		return cells;
	}

	void change()
	{
		size_t what = pick(10);

		if (what < 3 || source_.empty())
			insert();
		else
		{
			auto at = source_.begin();
			std::advance(at, static_cast<long>(pick(source_.size())));
			if (what < 8)
				update(at->second);
			else
				remove(at->second);
		}
	}

	void insert()
	{
		Row row = random_row();

		if (source_.count(key_of(row)) != 0)
			return;
		take([&] { return batch_.insert(Cells(row.begin(), row.end())); }, false);
		source_[key_of(row)] = row;
		after();
	}

	void remove(const Row row)
	{
		char old_kind = chance(50) ? 'K' : 'O';

		take([&] { return batch_.del(old_kind, old_tuple(old_kind, row)); }, !row[2]);
		source_.erase(key_of(row));
		after();
	}

	void update(const Row old_row)
	{
		Row row = old_row;
		bool changes_key = chance(30);

		for (uint16_t i : {1, 3, 4})
		{
			if (chance(50))
				row[i] = random_cell();
		}
		if (changes_key)
		{
			row[2] = random_key_cell();
			if (chance(50))
				row[0] = Cell(std::to_string(pick(2)));
			changes_key = key_of(row) != key_of(old_row);
			if (changes_key && source_.count(key_of(row)) != 0)
				return;
		}

		const char kinds[] = {'K', 'O', 0};
		char old_kind = kinds[pick(changes_key ? 2 : 3)];
		Cells cells(row.begin(), row.end());
		bool has_gap = false;

		/* Anything that did not change may have been out of line; a key only with an old tuple. */
		for (uint16_t i = 0; i < kColumns; i++)
		{
			bool is_key = i == 0 || i == 2;

			if (row[i] && row[i] == old_row[i] && (!is_key || old_kind != 0) && chance(35))
			{
				cells[i] = kUnchanged;
				has_gap = has_gap || !is_key;
			}
		}

		/* a key without a value is one that is not known, where it is looked at */
		bool is_known = old_row[2] || (old_kind == 0 && !has_gap);
		bool is_barrier =
			!is_known || (changes_key && (!moves_fold_ || (has_gap && old_kind == 'K')));
		take(
			[&] {
				return old_kind == 0 ? batch_.update(cells)
									 : batch_.update(old_kind, old_tuple(old_kind, old_row), cells);
			},
			is_barrier);
		if (changes_key && !is_barrier)
			moved++;
		source_.erase(key_of(old_row));
		source_[key_of(row)] = row;
		after();
	}

	/* Gives one change to the fold; `source_` is still the state before it. */
	template <typename Add> void take(Add add, bool expect_barrier)
	{
		bool is_barrier = add() == kBarrier;

		if (is_barrier != expect_barrier)
			fail(is_barrier ? "unexpected barrier" : "missing barrier");
		apply_alone_ = is_barrier;
		if (is_barrier)
		{
			barriers++;
			write_out();
		}
		else
			folded++;
	}

	/* `source_` is now the state after the change. */
	void after()
	{
		if (apply_alone_)
			target_ = source_;
		apply_alone_ = false;
	}

	void write_out()
	{
		batch_.dump();
		if (!batch_.is_consistent)
			fail("the fold's own figures do not agree");
		for (const FoldedRow *row = batch_.fold.rows(); row != nullptr; row = row->next)
		{
			if (row->op != FoldedOp::del && row->op != FoldedOp::replace)
				continue;
			if (target_.erase(folded_key(row)) != (row->quiet_delete ? 0 : 1))
				fail("a delete did not meet what it claims");
		}
		for (const FoldedRow *row = batch_.fold.rows(); row != nullptr; row = row->next)
		{
			if (row->op != FoldedOp::update)
				continue;

			auto at = target_.find(folded_key(row));
			if (at == target_.end())
			{
				fail("an update of nothing");
				continue;
			}
			for (uint16_t i = 0; i < kColumns; i++)
			{
				if (row->values[i].kind != wire::ValueKind::unchanged)
					at->second[i] = cell_of(row->values[i]);
			}
		}
		for (const FoldedRow *row = batch_.fold.rows(); row != nullptr; row = row->next)
		{
			if (row->op != FoldedOp::insert && row->op != FoldedOp::replace)
				continue;

			Row inserted;
			for (uint16_t i = 0; i < kColumns; i++)
				inserted[i] = cell_of(row->values[i]);
			if (row->has_unchanged || !target_.emplace(folded_key(row), inserted).second)
				fail("an insert with gaps, or over a row");
		}
		written += batch_.fold.row_count();
		if (target_ != source_)
			fail("the target differs");
		batch_.reset();
	}

	Key folded_key(const FoldedRow *row)
	{
		return {cell_of(row->key[0]), cell_of(row->key[1])};
	}

	void fail(const std::string &what)
	{
		if (error_.empty())
			error_ = what;
	}

	std::mt19937 random_;
	bool moves_fold_;
	Batch batch_;
	size_t keys_ = 0;
	Table source_;
	Table target_;
	bool apply_alone_ = false;
	std::string error_;
};

static void
test_histories()
{
	for (bool moves_fold : {true, false})
	{
		tap::Collection all;
		long folded = 0, barriers = 0, moved = 0, written = 0;

		for (uint32_t seed = 1; seed <= 1500; seed++)
		{
			History history(seed, moves_fold);
			std::string error = history.run(200);

			all.collect(error.empty(), "seed " + std::to_string(seed) + ": " + error);
			folded += history.folded;
			barriers += history.barriers;
			moved += history.moved;
			written += history.written;
		}
		printf("# %ld changes folded to %ld rows, %ld barriers, %ld keys moved\n", folded, written,
			   barriers, moved);
		all.finish(moves_fold ? "random histories, key changes folded"
							  : "random histories, key changes as barriers");
		tap::check(written < folded && barriers > 1000 && (moved > 1000) == moves_fold,
				   "and they did exercise the fold");
	}
}

int
main()
{
	test_rules();
	test_anomalies();
	test_keys();
	test_size();
	test_histories();
	return tap::finish();
}
