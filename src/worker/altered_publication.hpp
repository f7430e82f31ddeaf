/*
 * worker/altered_publication.hpp
 *
 * A publication whose options were changed and changed back between two looks at the source (publish = 'insert' for a load,
 * say).  What was not published meanwhile is missing here, and nothing in the publication shows it any more but the
 * transaction that wrote its entry in the catalog.
 *
 * Surprising: setting an option to what it was looks the same, and is no reason to copy every table again: it is told of, once.
 */
#pragma once

#include "worker/connector.hpp"

namespace worker
{

/* At each look at the source. Needs a transaction. */
void watch_publications(ConnectorWorker *worker);

} // namespace worker
