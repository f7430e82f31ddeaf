/*
 * api/check_target_rights.cpp
 *
 * Whether the caller may have a connector write to a target: see target/ownership.hpp.
 */
#include "api/check.hpp"

#include "base/compat.hpp"

using source::Check;
using source::CheckList;
using source::CheckStatus;

namespace api
{
namespace
{

bool
report(CheckList *list, const char *label, char *detail, char *hint)
{
	source::add_check(list, Check{"target rights", label, CheckStatus::error, detail, hint});
	return false;
}

const char *
me()
{
	return GetUserNameFromId(GetUserId(), false);
}

} // namespace

bool
check_may_create(CheckList *list, const char *schema, const char *label)
{
	Oid schema_oid = get_namespace_oid(schema, true);

	if (!OidIsValid(schema_oid) && !base::may_create_schemas(GetUserId()))
		return report(list, label,
					  psprintf("role \"%s\" may not create schema \"%s\"", me(), schema),
					  psprintf("Run here: CREATE SCHEMA %s AUTHORIZATION %s;",
							   pstrdup(quote_identifier(schema)), pstrdup(quote_identifier(me()))));
	if (OidIsValid(schema_oid) && !base::may_create_in(schema_oid, GetUserId()))
		return report(list, label,
					  psprintf("role \"%s\" may not create tables in schema \"%s\"", me(), schema),
					  psprintf("Run here: GRANT CREATE, USAGE ON SCHEMA %s TO %s;",
							   pstrdup(quote_identifier(schema)), pstrdup(quote_identifier(me()))));
	return true;
}

bool
check_may_write(CheckList *list, Oid relid, const char *label)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		return true;
	Oid owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;

	ReleaseSysCache(tuple);
	if (base::can_become(GetUserId(), owner))
		return true;
	char *name = GetUserNameFromId(owner, false);

	return report(list, label,
				  psprintf("role \"%s\" may not act for role \"%s\", who owns it", me(), name),
				  psprintf("Run here: GRANT %s TO %s; rows are written with the rights of the "
						   "table's owner.",
						   pstrdup(quote_identifier(name)), pstrdup(quote_identifier(me()))));
}

} // namespace api
