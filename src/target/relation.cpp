/*
 * target/relation.cpp
 *
 * Opening a target table.  See relation.hpp.
 */
#include "target/relation.hpp"

#include "base/compat.hpp"
#include "base/names.hpp"
#include "base/sql.hpp"
#include "target/hypertable.hpp"
#include "target/row_origin.hpp"

#include <string_view>

namespace target
{
namespace
{

/* BTEQUALIMAGE_PROC; its header has all of the access method */
constexpr int16 kEqualImageFunction = 4;

/* Are equal values the same to the last byte? Not so: 1.0 and 1.00, 0 and -0, what a collation does not tell apart. */
bool
is_equal_identical(const TypeCacheEntry *entry, Oid collation)
{
	Oid opfamily = entry->btree_opf;
	Oid type = entry->btree_opintype;

	if (!OidIsValid(opfamily))
		return false;

	Oid function = get_opfamily_proc(opfamily, type, type, kEqualImageFunction);

	return OidIsValid(function) &&
		   DatumGetBool(OidFunctionCall1Coll(function, collation, ObjectIdGetDatum(type)));
}

char *
operator_text(Oid number)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(number));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", number);
	Form_pg_operator form = (Form_pg_operator) GETSTRUCT(tuple);
	char *text_form =
		psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
				 NameStr(form->oprname));

	ReleaseSysCache(tuple);
	return text_form;
}

void
fill_equality(TargetColumn *column)
{
	TypeCacheEntry *entry =
		lookup_type_cache(getBaseType(column->type),
						  TYPECACHE_EQ_OPR | TYPECACHE_HASH_PROC | TYPECACHE_BTREE_OPFAMILY);

	if (!OidIsValid(entry->eq_opr))
		return;
	column->equality = operator_text(entry->eq_opr);
	column->is_hashable = OidIsValid(entry->hash_proc);
	column->tells_apart = column->is_hashable && is_equal_identical(entry, column->collation);
}

/* Of the types of any length, those that can be huge.  Others may look for the end of a string. */
bool
reads_by_length(Oid receive)
{
	switch (receive)
	{
		case F_BYTEARECV:
		case F_TEXTRECV:
		case F_VARCHARRECV:
		case F_BPCHARRECV:
		case F_JSON_RECV:
		case F_JSONB_RECV:
			return true;
		default:
			return false;
	}
}

void
fill_column(TargetColumn *column, Form_pg_attribute attribute)
{
	Oid function;

	column->name = pstrdup(NameStr(attribute->attname));
	column->number = attribute->attnum;
	column->type = attribute->atttypid;
	column->modifier = attribute->atttypmod;
	column->collation = attribute->attcollation;
	column->is_always_identity = attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
	getTypeInputInfo(attribute->atttypid, &function, &column->io_parameter);
	fmgr_info(function, &column->input);

	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(attribute->atttypid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", attribute->atttypid);
	Oid receive = ((Form_pg_type) GETSTRUCT(tuple))->typreceive;

	ReleaseSysCache(tuple);
	column->has_receive = OidIsValid(receive);
	column->reads_by_length = attribute->attlen > 0 || reads_by_length(receive);
	if (column->has_receive)
		fmgr_info(receive, &column->receive);
	fill_equality(column);
}

int
find_attribute(TupleDesc shape, const char *name)
{
	for (int i = 0; i < shape->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(shape, i);

		if (!attribute->attisdropped && !attribute->attgenerated &&
			strcmp(NameStr(attribute->attname), name) == 0)
			return i;
	}
	return -1;
}

void
map_columns(TargetRelation *it, Relation rel, const RelationSpec &spec)
{
	TupleDesc shape = RelationGetDescr(rel);
	StringInfoData missing;
	int nmissing = 0;
	Bitmapset *mapped = nullptr;

	initStringInfo(&missing);
	it->ncolumns = spec.ncolumns;
	it->columns = (TargetColumn *) palloc0(sizeof(TargetColumn) * (spec.ncolumns + 1));
	for (int i = 0; i < spec.ncolumns; i++)
	{
		int found = find_attribute(shape, spec.columns[i]);

		if (found < 0)
		{
			appendStringInfo(&missing, "%s\"%s\"", nmissing++ ? ", " : "", spec.columns[i]);
			continue;
		}
		fill_column(&it->columns[i], TupleDescAttr(shape, found));
		it->columns[i].sent_type = spec.types != nullptr ? spec.types[i] : InvalidOid;
		mapped = bms_add_member(mapped, found);
	}
	if (nmissing > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("target table \"%s.%s\" is missing replicated column%s: %s", it->schema,
						it->name, nmissing > 1 ? "s" : "", missing.data),
				 errhint("Add the column with ALTER TABLE, as a column that is not generated, then "
						 "call livesync.retry_table().")));
	it->extra_columns = (char **) palloc(sizeof(char *) * (shape->natts + 1));
	for (int i = 0; i < shape->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(shape, i);

		if (!attribute->attisdropped && !attribute->attgenerated && !bms_is_member(i, mapped))
			it->extra_columns[it->nextra++] = pstrdup(NameStr(attribute->attname));
	}
	it->has_extra_columns = it->nextra > 0;
}

