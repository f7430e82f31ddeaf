/*
 * source/foreign_server.hpp
 *
 * A source by the name of a foreign server, so that no password is in a call, a table of ours or a
 * log: where the source is stands in the server's options, user and password in a user mapping.
 *
 *   CREATE SERVER shop FOREIGN DATA WRAPPER livesync OPTIONS (host '10.0.0.5', dbname 'shop');
 *   CREATE USER MAPPING FOR alice SERVER shop OPTIONS (user 'sync', password '…');
 *
 * Options are libpq's.  Looked up anew for each connection, so a new password counts from the next
 * one on.
 */
#pragma once

#include "source/connection_string.hpp"

namespace source
{

/* A name, and not a connection string: no "=", no URI, and nothing that a name would not have. */
bool is_server_name(const char *source);

struct ServerParameters
{
	Parameters server;		   /* of the server */
	Parameters mapping;		   /* of the role's user mapping, or else that of PUBLIC */
	bool is_of_superuser;	   /* the server's owner is one: its options may be trusted */
	bool is_password_optional; /* a superuser said so in the mapping */
};

/* Needs a transaction.  ERROR when it is missing, of another kind, or not for that role. */
ServerParameters read_foreign_server(const char *name, Oid role);

/* Where an option may stand: one that libpq does not have, or that is ours to set, nowhere. */
bool is_server_option(const char *keyword);
bool is_mapping_option(const char *keyword);
char *list_options(bool (*is_wanted)(const char *keyword));

constexpr char kWrapperName[] = "livesync";
constexpr char kPasswordRequired[] = "password_required";

} // namespace source
