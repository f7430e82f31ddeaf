/*
 * target/binary_value.cpp
 *
 * See binary_value.hpp.
 */
#include "target/binary_value.hpp"

#include "base/compat.hpp"

namespace target
{
namespace
{

/* Their names are theirs on every server; what they send is the oid behind the name, the source's. */
bool
is_oid_alias(const char *type_name)
{
	return strncmp(type_name, "reg", 3) == 0;
}

bool
is_readable_everywhere(Oid type, int source_version)
{
	switch (type)
	{
		case MONEYOID: /* its unit is that of the locale */
		case XMLOID:   /* says its encoding itself */
			return false;
		case INTERVALOID:
			return base::has_infinite_intervals(source_version) ==
				   base::has_infinite_intervals(base::kServerVersion);
		default:
			return true;
	}
}

/* The form of a record names the types of its fields; and what has no such form cannot be sent. */
bool
has_simple_form(Form_pg_type form)
{
	bool is_simple = form->typtype == TYPTYPE_BASE || form->typtype == TYPTYPE_RANGE ||
					 form->typtype == TYPTYPE_MULTIRANGE;

	return is_simple && OidIsValid(form->typsend) && OidIsValid(form->typreceive) &&
		   !is_oid_alias(NameStr(form->typname));
}

/* The types of source and target differ. */
Datum
convert_value(TargetColumn *column, const wire::Value &value)
{
	return InputFunctionCall(&column->input, text_of(*column, value), column->io_parameter,
							 column->modifier);
}

/* Receive functions may look for an end of strings, which lies behind the value. */
StringInfoData
copy_bytes(std::string_view bytes)
{
	StringInfoData copy;

	initStringInfo(&copy);
	appendBinaryStringInfo(&copy, bytes.data(), (int) bytes.size());
	return copy;
}

/* Others read as many bytes as there are, or as their type has, and find an end that comes too early. */
StringInfoData
view_bytes(std::string_view bytes)
{
	StringInfoData view;

	view.data = const_cast<char *>(bytes.data());
	view.len = view.maxlen = (int) bytes.size();
	view.cursor = 0;
	return view;
}

void
check_end(const StringInfoData &bytes)
{
	if (bytes.cursor != bytes.len)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("the source sent a binary value that is longer than its type's")));
}

/* Reads all of the bytes. */
Datum
receive_all(FmgrInfo *receive, StringInfoData *bytes, Oid io_parameter, int32 modifier)
{
	ErrorContextCallback callback{error_context_stack, blame_value, nullptr};

	error_context_stack = &callback;
	Datum datum = ReceiveFunctionCall(receive, bytes, io_parameter, modifier);

	check_end(*bytes);
	error_context_stack = callback.previous;
	return datum;
}

} // namespace

void
blame_value(void *)
{
	if (geterrcode() == ERRCODE_PROTOCOL_VIOLATION)
		(void) errcode(ERRCODE_INVALID_BINARY_REPRESENTATION);
}

/* Only oids that were given by hand are the same in every major version; others are counted by initdb. */
bool
is_binary_type(Oid type, int source_version)
{
	HeapTuple tuple =
		type < FirstGenbkiObjectId ? SearchSysCache1(TYPEOID, ObjectIdGetDatum(type)) : nullptr;

	if (!HeapTupleIsValid(tuple))
		return false;
	bool is_simple = has_simple_form((Form_pg_type) GETSTRUCT(tuple));
	Oid element = get_element_type(type);

	ReleaseSysCache(tuple);
	return is_simple && is_readable_everywhere(type, source_version) &&
		   (!OidIsValid(element) || is_binary_type(element, source_version));
}

Datum
receive_value(TargetColumn *column, std::string_view bytes)
{
	if (OidIsValid(column->sent_type) && column->sent_type != column->type)
		return convert_value(column, wire::Value{wire::ValueKind::binary, bytes});
	if (!column->has_receive)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("no binary input function available for type %s",
							   format_type_be(column->type))));

	StringInfoData value = column->reads_by_length ? view_bytes(bytes) : copy_bytes(bytes);

	return receive_all(&column->receive, &value, column->io_parameter, column->modifier);
}

char *
text_of(const TargetColumn &column, const wire::Value &value)
{
	switch (value.kind)
	{
		case wire::ValueKind::null:
		case wire::ValueKind::unchanged:
			return nullptr;
		case wire::ValueKind::text:
			return pnstrdup(value.bytes.data(), value.bytes.size());
		case wire::ValueKind::binary:
			break;
	}

	Oid type = OidIsValid(column.sent_type) ? column.sent_type : column.type;
	StringInfoData bytes = copy_bytes(value.bytes);
	Oid receive, output, parameter;
	FmgrInfo function;
	bool is_varlena;

	getTypeBinaryInputInfo(type, &receive, &parameter);
	getTypeOutputInfo(type, &output, &is_varlena);
	fmgr_info(receive, &function);
	return OidOutputFunctionCall(output, receive_all(&function, &bytes, parameter, -1));
}

} // namespace target
