/*
 * target/definition.cpp
 *
 * Small questions about target tables, and who one is while writing to them.  See relation.hpp.
 */
#include "target/relation.hpp"

#include "base/sql.hpp"
#include "target/hypertable.hpp"

namespace target
{
namespace
{

uint64 changes = 1;

void
note_change(Datum, Oid)
{
	changes++;
}

} // namespace

uint64
definition_changes()
{
	return changes;
}

void
watch_definitions()
{
	CacheRegisterRelcacheCallback(note_change, (Datum) 0);
}

Oid
find_table(const char *schema, const char *name)
{
	Oid namespace_oid = get_namespace_oid(schema, true);

	return OidIsValid(namespace_oid) ? get_relname_relid(name, namespace_oid) : InvalidOid;
}

bool
table_exists(const char *schema, const char *name)
{
	return OidIsValid(find_table(schema, name));
}

namespace
{

/* The table for a statement of ours: children by inheritance are tables of their own. */
char *
own_rows(Relation rel)
{
	char *name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											RelationGetRelationName(rel));
	bool has_children = rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relhassubclass;

	return has_children && !is_hypertable(RelationGetRelid(rel)) ? psprintf("ONLY %s", name) : name;
}

} // namespace

bool
is_empty(const char *schema, const char *name)
{
	Oid relid = find_table(schema, name);

	if (!OidIsValid(relid))
		return true;

	Relation rel = relation_open(relid, AccessShareLock);
	char *rows = own_rows(rel);
	Role role = become_owner(rel->rd_rel->relowner);
	bool empty = base::run_alone(psprintf("SELECT FROM %s LIMIT 1", rows)) == 0;

	restore_role(role);
	relation_close(rel, AccessShareLock);
	return empty;
}

void
empty_table(const char *schema, const char *name)
{
	Oid relid = find_table(schema, name);

	if (!OidIsValid(relid))
		return;

	Relation rel = relation_open(relid, AccessShareLock);
	char *rows = own_rows(rel);
	Role role = become_owner(rel->rd_rel->relowner);

	/* not TRUNCATE, which refuses a table that a foreign key refers to; but rows in the columnstore are not to be taken out */
	base::run_alone(psprintf("%s %s", is_hypertable(relid) ? "TRUNCATE" : "DELETE FROM", rows));
	restore_role(role);
	relation_close(rel, NoLock);
}

} // namespace target
