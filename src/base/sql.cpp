/*
 * base/sql.cpp
 *
 * See sql.hpp.
 */
#include "base/sql.hpp"

#include "base/saved_plan.hpp"

namespace base
{
namespace
{

constexpr size_t kMaxParameters = 32;

Parameter
make(Oid type, Datum value, bool is_null = false)
{
	return Parameter{type, value, is_null};
}

Datum
column(uint64 row, int number, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, null);
}

Datum
not_null_column(uint64 row, int number)
{
	bool null;
	Datum value = column(row, number, &null);

	return null ? (Datum) 0 : value;
}

} // namespace

Parameter
text_value(const char *value)
{
	return value ? make(TEXTOID, CStringGetTextDatum(value)) : make(TEXTOID, 0, true);
}

Parameter
char_value(char value)
{
	return make(CHAROID, CharGetDatum(value));
}

Parameter
bool_value(bool value)
{
	return make(BOOLOID, BoolGetDatum(value));
}

Parameter
int_value(int32 value)
{
	return make(INT4OID, Int32GetDatum(value));
}

Parameter
bigint_value(int64 value)
{
	return make(INT8OID, Int64GetDatum(value));
}

Parameter
oid_value(Oid value)
{
	return make(OIDOID, ObjectIdGetDatum(value));
}

Parameter
lsn_value(XLogRecPtr value)
{
	return make(PG_LSNOID, LSNGetDatum(value), value == InvalidXLogRecPtr);
}

Parameter
bytes_value(const char *data, size_t size)
{
	bytea *value = (bytea *) palloc(size + VARHDRSZ);

	SET_VARSIZE(value, size + VARHDRSZ);
	memcpy(VARDATA(value), data, size);
	return make(BYTEAOID, PointerGetDatum(value));
}

Parameter
text_array_value(int count, const char *const *values)
{
	Datum *elements = (Datum *) palloc(sizeof(Datum) * (count + 1));
	bool *nulls = (bool *) palloc0(sizeof(bool) * (count + 1));
	int lower = 1;

	for (int i = 0; i < count; i++)
	{
		nulls[i] = values[i] == nullptr;
		elements[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(values[i]);
	}
	return make(TEXTARRAYOID,
				PointerGetDatum(construct_md_array(elements, nulls, 1, &count, &lower, TEXTOID, -1,
												   false, TYPALIGN_INT)));
}

SqlScope
begin_sql()
{
	SqlScope scope{CurrentMemoryContext};

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	return scope;
}

void
end_sql()
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

uint64
run_sql(const char *sql, std::initializer_list<Parameter> parameters)
{
	Oid types[kMaxParameters];
	Datum values[kMaxParameters];
	char nulls[kMaxParameters] = {};
	int count = 0;

	if (parameters.size() > kMaxParameters)
		elog(ERROR, "too many parameters");
	for (const Parameter &parameter : parameters)
	{
		types[count] = parameter.type;
		values[count] = parameter.value;
		nulls[count++] = parameter.is_null ? 'n' : ' ';
	}

	SPIPlanPtr plan = find_saved_plan(sql, count, types);
	int result = plan != nullptr
					 ? SPI_execute_plan(plan, values, nulls, false, 0)
					 : SPI_execute_with_args(sql, count, types, values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "SPI failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

bool
is_null(uint64 row, int number)
{
	bool null;

	(void) column(row, number, &null);
	return null;
}

bool
get_bool(uint64 row, int number)
{
	return DatumGetBool(not_null_column(row, number));
}

char
get_char(uint64 row, int number)
{
	return DatumGetChar(not_null_column(row, number));
}

int32
get_int(uint64 row, int number)
{
	return DatumGetInt32(not_null_column(row, number));
}

int64
get_bigint(uint64 row, int number)
{
	return DatumGetInt64(not_null_column(row, number));
}

Oid
get_oid(uint64 row, int number)
{
	return DatumGetObjectId(not_null_column(row, number));
}

TimestampTz
get_timestamp(uint64 row, int number)
{
	return DatumGetTimestampTz(not_null_column(row, number));
}

XLogRecPtr
get_lsn(uint64 row, int number)
{
	return DatumGetLSN(not_null_column(row, number));
}

char *
get_text(const SqlScope &scope, uint64 row, int number)
{
	bool null;
	Datum value = column(row, number, &null);

	if (null)
		return nullptr;
	MemoryContext old = MemoryContextSwitchTo(scope.caller);
	char *copy = TextDatumGetCString(value);

	MemoryContextSwitchTo(old);
	return copy;
}

char **
get_text_array(const SqlScope &scope, uint64 row, int number, int *count)
{
	bool null;
	Datum value = column(row, number, &null);
	Datum *elements;
	bool *nulls;

	*count = 0;
	if (null)
		return nullptr;
	/* what is only needed for taking it apart goes with SPI's memory */
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, count);
	MemoryContext old = MemoryContextSwitchTo(scope.caller);
	char **texts = (char **) palloc(sizeof(char *) * (*count + 1));

	for (int i = 0; i < *count; i++)
		texts[i] = nulls[i] ? nullptr : TextDatumGetCString(elements[i]);
	MemoryContextSwitchTo(old);
	return texts;
}

bytea *
get_bytes(const SqlScope &scope, uint64 row, int number)
{
	bool null;
	Datum value = column(row, number, &null);

	if (null)
		return nullptr;
	MemoryContext old = MemoryContextSwitchTo(scope.caller);
	bytea *bytes = DatumGetByteaPCopy(value);

	MemoryContextSwitchTo(old);
	return bytes;
}

int64
read_number(const char *sql, std::initializer_list<Parameter> parameters)
{
	begin_sql();
	int64 number = run_sql(sql, parameters) > 0 ? get_bigint(0, 1) : 0;

	end_sql();
	return number;
}

uint64
run_alone(const char *sql, std::initializer_list<Parameter> parameters)
{
	begin_sql();
	uint64 processed = run_sql(sql, parameters);

	end_sql();
	return processed;
}

} // namespace base
