/*
 * target/binary_value.hpp
 *
 * Values in the binary form of their type: which types have one that may be taken from another
 * server, and how such a value becomes a datum or a text of ours.
 *
 * In: types by the oids that the source says, which for built-in types are ours too.
 *
 * Must not know: which values are asked for in that form, and when.
 *
 * Surprising: the form is that of the source's column.  Where the target's has another type, the
 * value takes the way over its text, as if the source had sent that.
 */
#pragma once

#include "target/relation.hpp"
#include "wire/pgoutput.hpp"

namespace target
{

/* Do the bytes of a value of this type mean the same at that source and here? */
bool is_binary_type(Oid type, int source_version);

/*
 * An error context for what reads such values.  A value that is too short raises the error of a broken connection, which
 * would be tried again for ever: it is the value that is broken, and here it gets the code that says so.
 */
void blame_value(void *);

/* The datum of a value in binary form, in the current memory context. */
Datum receive_value(TargetColumn *column, std::string_view bytes);

/* A value as the source would have sent it in text form; nullptr: it is null, or was not sent. */
char *text_of(const TargetColumn &column, const wire::Value &value);

} // namespace target
