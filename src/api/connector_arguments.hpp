/*
 * api/connector_arguments.hpp
 *
 * What create_connector() and alter_connector() take alike, and what is wrong with it.
 */
#pragma once

#include "source/connection.hpp"
#include "state/connector.hpp"

namespace api
{

void check_copy_workers(int number);
void check_schema_changes(const char *policy);
/* An empty connection string would be whatever the environment of this server says. */
void check_source_argument(const char *source);
/* ERROR when the source is where the connector is. */
void refuse_this_database(const state::Connector *connector, source::Connection *control);
/* An empty text: none.  What was known of the host is forgotten: it may have a new key. */
void set_tunnel(state::Connector *connector, char *address);

} // namespace api
