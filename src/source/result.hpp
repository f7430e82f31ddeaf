/*
 * source/result.hpp
 *
 * Reading a PGresult in text format into palloc'ed values.
 *
 * Surprising: arrays are taken apart here and not by the server's array functions, which need a
 * transaction of ours for a lookup in pg_type.
 */
#pragma once

#include "source/connection.hpp"
#include "wire/lsn.hpp"

namespace source
{

inline bool
is_null(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) == 1;
}

/* NULL for NULL. */
char *get_text(const PGresult *result, int row, int column);

/* These are 0 and false for NULL. */
int64 get_int64(const PGresult *result, int row, int column);
Oid get_oid(const PGresult *result, int row, int column);
bool get_bool(const PGresult *result, int row, int column);
char get_char(const PGresult *result, int row, int column);

/* kInvalidLsn for NULL, ERROR when it is no position. */
wire::Lsn get_lsn(const PGresult *result, int row, int column);

/* A one-dimensional text[] without NULLs; *count is 0 for NULL. */
char **get_text_array(const PGresult *result, int row, int column, int *count);

/* ARRAY['a', 'b']::text[] */
char *array_literal(int count, const char *const *values);

} // namespace source
