/*
 * worker/analyze.cpp
 *
 * ANALYZE of what was loaded, when all tables of the connector are: it takes the processor from those
 * that are still copied.  Until then autovacuum may have done it, as after any load.  See copier.hpp.
 */
#include "worker/copier.hpp"

#include "base/subtransaction.hpp"
#include "base/transaction.hpp"

namespace worker
{
namespace
{

constexpr int kLockMs = 1000;

/*
 * The quoted name of a table whose turn it is, or nullptr.  The claim is committed first: a row that
 * stays locked would keep the table from streaming.  What a crash loses here autovacuum makes up for.
 */
char *
claim_table(const Copier *copier)
{
	char *name = nullptr;

	base::begin_transaction();
	base::SqlScope scope = base::begin_sql();
	bool is_found =
		base::run_sql("UPDATE livesync.synced_table SET analyze_wanted = false WHERE id = "
					  "(SELECT t.id FROM livesync.synced_table t WHERE t.connector_id = $1 "
					  "AND t.analyze_wanted AND t.state <> 'copying' AND NOT EXISTS "
					  "(SELECT FROM livesync.synced_table o WHERE o.connector_id = $1 "
					  "AND o.state IN ('queued', 'copying')) LIMIT 1 "
					  "FOR NO KEY UPDATE SKIP LOCKED) "
					  "RETURNING pg_catalog.format('%I.%I', target_schema, target_name)",
					  {base::int_value(copier->config->id)}) > 0;

	if (is_found)
	{
		scope.caller = copier->turn;
		name = base::get_text(scope, 0, 1);
	}
	base::end_sql();
	base::commit_transaction();
	return name;
}

void
analyze_step(void *argument)
{
	base::run_alone(psprintf("ANALYZE %s", (const char *) argument));
}

} // namespace

bool
analyze_one_table(Copier *copier)
{
	char *name = claim_table(copier);

	if (name == nullptr)
		return false;

	base::begin_transaction();
	ErrorData *error = base::run_limited(analyze_step, name, kLockMs);

	if (error != nullptr)
		ereport(LOG,
				(errmsg("could not analyze table %s after its copy: %s", name, error->message)));
	base::commit_transaction();
	return true;
}

} // namespace worker
