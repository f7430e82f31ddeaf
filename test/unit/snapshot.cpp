/*
 * test/unit/snapshot.cpp
 *
 * Owns: the tests of source/snapshot and source/timeline.
 *
 * In: texts as a source gives them. Out: TAP.
 *
 * Must not know: the server.
 *
 * The surprising thing: the cases around 2^32 are the ones that matter; they come after years in
 * production and not in any test with a fresh server.
 */
#include "source/snapshot.hpp"
#include "source/timeline.hpp"
#include "tap.hpp"

static bool
is_visible(uint64_t full_xid, const char *text)
{
	source::Snapshot snapshot;

	return source::parse_snapshot_header(text, &snapshot) &&
		   source::is_visible(static_cast<uint32_t>(full_xid), snapshot);
}

static void
test_texts()
{
	tap::Collection good, bad;
	source::Snapshot snapshot;

	for (const char *text : {"3:3:", "10:20:10,14,15", "10:20:", "10:20:12,12",
							 "18446744073709551614:18446744073709551615:18446744073709551614"})
		good.collect(source::parse_snapshot_header(text, &snapshot), text);
	good.finish("snapshots");

	for (const char *text : {"", ":", "::", "10", "10:20", "20:10:", "0:10:", "a:b:", "-1:20:",
							 " 10:20:", "18446744073709551616:18446744073709551617:"})
		bad.collect(!source::parse_snapshot_header(text, &snapshot), text);
	bad.finish("what is no snapshot is refused");

	tap::check(source::parse_snapshot_header("10:20:10,14", &snapshot) && snapshot.xmin == 10 &&
				   snapshot.xmax == 20 && snapshot.xip == "10,14",
			   "the parts of a snapshot");
}

static void
test_visibility()
{
	const char *plain = "1000:1010:1000,1003,1007";

	tap::check(is_visible(999, plain), "ended before xmin");
	tap::check(!is_visible(1000, plain) && !is_visible(1003, plain) && !is_visible(1007, plain),
			   "running");
	tap::check(is_visible(1001, plain) && is_visible(1009, plain), "ended between xmin and xmax");
	tap::check(!is_visible(1010, plain) && !is_visible(5000, plain), "begun later");
	tap::check(is_visible(1, plain) && is_visible(2, plain), "the server's own xids");
	tap::check(is_visible(100, "1000:1010:100") && is_visible(1001, "1000:1010:10010,11001"),
			   "only whole numbers of the list count");

	/* Epoch 1 has just begun; 4294967300 = 2^32 + 4. */
	const char *wrapped = "4294967290:4294967310:4294967291,4294967301";
	tap::check(is_visible(4294967280, wrapped), "wraparound: before xmin, an epoch ago");
	tap::check(!is_visible(4294967291, wrapped), "wraparound: running, an epoch ago");
	tap::check(is_visible(4294967292, wrapped), "wraparound: ended, an epoch ago");
	tap::check(!is_visible(4294967301, wrapped) && is_visible(4294967302, wrapped),
			   "wraparound: in the new epoch");
	tap::check(!is_visible(4294967310, wrapped), "wraparound: xmax itself");

	/* xmax at the very end of an epoch: later xids have small numbers. */
	const char *ending = "8589934580:8589934591:";
	tap::check(!is_visible(8589934591, ending) && !is_visible(8589934596, ending),
			   "wraparound: later, in the next epoch");
	tap::check(is_visible(8589934590, ending), "wraparound: the last one before xmax");

	tap::Collection modular;
	for (uint64_t xmax : {5000000000ull, 4294967296ull + 3, 8589934592ull, 12884901887ull})
	{
		std::string text = std::to_string(xmax - 10) + ":" + std::to_string(xmax) + ":";
		for (uint64_t distance = 1; distance < 1ull << 31; distance = distance * 3 + 1)
		{
			/* xids that cannot be: the server skips 0 to 2 at each wraparound */
			if (static_cast<uint32_t>(xmax - distance) >= 3)
				modular.collect(is_visible(xmax - distance, text.c_str()), text);
			if (static_cast<uint32_t>(xmax + distance) >= 3)
				modular.collect(!is_visible(xmax + distance, text.c_str()), text);
		}
	}
	modular.finish("anywhere within 2^31 of xmax");

	tap::check(is_visible(4294967290, "1000:1010:"), "before the first xid that ever was");
}

static void
test_timelines()
{
	const char *history = "1\t0/3000000\tno recovery target specified\n"
						  "\n"
						  "# a comment\n"
						  "  2\t1/A0000028\tbefore 2024-01-01 00:00:00+00\r\n"
						  "12 F/0";
	wire::Lsn lsn = 7;

	tap::check(source::switch_point(history, 1, &lsn) && lsn == 0x3000000, "the first timeline");
	tap::check(source::switch_point(history, 2, &lsn) && lsn == 0x1A0000028, "the second");
	tap::check(source::switch_point(history, 12, &lsn) && lsn == 0xF00000000,
			   "the last, without a reason and a line end");
	lsn = 7;
	tap::check(!source::switch_point(history, 3, &lsn) && lsn == 7, "one that is not listed");
	tap::check(!source::switch_point("", 1, &lsn), "an empty history");
	tap::check(!source::switch_point("nonsense\n1\t0/3000000\tx\n", 1, &lsn) &&
				   !source::switch_point("1\t0x3000000\tx\n", 1, &lsn) &&
				   !source::switch_point("1\n", 1, &lsn) &&
				   !source::switch_point("4294967297\t0/1\tx\n", 1, &lsn),
			   "a damaged history gives no answer");
}

int
main()
{
	test_texts();
	test_visibility();
	test_timelines();
	return tap::finish();
}
