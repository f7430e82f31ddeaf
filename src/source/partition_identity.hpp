/*
 * source/partition_identity.hpp
 *
 * Partitions whose replica identity is not that of the root that they are published under.
 *
 * The source describes their changes by the root's identity, but what is in the old rows goes by the partition's own: what is
 * not comes as NULL.  ALTER TABLE root REPLICA IDENTITY does not reach partitions, and new ones begin at DEFAULT.
 *
 *   root \ partition      FULL    key                              none
 *   key                   fits    fits with the root's key in it   the source refuses the changes itself
 *   FULL, with a key      fits    fits with the root's key in it, while rows are found by that here
 *   FULL, without         fits    no
 *   none                  no      no
 *
 * Surprising: FULL under none would do, as the rows come whole; but nothing in the stream tells it from what would not.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

struct OddPartition
{
	Oid root;
	bool fits_by_key; /* where rows are found by the root's primary key */
	char *detail;	  /* begins with the name of the first one, ends without a full stop */
	char *hint;		  /* what to run at the source, ends with a semicolon */
};

struct OddPartitions
{
	int count;
	OddPartition *list; /* one of each root */
};

/* Of these tables, those that are no roots being left alone.  Locks nothing. */
OddPartitions find_odd_partitions(Connection *control, int count, const Oid *tables);
/* nullptr: it has none; has_key: rows of the target are found by the root's primary key. */
const OddPartition *find_odd_partition(const OddPartitions &odd, Oid root, bool has_key);

/* ERROR when the publications send updates or deletes of the table, and it has such a partition. */
void refuse_odd_partitions(Connection *control, Oid table, const char *schema, const char *name,
						   int npublications, const char *const *publications, bool has_key);

/* As it is raised, or recorded with the table; what_then: the call that goes on. */
void raise_odd_partition(const OddPartition &odd, const char *table, const char *what_then);

} // namespace source
