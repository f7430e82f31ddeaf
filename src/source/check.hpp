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

/* The extension that a type, or the element type of an array, comes from; nullptr: none. */
char *read_type_extension(Connection *connection, Oid type);

/*
 * What kind of connection pooler this address belongs to, as far as it can be told from its name
 * and port; palloc'ed, nullptr when it cannot.
 */
char *name_pooler(const Address &address);

} // namespace source
