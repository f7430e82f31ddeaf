/*
 * target/statement_text.hpp
 *
 * The SQL that writes a set of rows to a target table.  All names are quoted, all operators
 * qualified; the rows come from the ephemeral relation livesync_batch with the columns of
 * TargetRelation::row_shape.
 */
#pragma once

#include "target/table_writer.hpp"

namespace target
{

constexpr const char *kBatchName = "livesync_batch";

char *delete_text(const TargetRelation *relation);
char *update_text(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys);
char *insert_text(const TargetRelation *relation, bool upsert);
char *exists_text(const TargetRelation *relation);
char *locate_text(
	const TargetRelation *relation); /* the times of the rows found, of a hypertable */
char *writers_text(const TargetRelation *relation); /* the transactions that wrote the rows found */
char *delete_equal_text(const TargetRelation *relation);
char *update_equal_text(const TargetRelation *relation, const Bitmapset *unchanged);

} // namespace target