int
column_index(const TargetRelation *it, AttrNumber number)
{
	for (int i = 0; i < it->ncolumns; i++)
		if (it->columns[i].number == number)
			return i;
	return -1;
}

/* Enforced at once, over plain columns, for all rows. */
bool
is_full_unique(Form_pg_index index, HeapTuple tuple)
{
	return index->indisunique && index->indimmediate && index->indisvalid && index->indisready &&
		   heap_attisnull(tuple, Anum_pg_index_indpred, nullptr) &&
		   heap_attisnull(tuple, Anum_pg_index_indexprs, nullptr);
}

bool
covers_exactly(const TargetRelation *it, Form_pg_index index, int nkeys, const uint16 *keys)
{
	if (index->indnkeyatts != nkeys)
		return false;
	for (int k = 0; k < nkeys; k++)
	{
		bool found = false;

		for (int i = 0; i < index->indnkeyatts; i++)
			found |= index->indkey.values[i] == it->columns[keys[k]].number;
		if (!found)
			return false;
	}
	return true;
}

/* Columns of a unique index of the target over NOT NULL columns that the source sends: with FULL they find the row. */
bool
take_keys_of_index(TargetRelation *it, Relation rel, Form_pg_index index)
{
	int nkeys = index->indnkeyatts;
	uint16 *keys = (uint16 *) palloc(sizeof(uint16) * nkeys);

	for (int i = 0; i < nkeys; i++)
	{
		AttrNumber number = index->indkey.values[i];
		int found = number > 0 ? column_index(it, number) : -1;

		if (found < 0 || !base::is_never_null(RelationGetDescr(rel), number - 1))
			return false;
		keys[i] = (uint16) found;
	}
	it->nkeys = nkeys;
	it->keys = keys;
	it->borrows_keys = true;
	return true;
}

using IndexVisitor = void (*)(TargetRelation *it, Relation rel, Form_pg_index index,
							  HeapTuple tuple);

void
visit_indexes(TargetRelation *it, Relation rel, IndexVisitor visit)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	foreach (cell, indexes)
	{
		HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));

		if (!HeapTupleIsValid(tuple))
			continue;
		visit(it, rel, (Form_pg_index) GETSTRUCT(tuple), tuple);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
}

bool
find_key_index(TargetRelation *it, Relation rel)
{
	visit_indexes(it, rel, [](TargetRelation *me, Relation, Form_pg_index index, HeapTuple tuple) {
		me->has_key_index |= me->nkeys > 0 && is_full_unique(index, tuple) &&
							 covers_exactly(me, index, me->nkeys, me->keys);
	});
	return it->has_key_index;
}

void
choose_keys(TargetRelation *it, Relation rel, const RelationSpec &spec)
{
	it->keys = (uint16 *) palloc0(sizeof(uint16) * (spec.ncolumns + 1));
	if (!spec.is_full)
	{
		for (int i = 0; i < spec.ncolumns; i++)
			if (spec.is_key[i])
				it->keys[it->nkeys++] = (uint16) i;
		return;
	}
	/* in the order of the columns, as everywhere else */
	for (int i = 0; i < spec.ncolumns; i++)
		if (base::is_among(spec.columns[i], spec.nfallback_keys, spec.fallback_keys))
			it->keys[it->nkeys++] = (uint16) i;
	if (it->nkeys < spec.nfallback_keys || (spec.must_be_unique && !find_key_index(it, rel)))
		it->nkeys = 0;
	if (it->nkeys == 0)
		visit_indexes(it, rel,
					  [](TargetRelation *me, Relation r, Form_pg_index index, HeapTuple tuple) {
						  if (me->nkeys == 0 && is_full_unique(index, tuple))
							  (void) take_keys_of_index(me, r, index);
					  });
}

void
judge_indexes(TargetRelation *it, Relation rel)
{
	visit_indexes(it, rel, [](TargetRelation *me, Relation, Form_pg_index index, HeapTuple tuple) {
		bool is_key = me->nkeys > 0 && is_full_unique(index, tuple) &&
					  covers_exactly(me, index, me->nkeys, me->keys);

		if (is_key)
		{
			me->has_key_index = true;
			me->takes_conflicts |= !index->indisexclusion;
		}
		else if (index->indisunique || index->indisexclusion)
			me->has_other_unique = true;
		if (index->indisvalid && heap_attisnull(tuple, Anum_pg_index_indpred, nullptr))
			for (int k = 0; k < me->nkeys; k++)
				if (index->indkey.values[0] == me->columns[me->keys[k]].number)
					me->has_index = true;
	});
}

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

bool
has_look_alikes(const TargetRelation *it)
{
	for (int i = 0; i < it->ncolumns; i++)
		if (it->columns[i].is_hashable && !it->columns[i].tells_apart)
			return true;
	return false;
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
	int nfind = it->nkeys > 0 ? it->nkeys : it->ncolumns;
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
						errhint("Create it, then call livesync.retry_table().")));

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
