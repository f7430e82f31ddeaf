/*
 * base/names.hpp
 *
 * Lists of names, of columns above all.  The order counts only where two lists are the same.
 */
#pragma once

namespace base
{

bool is_among(const char *name, int count, const char *const *names);
/* Is each of the wanted ones among the names? */
bool are_among(int nwanted, const char *const *wanted, int count, const char *const *names);
/* The same names in the same order? */
bool are_same_names(int count, const char *const *names, int nothers, const char *const *others);

} // namespace base
