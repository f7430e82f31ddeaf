/*
 * worker/key_versions.cpp
 *
 * See key_versions.hpp.  The text of a key that gives way to another one has that one and a position for its name: "oid@lsn".
 */
#include "worker/key_versions.hpp"

#include "source/catalog.hpp"
#include "state/column_versions.hpp"

namespace worker
{
namespace
{

/* The place of the primary key's; 0: there is none. */
int
find_key(const source::ColumnVersions &all)
{
	for (int i = 1; i < all.count; i++)
		if (source::is_key_version(source::parse_column_version(all.texts[i])))
			return i;
	return 0;
}

char *
key_text(const source::ColumnVersion &it, bool is_full, const char *name)
{
	return psprintf("0:%u:%d:%u:%s", it.type, is_full ? 1 : 0, it.written_by, name);
}

bool
is_column_altered_by(const source::ColumnVersions &before, const source::ColumnVersion &is,
					 uint32 xid)
{
	for (int i = 1; i < before.count; i++)
	{
		source::ColumnVersion was = source::parse_column_version(before.texts[i]);

		if (!source::is_key_version(was) && strcmp(was.name, is.name) == 0)
			return is.written_by == xid && (was.type != is.type || was.modifier != is.modifier);
	}
	return false;
}

/* ALTER TYPE makes the key of its column anew. */
bool
is_made_by_alter_type(const source::ColumnVersions &before, const source::ColumnVersions &now,
					  uint32 xid)
{
	for (int i = 1; i < now.count; i++)
	{
		source::ColumnVersion is = source::parse_column_version(now.texts[i]);

		if (!source::is_key_version(is) && is_column_altered_by(before, is, xid))
			return true;
	}
	return false;
}

bool
is_replaced(const source::ColumnVersions &before, const source::ColumnVersions &now,
			const source::ColumnVersion &was, const source::ColumnVersion &is)
{
	return OidIsValid(was.type) && OidIsValid(is.type) && was.type != is.type &&
		   !is_made_by_alter_type(before, now, is.written_by);
}

/* The position that the stream must pass before the key that is there now counts as the table's. */
wire::Lsn
read_settled_at(const source::ColumnVersion &was, Oid key, source::Connection *control)
{
	wire::Lsn lsn;
	const char *at = strchr(was.name, '@');

	if (at != nullptr && (Oid) strtoul(was.name, nullptr, 10) == key &&
		wire::parse_lsn(at + 1, &lsn))
		return lsn;
	return source::read_positions(control).insert;
}

} // namespace

KeyVerdict
judge_key(const source::ColumnVersions &before, source::ColumnVersions *now, wire::Lsn applied,
		  source::Connection *control)
{
	int was_at = find_key(before);
	int is_at = find_key(*now);

	if (was_at == 0 || is_at == 0)
		return KeyVerdict::same;
	source::ColumnVersion was = source::parse_column_version(before.texts[was_at]);
	source::ColumnVersion is = source::parse_column_version(now->texts[is_at]);

	/* or it would not be seen that another one comes */
	if (!OidIsValid(is.type))
		now->texts[is_at] = before.texts[was_at];
	if (!is_replaced(before, *now, was, is))
		return KeyVerdict::same;
	wire::Lsn settled_at = read_settled_at(was, is.type, control);
	bool is_full = was.modifier || is.modifier;
	char lsn[wire::kLsnTextSize];

	if (applied >= settled_at)
		return is_full ? KeyVerdict::other : KeyVerdict::same;
	wire::format_lsn(settled_at, lsn);
	now->texts[is_at] = key_text(was, is_full, psprintf("%u@%s", is.type, lsn));
	/* unlike any, so that the next look sees it again */
	now->look = (char *) "";
	return KeyVerdict::same;
}

void
note_full(int64 table_id)
{
	source::ColumnVersions recorded{};

	recorded.texts = state::load_column_versions(table_id, &recorded.count);
	int at = recorded.texts != nullptr ? find_key(recorded) : 0;

	if (at == 0)
		return;
	source::ColumnVersion key = source::parse_column_version(recorded.texts[at]);

	if (key.modifier != 0)
		return;
	recorded.texts[at] = key_text(key, true, key.name);
	state::record_versions_only(table_id, recorded.count, recorded.texts);
}

} // namespace worker
