/*
 * api/leftovers.cpp
 *
 * See leftovers.hpp.
 *
 * Surprising: when a table of the extension is dropped, its indexes are gone already, so it is read as a heap, without SQL.
 */
#include "api/leftovers.hpp"

#include "worker/registry.hpp"

namespace api
{
namespace
{

void
warn(const char *connector, const char *slot, const char *publication)
{
	ereport(WARNING,
			(errmsg("replication slot \"%s\" of connector \"%s\" is left at its source", slot,
					connector),
			 errdetail("The source keeps WAL for it until it is dropped."),
			 errhint("Run at the source: SELECT pg_drop_replication_slot(%s);%s",
					 quote_literal_cstr(slot),
					 publication ? psprintf(" DROP PUBLICATION %s;", quote_identifier(publication))
								 : "")));
}

/* A column of text; nullptr when it is NULL. */
char *
read_column(Relation rel, HeapTuple tuple, const char *name)
{
	bool null = true;
	AttrNumber number = get_attnum(RelationGetRelid(rel), name);
	Datum value = number > 0 ? heap_getattr(tuple, number, RelationGetDescr(rel), &null) : 0;

	return null ? nullptr : TextDatumGetCString(value);
}

bool
has_column(Relation rel, HeapTuple tuple, const char *name)
{
	AttrNumber number = get_attnum(RelationGetRelid(rel), name);

	return number > 0 && !heap_attisnull(tuple, number, RelationGetDescr(rel));
}

void
warn_of_rows(Oid relid, const char *name_column, const char *publication_column, bool is_connector)
{
	Relation rel = table_open(relid, AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, nullptr);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		const char *slot = read_column(rel, tuple, "slot_name");

		/* a connector that never ran has none */
		if (slot != nullptr && (!is_connector || has_column(rel, tuple, "slot_lsn")))
			warn(read_column(rel, tuple, name_column), slot,
				 read_column(rel, tuple, publication_column));
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
}

} // namespace

void
warn_of_dropped_table(Oid relid)
{
	const char *name = get_rel_name(relid);

	if (name == nullptr || get_rel_namespace(relid) != get_namespace_oid("livesync", true) ||
		get_rel_relkind(relid) != RELKIND_RELATION)
		return;
	if (strcmp(name, "connector") == 0)
		warn_of_rows(relid, "name", "own_publication", true);
	else if (strcmp(name, "cleanup") == 0)
		warn_of_rows(relid, "connector", "publication", false);
}

void
warn_of_dropped_database(Oid database)
{
	int count;
	worker::SlotInUse *slots = worker::list_slots(database, &count);

	for (int i = 0; i < count; i++)
		warn(slots[i].connector, slots[i].slot_name, nullptr);
}

} // namespace api
