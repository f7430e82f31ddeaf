/*
 * base/compat.hpp
 *
 * What differs between the server versions 15 to 18, told once: every use of PG_VERSION_NUM in the
 * tree is here.
 */
#pragma once

#include "base/pg.hpp"

/*
 * Minors of 2026 and later have this list of libpq options that a server-side connection may use.
 * Weak: so that one build serves older minors, which lack it.
 */
extern "C" bool libpqsrv_is_valid_proxy_option(const char *keyword) __attribute__((weak));

namespace base
{

/* Whether the server lets its users' connection strings have this libpq option. */
inline bool
is_option_allowed(const char *keyword)
{
	return libpqsrv_is_valid_proxy_option == nullptr || libpqsrv_is_valid_proxy_option(keyword);
}

/* ERROR unless the current user may make that role the owner of something. */
inline void
check_can_give_to(Oid role)
{
#if PG_VERSION_NUM >= 160000
	check_can_set_role(GetUserId(), role);
#else
	check_is_member_of_role(GetUserId(), role);
#endif
}

/* Could that member act as the role, by SET ROLE? */
inline bool
can_become(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(member, role);
#else
	return is_member_of_role(member, role);
#endif
}

inline bool
may_create_in(Oid schema, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role, ACL_CREATE) == ACLCHECK_OK &&
		   object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_CREATE) == ACLCHECK_OK &&
		   pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

inline bool
may_use_server(Oid server, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, server, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_foreign_server_aclcheck(server, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

inline bool
may_create_schemas(Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, MyDatabaseId, role, ACL_CREATE) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(MyDatabaseId, role, ACL_CREATE) == ACLCHECK_OK;
#endif
}

inline void
setup_origin_session(RepOriginId origin)
{
#if PG_VERSION_NUM >= 160000
	replorigin_session_setup(origin, 0);
#else
	replorigin_session_setup(origin);
#endif
}

/* The wait event shown while one of our processes waits for something of its own. */
inline uint32
wait_event()
{
	return PG_WAIT_EXTENSION;
}

/* A set of events to wait for again and again; it lives until FreeWaitEventSet(). */
inline WaitEventSet *
create_wait_events(int count)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(nullptr, count);
#else
	return CreateWaitEventSet(TopMemoryContext, count);
#endif
}

/* From 18 on a key may be WITHOUT OVERLAPS: an exclusion constraint by another name. */
constexpr bool kHasTemporalKeys = PG_VERSION_NUM >= 180000;

inline bool
is_exclusion(const Constraint *constraint)
{
#if PG_VERSION_NUM >= 180000
	if (constraint->without_overlaps)
		return true;
#endif
	return constraint->contype == CONSTR_EXCLUSION;
}

/* From 18 on a NOT NULL constraint may be NOT VALID: rows that were there before it may have NULL. */
inline bool
is_never_null(TupleDesc shape, int column)
{
#if PG_VERSION_NUM >= 180000
	return TupleDescCompactAttr(shape, column)->attnullability == ATTNULLABLE_VALID;
#else
	return TupleDescAttr(shape, column)->attnotnull;
#endif
}

/* From 17 on intervals may be infinite: the bytes of such a value mean a very long one before. */
inline bool
has_infinite_intervals(int server_version)
{
	return server_version >= 170000;
}

constexpr int kServerVersion = PG_VERSION_NUM;

/* The end of the local WAL that is safely on disk. */
inline XLogRecPtr
local_flush_position()
{
	TimeLineID timeline;

	return GetFlushRecPtr(&timeline);
}

} // namespace base
