/*
 * target/relation.cpp
 *
 * Opening a target table.  See relation.hpp.
 */
#include "target/relation.hpp"

#include "target/hypertable.hpp"
#include "target/relation_parts.hpp"
#include "target/row_origin.hpp"

namespace target
{
namespace
{

bool
has_firing_trigger(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	if (triggers == nullptr)
		return false;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		char enabled = triggers->triggers[i].tgenabled;

		if (enabled == TRIGGER_FIRES_ALWAYS || enabled == TRIGGER_FIRES_ON_REPLICA)
			return true;
	}
	return false;
}

/*
 * With such triggers TimescaleDB copies row by row, and does not tell continuous aggregates which ranges changed; whether
 * there are any now does not matter, and neither do the triggers' own states.
 */
bool
has_triggers_against_copy(Relation rel)
{
	const TriggerDesc *triggers = rel->trigdesc;

	return triggers != nullptr &&
		   (triggers->trig_insert_before_row || triggers->trig_insert_new_table);
}

/* A partition may have triggers of its own, and may be elsewhere: what is written there does not wait for our commit. */
void
look_at_partitions(TargetRelation *it, Relation rel)
{
	List *leaves = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
					   ? find_all_inheritors(it->relid, AccessShareLock, nullptr)
					   : NIL;
	ListCell *cell;

	foreach (cell, leaves)
	{
		Relation leaf = relation_open(lfirst_oid(cell), NoLock);

		if (leaf->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("target \"%s.%s\" has partition \"%s\", which is a foreign table",
							it->schema, it->name, RelationGetRelationName(leaf)),
					 errhint("Detach the partition, or give the table another target.")));
		it->fires_triggers |= has_firing_trigger(leaf);
		/* the root, which comes first, is its opener's */
		relation_close(leaf, lfirst_oid(cell) == it->relid ? NoLock : AccessShareLock);
	}
	list_free(leaves);
}

/* Besides those of the key, which an upsert need not set. */
bool
has_always_identity(const TargetRelation *it)
{
	for (int i = 0; i < it->ncolumns; i++)
	{
		bool is_key = false;

		for (int k = 0; k < it->nkeys; k++)
			is_key |= it->keys[k] == i;
		if (it->columns[i].is_always_identity && !is_key)
			return true;
	}
	return false;
}

/* Bounds on other types of time would not be worth their code. */
bool
is_type_of_time(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID || type == INT2OID ||
		   type == INT4OID || type == INT8OID;
}

void
map_dimensions(TargetRelation *it)
{
	it->time_column = it->time_find = -1;
	it->hypertable = read_hypertable(it->relid);
	if (it->hypertable == nullptr)
		return;
	for (int i = 0; i < it->ncolumns; i++)
		for (int d = 0; d < it->hypertable->ndimensions; d++)
			if (strcmp(it->columns[i].name, it->hypertable->dimensions[d]) == 0)
			{
				it->columns[i].is_dimension = true;
				if (d == 0 && is_type_of_time(it->columns[i].type))
					it->time_column = i;
			}
	if (it->nkeys == 0)
		it->time_find = it->time_column;
	for (int k = 0; k < it->nkeys; k++)
		if (it->keys[k] == it->time_column)
			it->time_find = k;
}

/* c0 … for the new values, k0 … for the values that find the row (all columns when there is no key). */
TupleDesc
make_row_shape(const TargetRelation *it)
{
	/* a statement has no more than MaxTupleAttributeNumber of them, and needs some for itself */
	constexpr int kMostWithoutKey = 825;
	int nfind = it->nkeys > 0 ? it->nkeys : it->ncolumns;

	if (it->nkeys == 0 && it->ncolumns > kMostWithoutKey)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("target table \"%s.%s\" has %d replicated columns and no key", it->schema,
						it->name, it->ncolumns),
				 errdetail("Without a key rows are found by all columns, of which there can be %d.",
						   kMostWithoutKey),
				 errhint("Give the source table a primary key, or leave columns out of the "
						 "publication, then call livesync.resync_table().")));
	TupleDesc shape = CreateTemplateTupleDesc(it->ncolumns + nfind);

	for (int i = 0; i < it->ncolumns + nfind; i++)
	{
		bool is_new = i < it->ncolumns;
		int index = is_new ? i : it->nkeys > 0 ? it->keys[i - it->ncolumns] : i - it->ncolumns;
		const TargetColumn &column = it->columns[index];
		char name[NAMEDATALEN];

		snprintf(name, sizeof(name), "%c%d", is_new ? 'c' : 'k', is_new ? i : i - it->ncolumns);
		TupleDescInitEntry(shape, (AttrNumber) (i + 1), name, column.type, column.modifier, 0);
		TupleDescInitEntryCollation(shape, (AttrNumber) (i + 1), column.collation);
	}
	return shape;
}

