/*
 * base/names.cpp
 *
 * See names.hpp.
 */
#include "base/names.hpp"

#include "base/pg.hpp"

namespace base
{

bool
is_among(const char *name, int count, const char *const *names)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

bool
are_among(int nwanted, const char *const *wanted, int count, const char *const *names)
{
	for (int i = 0; i < nwanted; i++)
		if (!is_among(wanted[i], count, names))
			return false;
	return true;
}

bool
are_same_names(int count, const char *const *names, int nothers, const char *const *others)
{
	if (count != nothers)
		return false;
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], others[i]) != 0)
			return false;
	return true;
}

} // namespace base
