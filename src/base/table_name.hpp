/*
 * base/table_name.hpp
 *
 * The name of a table as people write it in a call: 'schema.table', or 'schema.*'.
 */
#pragma once

namespace base
{

struct TableName
{
	char *schema;
	char *name;
	bool every; /* schema.* */
};

/*
 * What is not quoted is taken literally, without case folding; quotes are needed only around a schema's name that
 * contains a dot.  ERROR without a schema.  Palloc'ed.
 */
TableName parse_table_name(const char *text);

} // namespace base
