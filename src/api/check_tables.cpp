/*
 * api/check_tables.cpp
 *
 * What livesync.check_source() says of tables: that they are there, may be read and published, that
 * their changes find their rows, and what they meet here.  See check.hpp.
 */
#include "api/check.hpp"

#include "base/pg.hpp"
#include "source/inventory.hpp"
#include "source/partition_identity.hpp"

using source::Check;
using source::CheckStatus;

namespace api
{
namespace
{

void
add(const TablesQuestion &it, const char *name, const char *label, CheckStatus status,
	const char *detail, const char *hint = nullptr)
{
	source::add_check(it.list, Check{name, label, status, detail, hint});
}

void
check_access(const TablesQuestion &it, const source::SourceTable &table, bool can_read,
			 const char *label)
{
	const char *user = PQuser(it.connection->raw);

	if (!can_read)
		add(it, "select", label, CheckStatus::error,
			psprintf("user \"%s\" may not read it or one of its partitions", user),
			psprintf("Run at the source, for its partitions too: GRANT USAGE ON SCHEMA %s TO %s; "
					 "GRANT SELECT ON %s TO %s;",
					 quote_identifier(table.schema), quote_identifier(user),
					 quote_qualified_identifier(table.schema, table.name), quote_identifier(user)));
	else if (table.is_filtered)
		add(it, "select", label, CheckStatus::error,
			psprintf("row-level security hides rows from user \"%s\"", user),
			psprintf("Run at the source: ALTER ROLE %s BYPASSRLS;", quote_identifier(user)));
	else
		add(it, "select", label, CheckStatus::ok, "readable");

	if (it.npublications == 0 && !it.is_superuser && !table.is_owned)
		add(it, "owner", label, CheckStatus::error,
			psprintf("user \"%s\" does not own it and cannot publish it", user),
			psprintf("Run at the source: GRANT the owner's role TO %s; or have a publication made "
					 "by the owner and name it in the call.",
					 quote_identifier(user)));
}

void
check_identity(const TablesQuestion &it, const source::SourceTable &table,
			   const source::IdentityGap *gap, const source::OddPartition *odd, const char *label)
{
	const char *name = quote_qualified_identifier(table.schema, table.name);
	bool sends_changes = it.npublications == 0 || table.sends_changes;

	if (!table.has_identity && sends_changes)
		add(it, "replica identity", label, CheckStatus::error,
			"it has none, so once published UPDATE and DELETE fail at the source",
			psprintf("Add a primary key, or run at the source: ALTER TABLE %s REPLICA IDENTITY "
					 "USING INDEX ...; or, for a table without a key, REPLICA IDENTITY FULL.",
					 name));
	else if (!table.has_identity)
		add(it, "replica identity", label, CheckStatus::ok,
			"it has none, and only inserts are published");
	else if (table.hides_identity)
		add(it, "replica identity", label, CheckStatus::error,
			"generated columns that are not published belong to it, so once published UPDATE and "
			"DELETE fail at the source or, before 18, cannot be applied here",
			hidden_identity_hint(name));
	else if (gap != nullptr)
		add(it, "replica identity", label, CheckStatus::error, gap->detail, gap->hint);
	else if (odd != nullptr)
		add(it, "replica identity", label, CheckStatus::error,
			psprintf("partition %s", odd->detail), odd->hint);
	else if (table.replica_identity == 'f' && table.key_count == 0)
		add(it, "replica identity", label, CheckStatus::warning,
			"FULL without a primary key: an update or delete here searches the whole row",
			"Add a primary key if you can.  Its copy needs one snapshot for the whole table.");
	else
		add(it, "replica identity", label, CheckStatus::ok,
			table.replica_identity == 'f' ? "FULL" : "by key");
}

/* What the publications send of it; nullptr when it comes under the name of its partition root. */
const source::PublishedTable *
find_published(const source::PublishedTables &published, Oid oid)
{
	for (int i = 0; i < published.count; i++)
		if (published.tables[i].oid == oid)
			return &published.tables[i];
	return nullptr;
}

/* nullptr: every update and delete that is published finds its row. */
const source::IdentityGap *
find_gap(const source::IdentityGaps &gaps, Oid oid)
{
	for (int i = 0; i < gaps.count; i++)
		if (gaps.list[i].table == oid)
			return &gaps.list[i];
	return nullptr;
}

/* Of tables that come under their own names, and not only with inserts. */
source::OddPartitions
find_odd(const TablesQuestion &it, const source::SourceTables &tables)
{
	Oid *roots = (Oid *) palloc(sizeof(Oid) * (tables.count + 1));
	int count = 0;

	for (int i = 0; i < tables.count; i++)
		if (it.npublications == 0 || tables.tables[i].sends_changes)
			roots[count++] = tables.tables[i].oid;
	return source::find_odd_partitions(it.connection, count, roots);
}

void
check_table(const TablesQuestion &it, const source::SourceTable &table,
			const source::PublishedTable *published, const source::IdentityGap *gap,
			const source::OddPartition *odd)
{
	char *label = source::table_label(table);
	TargetQuestion question{};

	if (!table.can_publish)
		return add(it, "table", label, CheckStatus::error,
				   psprintf("it is of a kind that cannot be published: %s", table.kind),
				   "Leave it out, or make it an ordinary table.");
	check_access(it, table, published ? published->can_select : table.can_read, label);
	check_identity(it, table, gap, odd, label);
	question.connection = it.connection;
	question.schema = table.schema;
	question.name = table.name;
	question.columns = source::read_columns(it.connection, table.oid);
	if (published != nullptr)
	{
		question.npublished = published->columns_count;
		question.published = published->columns;
	}
	question.nkeys = table.has_identity ? table.key_count : 0;
	question.keys = table.key;
	check_target_table(it.list, question);
}

bool
matches(const source::SourceTable &table, const char *name)
{
	const char *spellings[] = {
		psprintf("%s.%s", table.schema, table.name),
		quote_qualified_identifier(table.schema, table.name),
		psprintf("\"%s\".\"%s\"", table.schema, table.name),
		psprintf("%s.*", table.schema),
		psprintf("\"%s\".*", table.schema),
	};

	for (const char *spelling : spellings)
		if (strcmp(spelling, name) == 0)
			return true;
	return false;
}

void
check_names(const TablesQuestion &it, const source::SourceTables &tables)
{
	for (int i = 0; i < it.ntables; i++)
	{
		bool found = false;

		for (int t = 0; !found && t < tables.count; t++)
			found = matches(tables.tables[t], it.tables[i]);
		if (!found)
			add(it, "table", it.tables[i], CheckStatus::error,
				psprintf("there is no such table in database \"%s\" of the source",
						 PQdb(it.connection->raw)),
				"Write schema.table or schema.*; upper and lower case matter.  "
				"livesync.source_tables() lists what is there.");
	}
}

} // namespace

char *
hidden_identity_hint(const char *name)
{
	return psprintf("Run at the source: ALTER TABLE %s REPLICA IDENTITY USING INDEX ...; of a "
					"unique index without them, or DEFAULT, for such a primary key.",
					name);
}

void
check_tables(const TablesQuestion &it)
{
	source::PublishedTables published{};
	source::SourceTables tables = source::read_inventory(it.connection, it.ntables, it.tables,
														 it.npublications, it.publications);
	source::IdentityGaps gaps =
		source::read_identity_gaps(it.connection, it.npublications, it.publications);
	source::OddPartitions odd = find_odd(it, tables);
	bool is_everything = it.ntables == 0 && it.npublications == 0;

	if (it.npublications > 0)
		published = source::read_published_tables(source::query(
			it.connection,
			source::published_tables_sql(it.connection, it.npublications, it.publications)));
	check_names(it, tables);
	for (int i = 0; i < tables.count; i++)
	{
		Oid oid = tables.tables[i].oid;
		const source::PublishedTable *entry = find_published(published, oid);

		CHECK_FOR_INTERRUPTS();
		/* a connector for every table leaves these out by itself */
		if (is_everything && !tables.tables[i].can_publish)
			continue;
		if (it.npublications == 0 || entry != nullptr)
			check_table(it, tables.tables[i], entry, find_gap(gaps, oid),
						source::find_odd_partition(odd, oid, true));
	}
	check_extensions(it.list, it.connection, tables);
}

} // namespace api
