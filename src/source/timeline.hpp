/*
 * source/timeline.hpp
 *
 * Owns: reading a timeline history file, as TIMELINE_HISTORY returns it.
 *
 *   each line    timeline '\t' position where it was left '\t' reason
 *
 * In: the file's content. Out: the position at which a timeline was left.
 *
 * Must not know: the connection, our origin, or what a switch behind our position means; that is
 * decided where positions are compared.
 *
 * The surprising thing: the file of timeline N lists N's ancestors and not N itself. So "not
 * listed" means either the current timeline or one that never was in this server's history.
 */
#ifndef LIVESYNC_SOURCE_TIMELINE_HPP
#define LIVESYNC_SOURCE_TIMELINE_HPP

#include <cstdint>
#include <string_view>

#include "wire/lsn.hpp"

namespace source
{

/*
 * False, with *out untouched, when the timeline is not listed. A line that cannot be understood
 * counts as the end of the file: better no answer than one from a damaged history.
 */
bool switch_point(std::string_view content, uint32_t timeline, wire::Lsn *out);

} // namespace source

#endif
