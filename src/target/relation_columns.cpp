/*
 * target/relation_columns.cpp
 *
 * The columns of a target table that the source sends: where they are, how their values are read, and how they are compared.
 * See relation_parts.hpp.
 */
#include "target/relation_parts.hpp"

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

} // namespace

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
						 "call livesync.retry_table(), or livesync.resync_table() where rows need "
						 "its values. If another table has the name at the source now, drop this "
						 "one: it is made anew.")));
	it->extra_columns = (char **) palloc(sizeof(char *) * (shape->natts + 1));
	for (int i = 0; i < shape->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(shape, i);

		if (!attribute->attisdropped && !attribute->attgenerated && !bms_is_member(i, mapped))
			it->extra_columns[it->nextra++] = pstrdup(NameStr(attribute->attname));
	}
	it->has_extra_columns = it->nextra > 0;
}

bool
has_look_alikes(const TargetRelation *it)
{
	for (int i = 0; i < it->ncolumns; i++)
		if (it->columns[i].is_hashable && !it->columns[i].tells_apart)
			return true;
	return false;
}

} // namespace target
