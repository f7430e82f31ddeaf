/*
 * base/subtransaction.cpp
 *
 * See subtransaction.hpp.
 */
#include "base/subtransaction.hpp"

namespace base
{

bool
is_lock_timeout(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

int
begin_lock_limit(int milliseconds)
{
	int before = LockTimeout;

	LockTimeout = milliseconds;
	return before;
}

void
end_lock_limit(int before)
{
	LockTimeout = before;
}

ErrorData *
copy_error(const ErrorData *error)
{
	ErrorData *copy = (ErrorData *) palloc(sizeof(ErrorData));

	*copy = *error;
	copy->message = error->message ? pstrdup(error->message) : nullptr;
	copy->detail = error->detail ? pstrdup(error->detail) : nullptr;
	copy->hint = error->hint ? pstrdup(error->hint) : nullptr;
	copy->context = error->context ? pstrdup(error->context) : nullptr;
	return copy;
}

namespace
{

bool is_lack_blamed = false;

/* It goes away when the same thing is tried again later. */
bool
is_passing_error(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
			return true;
	}
	return false;
}

bool
is_raised(int sqlstate)
{
	return is_passing_error(sqlstate) &&
		   !(is_lack_blamed && ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INSUFFICIENT_RESOURCES);
}

bool
ends_session(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_OPERATOR_INTERVENTION;
}

ErrorData *
run(void (*function)(void *argument), void *argument, bool (*is_wanted_raised)(int sqlstate))
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = nullptr;
	int lock_timeout = LockTimeout;

	BeginInternalSubTransaction(nullptr);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		function(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		LockTimeout = lock_timeout;
		error = CopyErrorData();
		if (is_wanted_raised(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}

} // namespace

bool
blame_tables(bool for_lack_of_resources)
{
	bool before = is_lack_blamed;

	is_lack_blamed = for_lack_of_resources;
	return before;
}

ErrorData *
run_in_subtransaction(void (*function)(void *argument), void *argument)
{
	return run(function, argument, is_raised);
}

ErrorData *
run_in_transaction(void (*function)(void *argument), void *argument)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData *volatile error = nullptr;
	int lock_timeout = LockTimeout;

	PG_TRY();
	{
		function(argument);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		LockTimeout = lock_timeout;
		error = CopyErrorData();
		if (is_raised(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return error;
}

ErrorData *
run_limited(void (*function)(void *argument), void *argument, int lock_ms)
{
	int limit = begin_lock_limit(lock_ms);
	ErrorData *error = run_in_subtransaction(function, argument);

	end_lock_limit(limit);
	return error;
}

ErrorData *
catch_errors(void (*function)(void *argument), void *argument)
{
	return run(function, argument, ends_session);
}

} // namespace base
