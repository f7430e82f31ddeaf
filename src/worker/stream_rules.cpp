/*
 * worker/stream_rules.cpp
 *
 * See stream_rules.hpp.
 */
#include "worker/stream_rules.hpp"

namespace worker
{

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
check_commit(wire::Lsn expected, wire::Lsn commit_lsn, wire::Lsn end_lsn)
{
	char texts[3][wire::kLsnTextSize];

	if (commit_lsn == expected && commit_lsn != wire::kInvalidLsn && end_lsn > commit_lsn)
		return;
	(void) wire::format_lsn(commit_lsn, texts[0]);
	(void) wire::format_lsn(end_lsn, texts[1]);
	(void) wire::format_lsn(expected, texts[2]);
	ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
					errmsg("the source sent a commit position that cannot be right"),
					errdetail("The commit is said to be at %s and to end at %s; expected was %s.",
							  texts[0], texts[1], texts[2])));
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
