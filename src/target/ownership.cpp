/*
 * target/ownership.cpp
 *
 * See ownership.hpp.
 */
#include "target/ownership.hpp"

#include "base/compat.hpp"

namespace target
{
namespace
{

Oid writer = BOOTSTRAP_SUPERUSERID;

const char *
role_name(Oid role)
{
	char *name = GetUserNameFromId(role, true);

	return name != nullptr ? name : psprintf("%u", role);
}

bool
fires_for_us(const Trigger &trigger)
{
	return trigger.tgenabled == TRIGGER_FIRES_ALWAYS ||
		   trigger.tgenabled == TRIGGER_FIRES_ON_REPLICA;
}

} // namespace

void
set_writer(Oid role)
{
	writer = role;
}

Role
become_owner(Oid owner)
{
	if (!base::can_become(writer, owner))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg(
				 "role \"%s\", who owns the connector, may not act for role \"%s\", who owns the "
				 "target table",
				 role_name(writer), role_name(owner)),
			 errdetail("Rows are written with the rights of the table's owner."),
			 errhint("Run here: GRANT %s TO %s; or give the table another owner.  Then call "
					 "livesync.retry_table().",
					 quote_identifier(role_name(owner)), quote_identifier(role_name(writer)))));
	return base::become_restricted(owner);
}

Role
become_creator(const char *schema)
{
	Oid schema_oid = get_namespace_oid(schema, true);

	if (!OidIsValid(schema_oid) && !base::may_create_schemas(writer))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("role \"%s\", who owns the connector, may not create schema \"%s\"",
							   role_name(writer), schema),
						errhint("Run here: CREATE SCHEMA %s AUTHORIZATION %s; then call "
								"livesync.retry_table().",
								quote_identifier(schema), quote_identifier(role_name(writer)))));
	if (OidIsValid(schema_oid) && !base::may_create_in(schema_oid, writer))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\", who owns the connector, may not create tables in schema "
						"\"%s\"",
						role_name(writer), schema),
				 errhint("Run here: GRANT CREATE, USAGE ON SCHEMA %s TO %s; then call "
						 "livesync.retry_table().",
						 quote_identifier(schema), quote_identifier(role_name(writer)))));
	return base::become_restricted(writer);
}

void
check_deferred_triggers(Relation rel)
{
	/* what looks into the catalogs may have the cache build `rel` anew, and its triggers with it: first that, then these */
	bool is_superuser = superuser_arg(rel->rd_rel->relowner);
	char *schema = get_namespace_name(RelationGetNamespace(rel));
	const TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != nullptr && i < triggers->numtriggers; i++)
	{
		const Trigger &it = triggers->triggers[i];

		if (fires_for_us(it) && it.tginitdeferred && !is_superuser)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("trigger \"%s\" of target table \"%s.%s\" is deferred", it.tgname,
							schema, RelationGetRelationName(rel)),
					 errdetail("It would run when the transaction ends, and not with the rights "
							   "of the table's owner."),
					 errhint("Make it INITIALLY IMMEDIATE, or DISABLE it; then call "
							 "livesync.retry_table().")));
	}
}

} // namespace target
