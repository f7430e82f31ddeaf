/*
 * base/transaction.cpp
 *
 * See transaction.hpp.
 */
#include "base/transaction.hpp"

namespace base
{
namespace
{

/* A worker ends with its extension, so the oid is looked up once. */
void
hold_extension()
{
	static Oid extension = InvalidOid;

	if (!OidIsValid(extension))
		extension = get_extension_oid("pg_livesync", true);
	if (OidIsValid(extension))
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
}

} // namespace

void
begin_transaction()
{
	/* a transaction's now() is that of its statement, which in a background worker nobody else sets */
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (OidIsValid(MyDatabaseId))
		hold_extension();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
commit_transaction()
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	/* autovacuum knows of what we write by nothing else; once a second at most, the rest with a later commit */
	(void) pgstat_report_stat(false);
}

} // namespace base
