/*
 * target/statement_text.hpp
 *
 * The SQL that writes a set of rows to a target table.  All names are quoted, all operators
 * qualified.  `rows` is where the rows come from: the ephemeral relation livesync_batch with the columns of
 * TargetRelation::row_shape, or one row of parameters.
 */
#pragma once

#include "target/table_writer.hpp"

namespace target
{

constexpr const char *kBatchName = "livesync_batch";

/* One row, a parameter for each column of row_shape. */
char *lone_row_text(const TargetRelation *relation);

char *delete_text(const TargetRelation *relation, const char *rows);
char *update_text(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys,
				  const char *rows);
char *insert_text(const TargetRelation *relation, bool upsert, const char *rows);
char *exists_text(const TargetRelation *relation, const char *rows);
/* The transactions that wrote the rows found. */
char *writers_text(const TargetRelation *relation, const char *rows);

/* Of livesync_batch only. */
char *locate_text(
	const TargetRelation *relation); /* the times of the rows found, of a hypertable */
/*
 * Tables without a key: rows that are the same, or, for those of which there are none, equal ones.  Where there can be such,
 * the place in the batch of each row found is returned under this name.
 */
enum class Likeness
{
	same,
	equal,
};
constexpr const char *kLineName = "livesync_line";

char *delete_equal_text(const TargetRelation *relation, Likeness likeness);
char *update_equal_text(const TargetRelation *relation, Likeness likeness,
						const Bitmapset *unchanged);

} // namespace target
