/*
 * wire/copy_text.hpp
 *
 * Owns: the text format of COPY, one row at a time, as the server sends it in one CopyData message:
 * columns between tabs, \N for NULL, backslash escapes, a newline at the end.
 *
 * In: the row's bytes.  Out: one Value for each column; unescaped bytes go to memory that the caller gives, at most as
 * many as the row has.
 *
 * Must not know: columns' names and types, the server.
 *
 * Surprising: the server escapes only what it must (\b \f \n \r \t \v \\), but another letter after a
 * backslash stands for itself, and that is accepted.
 */
#ifndef LIVESYNC_WIRE_COPY_TEXT_HPP
#define LIVESYNC_WIRE_COPY_TEXT_HPP

#include "wire/pgoutput.hpp"

namespace wire
{

/* False: the row has not `columns` columns.  `room` has row.size() bytes. */
bool parse_copy_row(std::string_view row, Value *values, size_t columns, char *room);

} // namespace wire

#endif