void
check_writable(Relation rel, const TargetRelation *it)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("target \"%s.%s\" is not a table", it->schema, it->name),
						errdetail("Changes can be applied to tables and partitioned tables only."),
						errhint("Give the table another target.")));

	check_deferred_triggers(rel);

	Role role = become_owner(it->owner);
	bool restricted = check_enable_rls(it->relid, InvalidOid, true) == RLS_ENABLED;

	restore_role(role);
	if (restricted)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("target table \"%s.%s\" has row-level security that its owner must obey",
						it->schema, it->name),
				 errhint("Use ALTER TABLE ... NO FORCE ROW LEVEL SECURITY.")));
}

void
fill(TargetRelation *it, Relation rel, const RelationSpec &spec)
{
	bool has_children = rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relhassubclass;

	it->relid = RelationGetRelid(rel);
	it->owner = rel->rd_rel->relowner;
	it->kind = rel->rd_rel->relkind;
	it->insert_name = quote_qualified_identifier(it->schema, it->name);
	check_writable(rel, it);
	map_columns(it, rel, spec);
	choose_keys(it, rel, spec);
	map_dimensions(it);
	it->tells_writers = is_origin_kept() && it->hypertable == nullptr;
	it->sql_name = has_children && it->hypertable == nullptr ? psprintf("ONLY %s", it->insert_name)
															 : it->insert_name;
	judge_indexes(it, rel);
	it->has_always_identity = has_always_identity(it);
	it->has_look_alikes = it->nkeys == 0 && has_look_alikes(it);
	it->fires_triggers = has_firing_trigger(rel);
	look_at_partitions(it, rel);
	it->needs_inserts = it->hypertable != nullptr && has_triggers_against_copy(rel);
	it->row_shape = make_row_shape(it);
}

void
free_plans(void *argument)
{
	for (SavedStatement *it = ((TargetRelation *) argument)->statements; it != nullptr;
		 it = it->next)
		SPI_freeplan(it->plan);
}

/* Saved plans live outside of every context of ours, also when an error deletes this one. */
void
own_plans(TargetRelation *it)
{
	MemoryContextCallback *callback = (MemoryContextCallback *) MemoryContextAllocZero(
		it->context, sizeof(MemoryContextCallback));

	callback->func = free_plans;
	callback->arg = it;
	MemoryContextRegisterResetCallback(it->context, callback);
}

} // namespace

TargetRelation *
open_target(const RelationSpec &spec, MemoryContext parent)
{
	Oid namespace_oid = get_namespace_oid(spec.schema, true);
	Oid relid =
		OidIsValid(namespace_oid) ? get_relname_relid(spec.name, namespace_oid) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("target table \"%s.%s\" does not exist", spec.schema, spec.name),
						errhint("If it has another name now, rename it and call "
								"livesync.retry_table(); otherwise create it and call "
								"livesync.resync_table(), which brings its rows.")));

	Relation rel = relation_open(relid, AccessShareLock);
	/* under the transaction's memory until all went well: an error must leave nothing behind */
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "livesync target", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TargetRelation *it = (TargetRelation *) palloc0(sizeof(TargetRelation));

	it->unreadable = -1;
	it->context = context;
	it->schema = pstrdup(spec.schema);
	it->name = pstrdup(spec.name);
	fill(it, rel, spec);
	MemoryContextSwitchTo(old);
	/* no lock is kept: upgrading it for a TRUNCATE would deadlock with another connector's */
	relation_close(rel, AccessShareLock);
	own_plans(it);
	MemoryContextSetParent(context, parent);
	return it;
}

void
close_target(TargetRelation *relation)
{
	MemoryContextDelete(relation->context);
}

} // namespace target
