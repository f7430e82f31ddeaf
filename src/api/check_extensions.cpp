/*
 * api/check_extensions.cpp
 *
 * A row for each extension that tables of the source need here: for a type, without which they
 * cannot be created, or for an index, which is left out without it.  See check.hpp.
 */
#include "api/check.hpp"

#include "base/sql.hpp"
#include "target/relation.hpp"

using namespace base;
using source::Check;
using source::CheckList;
using source::CheckStatus;

namespace api
{
namespace
{

/* Those that are not here yet. */
Oid *
select_new(const source::SourceTables &tables, int *count)
{
	Oid *oids = (Oid *) MemoryContextAllocHuge(CurrentMemoryContext,
											   sizeof(Oid) * (Size) Max(tables.count, 1));

	*count = 0;
	for (int i = 0; i < tables.count; i++)
	{
		if (tables.tables[i].can_publish &&
			!target::table_exists(tables.tables[i].schema, tables.tables[i].name))
			oids[(*count)++] = tables.tables[i].oid;
	}
	return oids;
}

void
report(CheckList *list, const char *extension, bool is_type, const char *users)
{
	if (OidIsValid(get_extension_oid(extension, true)))
		return source::add_check(list,
								 Check{"extension", extension, CheckStatus::ok,
									   psprintf("it is here, and needed by %s", users), nullptr});
	source::add_check(
		list, Check{"extension", extension, is_type ? CheckStatus::error : CheckStatus::warning,
					psprintf(is_type ? "it is not here, and types of columns come from it: %s"
									 : "it is not here, so indexes that need it are left out: %s",
							 users),
					extension_hint(extension, "")});
}

} // namespace

const char *
extension_hint(const char *extension, const char *why)
{
	bool is_available = run_alone("SELECT FROM pg_available_extensions WHERE name = $1",
								  {text_value(extension)}) > 0;

	return psprintf("%sRun here: CREATE EXTENSION %s;%s",
					is_available ? "" : "Install the extension's package on this server.  ",
					quote_identifier(extension), why);
}

void
check_extensions(CheckList *list, source::Connection *connection,
				 const source::SourceTables &tables)
{
	int count;
	const Oid *oids = select_new(tables, &count);
	source::ExtensionUses uses = source::read_extension_uses(connection, count, oids);

	for (int first = 0, next; first < uses.count; first = next)
	{
		const char *extension = uses.list[first].extension;
		bool is_type = false;
		StringInfoData users;

		initStringInfo(&users);
		for (next = first; next < uses.count && strcmp(uses.list[next].extension, extension) == 0;
			 next++)
		{
			is_type |= uses.list[next].is_type;
			appendStringInfo(&users, "%s%s.%s", users.len > 0 ? ", " : "", uses.list[next].schema,
							 uses.list[next].table);
		}
		report(list, extension, is_type, users.data);
	}
}

} // namespace api
