/*
 * base/saved_plan.cpp
 *
 * See saved_plan.hpp.
 */
#include "base/saved_plan.hpp"

namespace base
{
namespace
{

constexpr int kLifeMs = 5000;
constexpr long kMostPlans = 300;

struct SavedPlan
{
	const char *address; /* hash key: of a literal, mostly */
	char *sql;
	int count;
	Oid *types;
	SPIPlanPtr plan; /* nullptr: none now */
	TimestampTz planned_at;
};

HTAB *
saved_plans()
{
	static HTAB *plans = nullptr;

	if (plans == nullptr)
	{
		HASHCTL settings{};

		settings.keysize = sizeof(const char *);
		settings.entrysize = sizeof(SavedPlan);
		plans = hash_create("livesync plans", 64, &settings, HASH_ELEM | HASH_BLOBS);
	}
	return plans;
}

/* A text that was composed may have the address of an older one. */
bool
is_same(const SavedPlan *saved, const char *sql, int count, const Oid *types)
{
	return saved->count == count && memcmp(saved->types, types, sizeof(Oid) * count) == 0 &&
		   strcmp(saved->sql, sql) == 0;
}

void
describe(SavedPlan *saved, const char *sql, int count, const Oid *types)
{
	saved->plan = nullptr;
	saved->count = count;
	saved->sql = MemoryContextStrdup(TopMemoryContext, sql);
	saved->types = (Oid *) MemoryContextAlloc(TopMemoryContext, sizeof(Oid) * count);
	memcpy(saved->types, types, sizeof(Oid) * count);
}

/* One plan for all values: making another for each would take the time that is to be saved. */
void
make_plan(SavedPlan *saved)
{
	SPIPlanPtr old = saved->plan;

	saved->plan = nullptr;
	if (old != nullptr)
		SPI_freeplan(old);

	SPIPlanPtr plan =
		SPI_prepare_cursor(saved->sql, saved->count, saved->types, CURSOR_OPT_GENERIC_PLAN);

	if (plan == nullptr)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	saved->plan = plan;
}

} // namespace

SPIPlanPtr
find_saved_plan(const char *sql, int count, const Oid *types)
{
	/* a call runs its statements once */
	if (MyBgworkerEntry == nullptr || count == 0)
		return nullptr;

	HTAB *plans = saved_plans();
	SavedPlan *saved = (SavedPlan *) hash_search(plans, &sql, HASH_FIND, nullptr);

	if (saved == nullptr)
	{
		if (hash_get_num_entries(plans) >= kMostPlans)
			return nullptr;

		SavedPlan it{};

		describe(&it, sql, count, types);
		saved = (SavedPlan *) hash_search(plans, &sql, HASH_ENTER, nullptr);
		it.address = sql;
		*saved = it;
	}
	if (!is_same(saved, sql, count, types))
		return nullptr;

	TimestampTz now = GetCurrentTimestamp();

	if (saved->plan == nullptr || TimestampDifferenceExceeds(saved->planned_at, now, kLifeMs))
	{
		make_plan(saved);
		saved->planned_at = now;
	}
	return saved->plan;
}

} // namespace base
