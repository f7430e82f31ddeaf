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
	int nwanted_tables; /* of the own publication; 0: every table */
	char **wanted_tables;
	bool copy_data;
	int copy_workers;
	bool create_tables;
	char *target_schema; /* nullptr: as at the source */
	bool enabled;
	char *slot_name;
	XLogRecPtr slot_lsn; /* 0: the slot is not recorded as created */
	char *source_system; /* nullptr: not known yet */
	uint32 source_timeline;
	bool is_listed; /* the published tables have been recorded */
};

/* nullptr: there is none. */
Connector *load_connector(int id);
Connector *load_connector_by_name(const char *name);

/* The replication origin of a connector of this database: palloc'ed. */
char *origin_name(int connector_id);

void record_slot(int id, XLogRecPtr slot_lsn);
void record_source(int id, const char *system, uint32 timeline);
void record_listed(int id);
/* Use the next publications from now on. */
void switch_publications(int id);
void record_connector_error(int id, const char *error, const char *hint);
void clear_connector_error(int id);

/* Is the extension installed in this database? */
bool is_installed();

} // namespace state
