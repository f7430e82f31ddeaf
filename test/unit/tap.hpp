/*
 * test/unit/tap.hpp
 *
 * Owns: writing the results of a test program in the Test Anything Protocol, for prove(1).
 *
 * In: one check after another. Out: a line each, the plan at the end, and the exit status.
 *
 * Must not know: what is tested.
 *
 * The surprising thing: a loop of a million checks should be one line. So collect() counts into
 * one result, prints only what fails, and stops printing after a few of them.
 */
#ifndef LIVESYNC_TEST_UNIT_TAP_HPP
#define LIVESYNC_TEST_UNIT_TAP_HPP

#include <cstdio>
#include <string>

namespace tap
{

inline int tests = 0;
inline int failures = 0;

inline bool
check(bool passed, const std::string &name)
{
	tests++;
	if (!passed)
		failures++;
	printf("%sok %d - %s\n", passed ? "" : "not ", tests, name.c_str());
	fflush(stdout);
	return passed;
}

/* Many checks that are one test. */
class Collection
{
public:
	void collect(bool passed, const std::string &detail)
	{
		checks_++;
		if (passed)
			return;
		if (failed_++ < 5)
			printf("# failed: %s\n", detail.c_str());
	}

	bool finish(const std::string &name)
	{
		return check(failed_ == 0 && checks_ > 0,
					 name + " (" + std::to_string(checks_) + " checks)");
	}

private:
	long checks_ = 0;
	long failed_ = 0;
};

inline int
finish()
{
	printf("1..%d\n", tests);
	return failures == 0 ? 0 : 1;
}

} // namespace tap

#endif
