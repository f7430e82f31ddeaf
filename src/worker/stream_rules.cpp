/*
 * worker/stream_rules.cpp
 *
 * See stream_rules.hpp.
 */
#include "worker/stream_rules.hpp"

namespace worker
{
namespace
{

bool
is_possible_commit(wire::Lsn commit_lsn, wire::Lsn end_lsn, wire::Lsn sent)
{
	return commit_lsn != wire::kInvalidLsn && end_lsn > commit_lsn && end_lsn <= sent;
}

[[noreturn]] void
raise_wrong_commit(wire::Lsn commit_lsn, wire::Lsn end_lsn, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
					errmsg("the source sent a commit position that cannot be right"),
					errdetail("The commit is said to be at %X/%X and to end at %X/%X%s.",
							  (uint32) (commit_lsn >> 32), (uint32) commit_lsn,
							  (uint32) (end_lsn >> 32), (uint32) end_lsn, expected)));
}

} // namespace

void
check_place(wire::MessageKind kind, bool in_transaction, bool belongs_in_transaction)
{
	if (in_transaction != belongs_in_transaction)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the source sent a %s message that does not belong there",
							   wire::describe(kind)),
						in_transaction ? errdetail("A transaction is under way.")
									   : errdetail("No transaction is under way.")));
}

void
check_commit(wire::Lsn expected, wire::Lsn commit_lsn, wire::Lsn end_lsn, wire::Lsn sent)
{
	if (commit_lsn != expected || !is_possible_commit(commit_lsn, end_lsn, sent))
		raise_wrong_commit(
			commit_lsn, end_lsn,
			psprintf("; expected was %X/%X", (uint32) (expected >> 32), (uint32) expected));
}

void
check_streamed_commit(wire::Lsn commit_lsn, wire::Lsn end_lsn, wire::Lsn sent)
{
	if (!is_possible_commit(commit_lsn, end_lsn, sent))
		raise_wrong_commit(commit_lsn, end_lsn, "");
}

void
check_columns(const StreamRelation *relation, const char *table, const wire::Change &change)
{
	if (relation == nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the source sent a change of table \"%s\" without describing it", table)));
	for (const wire::Tuple *tuple : {&change.old_tuple, &change.new_tuple})
		if (tuple->is_present() && tuple->columns != relation->ncolumns)
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("the source sent a row of table \"%s\" with %d columns instead of %d",
							table, tuple->columns, relation->ncolumns)));
}

} // namespace worker
