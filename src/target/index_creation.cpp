/*
 * target/index_creation.cpp
 *
 * See index_creation.hpp.
 */
#include "target/index_creation.hpp"

#include "base/compat.hpp"
#include "target/utility.hpp"

namespace target
{
namespace
{

[[noreturn]] void
raise_unreadable(const NewIndex &index)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("the source describes index \"%s\" in a way that cannot be read", index.name)));
}

/* Exactly one statement of that kind, or ERROR. */
Node *
parse_one(const NewIndex &index, const char *sql, NodeTag kind)
{
	List *statements = pg_parse_query(sql);

	if (list_length(statements) != 1)
		raise_unreadable(index);

	Node *statement = linitial_node(RawStmt, statements)->stmt;

	if (nodeTag(statement) != kind)
		raise_unreadable(index);
	return statement;
}

char *
free_name(const NewIndex &index)
{
	Oid space = get_namespace_oid(index.schema, false);

	return OidIsValid(get_relname_relid(index.name, space))
			   ? ChooseRelationName(index.table, nullptr, "idx", space, false)
			   : pstrdup(index.name);
}

char *
build_plain(const NewIndex &index)
{
	IndexStmt *statement = (IndexStmt *) parse_one(index, index.definition, T_IndexStmt);

	statement->relation = makeRangeVar(pstrdup(index.schema), pstrdup(index.table), -1);
	statement->idxname = free_name(index);
	statement->tableSpace = nullptr;
	statement->concurrent = false;
	(void) run_utility((Node *) statement, index.definition);
	return statement->idxname;
}

char *
exclusion_sql(const NewIndex &index, const char *name)
{
	return psprintf("ALTER TABLE %s ADD CONSTRAINT %s %s",
					quote_qualified_identifier(index.schema, index.table), quote_identifier(name),
					index.definition);
}

void
check_can_exist(const NewIndex &index)
{
	if (!base::kHasTemporalKeys && strncmp(index.definition, "EXCLUDE", 7) != 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("constraints WITHOUT OVERLAPS need PostgreSQL 18 or later"),
						errhint("Create a unique index on its columns in its place.")));
}

/* Neither an exclusion constraint nor a key WITHOUT OVERLAPS has a form as an index alone. */
char *
build_exclusion(const NewIndex &index)
{
	check_can_exist(index);

	char *name = free_name(index);
	char *sql = exclusion_sql(index, name);
	AlterTableStmt *statement = (AlterTableStmt *) parse_one(index, sql, T_AlterTableStmt);

	if (list_length(statement->cmds) != 1)
		raise_unreadable(index);
	AlterTableCmd *command = linitial_node(AlterTableCmd, statement->cmds);

	if (command->subtype != AT_AddConstraint ||
		!base::is_exclusion(castNode(Constraint, command->def)))
		raise_unreadable(index);
	(void) run_utility((Node *) statement, sql);
	return name;
}

/* Expressions of an index may do no more than the table's owner may. */
Role
become_owner_of(const NewIndex &index)
{
	Oid relid = get_relname_relid(index.table, get_namespace_oid(index.schema, false));
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target table \"%s.%s\" does not exist", index.schema, index.table)));
	Oid owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;

	ReleaseSysCache(tuple);
	return become_owner(owner);
}

/* Past one name, quoted or not. */
const char *
skip_name(const char *text)
{
	bool is_quoted = false;

	for (; *text != '\0' && (is_quoted || (*text != '.' && *text != ' ')); text++)
		if (*text == '"')
			is_quoted = !is_quoted;
	return text;
}

/* The source's text, of the table here. */
char *
plain_sql(const NewIndex &index)
{
	IndexStmt *statement = (IndexStmt *) parse_one(index, index.definition, T_IndexStmt);
	const char *table = index.definition + Max(statement->relation->location, 0);
	const char *rest = skip_name(table);

	if (*rest == '.')
		rest = skip_name(rest + 1);
	return psprintf("%.*s%s%s", (int) (table - index.definition), index.definition,
					quote_qualified_identifier(index.schema, index.table), rest);
}

} // namespace

bool
has_indexes(const char *schema, const char *name)
{
	Oid relid = find_table(schema, name);

	if (!OidIsValid(relid))
		return false;
	Relation rel = relation_open(relid, AccessShareLock);
	bool has = RelationGetIndexList(rel) != NIL;

	relation_close(rel, AccessShareLock);
	return has;
}

char *
index_sql(const NewIndex &index)
{
	return index.constraint == 'x' ? exclusion_sql(index, index.name) : plain_sql(index);
}

char *
add_constraint_sql(const NewIndex &index)
{
	return psprintf(
		"ALTER TABLE %s ADD CONSTRAINT %s %s USING INDEX %s%s%s",
		quote_qualified_identifier(index.schema, index.table), quote_identifier(index.name),
		index.constraint == 'p' ? "PRIMARY KEY" : "UNIQUE", quote_identifier(index.name),
		index.is_deferrable ? " DEFERRABLE" : "", index.is_deferred ? " INITIALLY DEFERRED" : "");
}

char *
build_index(const NewIndex &index)
{
	Role role = become_owner_of(index);
	char *name = index.constraint == 'x' ? build_exclusion(index) : build_plain(index);

	restore_role(role);
	return name;
}

bool
needs_constraint(const NewIndex &index)
{
	return index.constraint == 'p' || index.constraint == 'u';
}

void
add_constraint(const NewIndex &index)
{
	Role role = become_owner_of(index);

	(void) run_utility(add_constraint_sql(index));
	restore_role(role);
}

} // namespace target
