/*
 * source/partitions.hpp
 *
 * Which partitions a table has at the source, and which of them brought rows of their own.
 *
 * A published root sends no change for rows that a partition has already when it is attached.  So the partitions are
 * recorded when a copy of the root is whole, as one text: of each its oid, the transaction that linked it to its parent, and
 * its file.  What is linked otherwise later was created as a partition, and is empty then, or was attached.
 *
 * Neither is a TRUNCATE of a partition sent: it leaves another file.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

/* The lists are names for people: five at most, and how many more; NULL: none. */
struct PartitionLook
{
	char *links;	 /* of all partitions of now; NULL: none */
	char *came;		 /* linked since */
	char *attached;	 /* with rows that they had before they were linked */
	char *gone;		 /* partitions no more */
	char *truncated; /* by themselves */
};

/* NULL when there are none. */
char *read_partition_links(Connection *control, Oid table);

/*
 * What is there now against the links of then.  lock_ms: waiting for a lock of a new partition, 0: as long as it takes;
 * false: that was not enough.
 */
bool try_look_at_partitions(Connection *control, Oid table, const char *links, int lock_ms,
							PartitionLook *look);

} // namespace source
