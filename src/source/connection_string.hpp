/*
 * source/connection_string.hpp
 *
 * A user's connection string, taken apart into libpq's keywords and values, and completed with
 * what our connections need.
 *
 * Surprising: a list of hosts is connected to one by one.  libpq's own walk through such a list is
 * stuck at the first host that does not answer at all, since its connect_timeout works only in the
 * calls that block.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

/* Parallel arrays for PQconnectStartParams(), ended by a null keyword; palloc'ed. */
struct Parameters
{
	int count;
	const char **keywords;
	const char **values;
};

/* ERROR, without quoting anything of it, when libpq or the server's rules do not accept it. */
Parameters parse_connection_string(const char *conninfo);

/* ERROR, in the same way, when they cannot be right. */
void check_parameters(const Parameters &parameters);

/* Add what each connection for this purpose has; the user's own values win for keepalives. */
void complete_parameters(Parameters *parameters, Purpose purpose, const char *fallback_name);

/* Empty, with room for so many and for what complete_parameters() adds. */
Parameters allocate_parameters(int count);
void set_parameter(Parameters *parameters, const char *keyword, const char *value);
const char *get_parameter(const Parameters &parameters, const char *keyword); /* or NULL */

/* Of a comma-separated list; 0 for NULL and "". */
int count_elements(const char *list);
int count_hosts(const Parameters &parameters);

/* The same parameters with only the given one of several hosts. */
Parameters select_host(const Parameters &parameters, int host);

} // namespace source
