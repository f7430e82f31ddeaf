/*
 * api/foreign_data.cpp
 *
 * livesync.fdw_validator(): what may stand in the options of foreign servers and user mappings of
 * foreign data wrapper livesync, told when they are made and not when a worker connects.
 *
 * Surprising: nobody sees here who will use a server, so what depends on that is looked at when it
 * is used (source/address.cpp).
 */
#include "api/call.hpp"
#include "source/foreign_server.hpp"

namespace api
{
namespace
{

[[noreturn]] void
raise_invalid_option(const char *keyword, Oid catalog)
{
	bool is_server = catalog == ForeignServerRelationId;
	bool is_mapping = catalog == UserMappingRelationId;
	bool is_elsewhere = (is_server && source::is_mapping_option(keyword)) ||
						(is_mapping && source::is_server_option(keyword));

	if (is_elsewhere)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
						errmsg("option \"%s\" is of the wrong place", keyword),
						errhint(is_server ? "It belongs into a user mapping."
										  : "It belongs into the foreign server.")));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", keyword),
			 is_server || is_mapping
				 ? errhint("Valid options here are: %s.",
						   source::list_options(is_server ? source::is_server_option
														  : source::is_mapping_option))
				 : errhint("There are no valid options here.")));
}

/* What only a superuser may lend: see source/credentials.hpp. */
void
check_mapping_option(DefElem *option)
{
	bool is_optional =
		strcmp(option->defname, source::kPasswordRequired) == 0 && !defGetBoolean(option);
	bool is_certificate =
		strcmp(option->defname, "sslcert") == 0 || strcmp(option->defname, "sslkey") == 0;

	if ((is_optional || is_certificate) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("option \"%s\"%s is for superusers", option->defname,
						is_optional ? " = false" : ""),
				 errdetail("It lets a connection prove itself by what this server has or is.")));
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_fdw_validator);

PGDLLEXPORT Datum
livesync_fdw_validator(PG_FUNCTION_ARGS)
{
	using namespace api;

	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid catalog = PG_GETARG_OID(1);
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = (DefElem *) lfirst(cell);
		bool is_valid =
			catalog == ForeignServerRelationId ? source::is_server_option(option->defname)
			: catalog == UserMappingRelationId ? source::is_mapping_option(option->defname)
											   : false;

		if (!is_valid)
			raise_invalid_option(option->defname, catalog);
		if (catalog == UserMappingRelationId)
			check_mapping_option(option);
	}
	PG_RETURN_VOID();
}
}
