/*
 * api/check_target.cpp
 *
 * The tables that are here already.  See check.hpp.  Only the catalogs are read, and whether a table has rows.
 *
 * The caller's search_path is that of the function, so a type is written with its schema unless it
 * is built in, as the source's session writes it too: equal texts are equal types.
 */
#include "api/check.hpp"

#include "base/names.hpp"
#include "base/sql.hpp"
#include "target/hypertable.hpp"
#include "target/relation.hpp"

using namespace base;
using source::Check;
using source::CheckList;
using source::CheckStatus;

namespace api
{
namespace
{

bool
is_published(const TargetQuestion &question, const source::SourceColumn &column)
{
	if (question.npublished == 0)
		return column.generated == '\0';
	return base::is_among(column.name, question.npublished, question.published);
}

/* A comma-separated list that grows. */
void
append(StringInfo list, const char *text_form)
{
	appendStringInfo(list, "%s%s", list->len > 0 ? ", " : "", text_form);
}

const char *
missing_type_hint(const TargetQuestion &question, Oid type)
{
	char *extension = source::read_type_extension(question.connection, type);

	if (extension == nullptr)
		return "Create the type here, or create the table with another type that accepts the same "
			   "text.";
	return extension_hint(extension, " so that the type is in the same schema.");
}

bool
is_type_here(const char *name)
{
	begin_sql();
	(void) run_sql("SELECT to_regtype($1) IS NOT NULL",
				   {text_value(pnstrdup(name, strcspn(name, "(")))});
	bool found = get_bool(0, 1);

	end_sql();
	return found;
}

/* Those that the new table would need; a built-in type is missing only in an older server. */
void
check_types(CheckList *list, const TargetQuestion &question, const char *label)
{
	bool all_here = true;

	for (int i = 0; i < question.columns.count; i++)
	{
		const source::SourceColumn &column = question.columns.columns[i];

		if (!is_published(question, column) || column.type_is_builtin || is_type_here(column.type))
			continue;
		all_here = false;
		source::add_check(list, Check{"type", label, CheckStatus::error,
									  psprintf("column \"%s\" has the type %s, which does not "
											   "exist here",
											   column.name, column.type),
									  missing_type_hint(question, column.type_oid)});
	}
	if (all_here)
		source::add_check(list, Check{"target table", label, CheckStatus::ok,
									  "it does not exist here and will be created", nullptr});
}

struct Differences
{
	StringInfoData missing; /* no place for the column's values */
	StringInfoData types;
	StringInfoData stricter; /* NOT NULL here only */
	StringInfoData required; /* columns of this side that the source does not fill */
};

/* Columns of the last statement: name, type, NOT NULL, generated, filled by itself. */
int
find_column(const SqlScope &scope, uint64 rows, const char *name)
{
	for (uint64 row = 0; row < rows; row++)
		if (strcmp(get_text(scope, row, 1), name) == 0)
			return (int) row;
	return -1;
}

void
compare_column(Differences *it, const SqlScope &scope, uint64 rows,
			   const source::SourceColumn &column)
{
	int row = find_column(scope, rows, column.name);

	if (row < 0 || get_bool((uint64) row, 4))
		return append(&it->missing, column.name);
	char *type = get_text(scope, (uint64) row, 2);

	if (strcmp(type, column.type) != 0)
		append(&it->types, psprintf("%s (%s, here %s)", column.name, column.type, type));
	if (get_bool((uint64) row, 3) && !column.not_null)
		append(&it->stricter, column.name);
}

void
find_required(Differences *it, const SqlScope &scope, uint64 rows, const TargetQuestion &question)
{
	for (uint64 row = 0; row < rows; row++)
	{
		char *name = get_text(scope, row, 1);
		bool is_filled = get_bool(row, 4) || get_bool(row, 5) || !get_bool(row, 3);

		for (int i = 0; !is_filled && i < question.columns.count; i++)
			is_filled = is_published(question, question.columns.columns[i]) &&
						strcmp(question.columns.columns[i].name, name) == 0;
		if (!is_filled)
			append(&it->required, name);
	}
}

Differences
compare_columns(Oid relid, const TargetQuestion &question)
{
	Differences it;

	initStringInfo(&it.missing);
	initStringInfo(&it.types);
	initStringInfo(&it.stricter);
	initStringInfo(&it.required);
	SqlScope scope = begin_sql();
	uint64 rows = run_sql("SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, "
						  "attgenerated <> '', atthasdef OR attidentity <> '' "
						  "FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 "
						  "AND NOT attisdropped ORDER BY attnum",
						  {oid_value(relid)});

	MemoryContext old = MemoryContextSwitchTo(scope.caller);

	for (int i = 0; i < question.columns.count; i++)
		if (is_published(question, question.columns.columns[i]))
			compare_column(&it, scope, rows, question.columns.columns[i]);
	find_required(&it, scope, rows, question);
	MemoryContextSwitchTo(old);
	end_sql();
	return it;
}

/* The writer's own rule: see target/relation.hpp. */
bool
has_key_index(Oid relid, int nkeys, char **keys)
{
	return run_alone(
			   "SELECT FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid "
			   "AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND $2 = "
			   "(SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE \"C\") "
			   "FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place) "
			   "JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.number "
			   "WHERE k.place <= i.indnkeyatts)",
			   {oid_value(relid), text_array_value(nkeys, keys)}) > 0;
}

int
compare_names(const void *left, const void *right)
{
	return strcmp(*(char *const *) left, *(char *const *) right);
}

bool
report(CheckList *list, const char *label, CheckStatus status, const StringInfoData &names,
	   const char *what, const char *hint)
{
	if (names.len == 0)
		return false;
	source::add_check(
		list, Check{"target table", label, status, psprintf("%s: %s", what, names.data), hint});
	return true;
}

/* Whether there was something to say. */
bool
check_columns(CheckList *list, Oid relid, const TargetQuestion &question, const char *label)
{
	Differences it = compare_columns(relid, question);
	bool any = report(list, label, CheckStatus::error, it.missing, "columns that it lacks here",
					  "Add them with ALTER TABLE, as columns that are not generated.");

	any |= report(list, label, CheckStatus::error, it.required,
				  "columns here that the source does not fill are NOT NULL and have no default",
				  "Give them a default or drop NOT NULL.");
	any |=
		report(list, label, CheckStatus::warning, it.types, "columns of another type here",
			   "Values go through their text form: the type here must accept every one of them.");
	any |= report(list, label, CheckStatus::warning, it.stricter, "columns that are NOT NULL here",
				  "A NULL from the source stops the table: drop NOT NULL, or make sure that there "
				  "is none.");
	return any;
}

/* What it means that no unique index is on exactly the key, and what to do. */
void
check_without_key_index(CheckList *list, Oid relid, const TargetQuestion &question,
						const char *label)
{
	const target::Hypertable *hypertable = target::read_hypertable(relid);
	const char *time = hypertable != nullptr ? hypertable->dimensions[0] : nullptr;

	if (time == nullptr || base::is_among(time, question.nkeys, question.keys))
		return source::add_check(
			list, Check{"target table", label, CheckStatus::warning,
						"it has no unique index, not deferrable, on exactly the columns of the key",
						"Create one: without it each change searches the whole table."});
	source::add_check(
		list,
		Check{
			"target table", label, CheckStatus::warning,
			psprintf("it is a hypertable by \"%s\", which the source's key does not contain: each "
					 "change searches all chunks",
					 time),
			psprintf("Better give the source table a unique index on its key and \"%s\", and "
					 "REPLICA IDENTITY USING INDEX.",
					 time)});
}

bool
check_rows(CheckList *list, Oid relid, const TargetQuestion &question, const char *label)
{
	char **keys = (char **) palloc(sizeof(char *) * (question.nkeys + 1));
	bool is_empty = target::is_empty(question.schema, question.name);
	bool has_index = false;

	for (int i = 0; i < question.nkeys; i++)
		keys[i] = question.keys[i];
	qsort(keys, (size_t) question.nkeys, sizeof(char *), compare_names);
	has_index = question.nkeys > 0 && has_key_index(relid, question.nkeys, keys);

	if (!is_empty)
		source::add_check(
			list,
			Check{"target table", label, has_index ? CheckStatus::warning : CheckStatus::error,
				  "it holds rows",
				  has_index ? "Rows with keys of the source are overwritten, others stay; empty it "
							  "for an exact copy."
							: "Empty it: without a unique index on the key, rows that are there "
							  "cannot be told from copied ones."});
	else if (question.nkeys > 0 && !has_index)
		check_without_key_index(list, relid, question, label);
	return !is_empty || (question.nkeys > 0 && !has_index);
}

} // namespace

void
check_target_table(CheckList *list, const TargetQuestion &question)
{
	char *label = psprintf("%s.%s", question.schema, question.name);
	Oid schema = get_namespace_oid(question.schema, true);
	Oid relid = OidIsValid(schema) ? get_relname_relid(question.name, schema) : InvalidOid;

	if (!OidIsValid(relid))
	{
		(void) check_may_create(list, question.schema, label);
		return check_types(list, question, label);
	}
	char kind = get_rel_relkind(relid);

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		return source::add_check(list, Check{"target table", label, CheckStatus::error,
											 "what has this name here is not a table",
											 "Rename it, or give the connector a target_schema."});
	if (!check_may_write(list, relid, label))
		return;
	bool differs = check_columns(list, relid, question, label);

	differs |= check_rows(list, relid, question, label);
	if (!differs)
		source::add_check(list, Check{"target table", label, CheckStatus::ok,
									  "it exists here, is empty and fits", nullptr});
}

} // namespace api
