/*
 * target/utility.cpp
 *
 * See utility.hpp.
 */
#include "target/utility.hpp"

namespace target
{

uint64
run_utility(Node *statement, const char *sql)
{
	PlannedStmt *planned = makeNode(PlannedStmt);
	QueryCompletion completion;

	planned->commandType = CMD_UTILITY;
	planned->canSetTag = true;
	planned->utilityStmt = statement;
	planned->stmt_location = -1;
	InitializeQueryCompletion(&completion);
	PushActiveSnapshot(GetTransactionSnapshot());
	ProcessUtility(planned, sql, false, PROCESS_UTILITY_QUERY, nullptr, nullptr, None_Receiver,
				   &completion);
	PopActiveSnapshot();
	CommandCounterIncrement();
	return completion.nprocessed;
}

uint64
run_utility(const char *sql)
{
	return run_utility(linitial_node(RawStmt, pg_parse_query(sql))->stmt, sql);
}

} // namespace target
