/*
 * state/connector.hpp
 *
 * The row of a connector: what the user wants, and what has been made for it at the source.
 *
 * In: an id.  Out: a plain struct in the current memory context.  All functions need a
 * transaction; none knows what a source or a target table is.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

struct Connector
{
	int id;
	char *name;
	Oid owner;	  /* a role; it may have been dropped */
	char *source; /* connection string: never in a message */
	int npublications;
	char **publications;
	char *own_publication;	/* nullptr: it uses existing ones */
	int nnext_publications; /* to switch to when the slot has confirmed next_lsn; 0: none */
	char **next_publications;
	XLogRecPtr next_lsn;
	bool missed_publication; /* the source could not decode on: one of them was not there */
	int nwanted_tables;		 /* of the own publication; 0: every table */
	char **wanted_tables;
	bool copy_data;
	int copy_workers;
	bool create_tables;
	char *target_schema;  /* nullptr: as at the source */
	char *schema_changes; /* follow or stop */
	bool enabled;
	char *slot_name;
	XLogRecPtr slot_lsn; /* 0: the slot is not recorded as created */
	char *source_system; /* nullptr: not known yet */
	uint32 source_timeline;
	bool is_listed;		   /* the published tables have been recorded */
	char *ssh_tunnel;	   /* address of the SSH server in between; nullptr: none */
	char *ssh_known_hosts; /* its host key; nullptr: not seen yet */
	char *ssh_private_key; /* of this database; nullptr: none, or not needed */
};

/* nullptr: there is none. */
Connector *load_connector(int id);
Connector *load_connector_by_name(const char *name);

/* The replication origin of a connector of this database: palloc'ed. */
char *origin_name(int connector_id);

/* Its events get the new name too.  False: it has another name by now, or is gone. */
bool rename_connector(const Connector *connector, const char *new_name);
/* Events that were recorded under the old name by who did not know the new one yet. */
void rename_events(const Connector *connector, const char *old_name);

/* Another name for it, when that is the only one the connector uses. */
void record_own_publication(int id, const char *name);
void record_slot(int id, XLogRecPtr slot_lsn);
void record_source(int id, const char *system, uint32 timeline);
void record_listed(int id);
/* Is the publication that it made for itself among those it uses? */
bool uses_own_publication(const Connector *connector);
/*
 * What the own publication is made of when it must be made again.  Never nothing, which would mean every table.
 * False: a call holds the row.
 */
bool try_record_wanted_tables(const Connector *connector, int count, char **tables);
void record_ssh_host(int id, const char *known_hosts);
/* Use the next publications from now on. */
void switch_publications(int id);
void record_connector_error(int id, const char *error, const char *hint);
void record_missed_publication(int id, bool is_missed);
void clear_connector_error(int id);

/* Is the extension installed in this database? */
bool is_installed();

} // namespace state
