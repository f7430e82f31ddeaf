/*
 * worker/key_versions.hpp
 *
 * Whether the primary key of a source table is the one that it was, for tables whose rows came with REPLICA IDENTITY FULL
 * meanwhile: such rows are found by the primary key, and the stream does not tell that there was none for a while.  What came
 * in between may have hit other rows, so the table is copied again.
 *
 * In: the versions that were recorded (source/column_versions.hpp), those of now, and word from the stream of rows with FULL.
 * Out: a verdict, and the versions to record.
 *
 * Surprising: the stream may be behind the look that finds another key, and have the rows that matter still to come, although the
 * replica identity is another one by then; a copy that begins before them would find their rows by the key, too.  So the former
 * key stays recorded, and the verdict waits, until the stream has passed that look.
 */
#pragma once

#include "source/column_versions.hpp"
#include "wire/lsn.hpp"

namespace worker
{

enum class KeyVerdict
{
	same, /* or another one that no row with FULL was found by, or perhaps will be: *now says what to record */
	other, /* rows may be others than at the source */
};

/* applied: how far the stream is here; control: of the source. */
KeyVerdict judge_key(const source::ColumnVersions &before, source::ColumnVersions *now,
					 wire::Lsn applied, source::Connection *control);

/* Rows of the table come with FULL: it may be DEFAULT again at the next look.  Needs a transaction. */
void note_full(int64 table_id);

} // namespace worker
