/*
 * source/check.hpp
 *
 * Findings about whether a source can be synced: what livesync.check_source() lists.
 *
 * In: an open connection.  Out: a list of rows, each with what to do about it.  Nothing here raises
 * for a prerequisite that does not hold; the first error at run time does that (prerequisites.hpp).
 *
 * Must not know: the target, except for its encoding.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

enum class CheckStatus
{
	ok,
	warning, /* works, but not as well as it could, or not for ever */
	error,	 /* a connector cannot work like this */
};

struct Check
{
	const char *name;
	const char *object; /* what it is about; nullptr: the source itself */
	CheckStatus status;
	const char *detail;
	const char *hint; /* what to do; nullptr when there is nothing to do */
};

struct CheckList
{
	int count;
	int room;
	Check *checks; /* palloc'ed, in the order of the findings */
};

void add_check(CheckList *list, const Check &check);

struct ServerFacts
{
	bool is_superuser;	/* of the source */
	bool may_replicate; /* and a walsender is free: a stream can be tried */
};

/* Version, TLS, WAL, slots, senders, rights, settings. */
ServerFacts check_server(CheckList *list, Connection *connection);

/* That the publications exist and what they send; or, with none named, that one can be made. */
void check_publications(CheckList *list, Connection *connection, int npublications,
						const char *const *publications);

/* A publication that sends updates and deletes of a table, but not all columns that they need: the server refuses them. */
struct IdentityGap
{
	Oid table;
	char *detail;
	char *hint;
};
struct IdentityGaps
{
	int count;
	IdentityGap *list;
};
IdentityGaps read_identity_gaps(Connection *connection, int npublications,
								const char *const *publications);

/* What tables need of extensions: for a column's type, or else for an index. */
struct ExtensionUse
{
	char *extension;
	char *schema; /* of the table */
	char *table;
	bool is_type;
};
struct ExtensionUses
{
	int count;
	ExtensionUse *list; /* ordered by extension */
};
ExtensionUses read_extension_uses(Connection *connection, int count, const Oid *tables);

/* The extension that a type, or the element type of an array, comes from; nullptr: none. */
char *read_type_extension(Connection *connection, Oid type);

/*
 * What kind of connection pooler this address belongs to, as far as it can be told from its name
 * and port; palloc'ed, nullptr when it cannot.
 */
char *name_pooler(const Address &address);

/* The same by what it answered when a replication connection was tried, which no server would say. */
char *name_pooler_by_refusal(const char *answer);

} // namespace source
