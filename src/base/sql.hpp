/*
 * base/sql.hpp
 *
 * SQL of our own in the target, through SPI, with parameters by type and results by column number.
 *
 * Owns nothing: SPI's connection is opened and closed by an SqlScope (begin_sql/end_sql), which
 * nests; on an error the end of the (sub)transaction closes it.
 *
 * Surprising: what SPI returns lives in SPI's memory and is gone at end_sql().  The get_* functions
 * that return pointers copy into the context that was current at begin_sql().
 */
#pragma once

#include "base/pg.hpp"

#include <initializer_list>

namespace base
{

struct Parameter
{
	Oid type;
	Datum value;
	bool is_null;
};

Parameter text_value(const char *value); /* nullptr: NULL */
Parameter char_value(char value);
Parameter bool_value(bool value);
Parameter int_value(int32 value);
Parameter bigint_value(int64 value);
Parameter oid_value(Oid value);
Parameter lsn_value(XLogRecPtr value); /* 0: NULL */
Parameter bytes_value(const char *data, size_t size);
Parameter text_array_value(int count, const char *const *values); /* a nullptr element: NULL */

struct SqlScope
{
	MemoryContext caller;
};

SqlScope begin_sql();
void end_sql();

/* Run one statement; the number of rows processed or returned. */
uint64 run_sql(const char *sql, std::initializer_list<Parameter> parameters = {});

/* Values of the last run_sql(); row from 0, column from 1. */
bool is_null(uint64 row, int column);
bool get_bool(uint64 row, int column);
char get_char(uint64 row, int column);
int32 get_int(uint64 row, int column);
int64 get_bigint(uint64 row, int column);
Oid get_oid(uint64 row, int column);
TimestampTz get_timestamp(uint64 row, int column);			   /* NULL: 0 */
XLogRecPtr get_lsn(uint64 row, int column);					   /* NULL: 0 */
char *get_text(const SqlScope &scope, uint64 row, int column); /* NULL: nullptr */
char **get_text_array(const SqlScope &scope, uint64 row, int column, int *count);
bytea *get_bytes(const SqlScope &scope, uint64 row, int column);

/* The bigint in the first row and column, 0 without a row; in a scope of its own. */
int64 read_number(const char *sql, std::initializer_list<Parameter> parameters);

/* Run in a scope of its own, for statements whose result does not matter. */
uint64 run_alone(const char *sql, std::initializer_list<Parameter> parameters = {});

} // namespace base
