/* pg_livesync--0.1.0.sql: the tables, functions and views of the extension */

-- complain if the script is sourced in psql rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_livesync" to load this file. \quit

CREATE SCHEMA livesync;
COMMENT ON SCHEMA livesync IS 'live replicas of tables of other PostgreSQL servers (extension pg_livesync)';

/*
 * What must survive a crash.  Only the extension's owner reads these tables: they hold connection
 * strings.  They are not dumped with their content: a restored copy of a connector would take over
 * the slot of the original.
 */

CREATE TABLE livesync.connector (
	id				integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name			text NOT NULL UNIQUE,
	owner			oid NOT NULL,				-- a role; an oid, because roles can be renamed, and dropped
	source			text NOT NULL,				-- connection string, may hold a password; or the name of a foreign server
	publications	text[] NOT NULL,
	publications_seen text[] NOT NULL DEFAULT '{}',	-- and who wrote their options last: see worker/altered_publication.cpp
	own_publication	text,						-- made by the connector, dropped with it
	next_publications text[],					-- used once the slot has confirmed next_lsn: it must exist wherever decoding stands
	next_lsn		pg_lsn,
	missed_publication boolean NOT NULL DEFAULT false,	-- the source could not decode on: one of them was not there at that position
	wanted_tables	text[],						-- what the own publication is made of; null: every table
	copy_data		boolean NOT NULL,
	copy_workers	integer NOT NULL CHECK (copy_workers > 0),
	create_tables	boolean NOT NULL,
	target_schema	text,
	schema_changes	text NOT NULL DEFAULT 'follow' CHECK (schema_changes IN ('follow', 'stop')),
	enabled			boolean NOT NULL,
	slot_name		text NOT NULL,
	slot_lsn		pg_lsn,						-- where the slot began; null: not created yet
	source_system	text,						-- system identifier, as decimal text
	source_timeline	bigint,
	listed_at		timestamptz,				-- when the published tables were first recorded by the worker
	is_binary		boolean,					-- the form of the values in the stream; null: not connected yet
	text_reason		text,						-- why a change has to come as text, one that commits at text_lsn or before
	text_lsn		pg_lsn,
	text_table		bigint,						-- a synced table; 0: not known
	unreadable_types oid[] NOT NULL DEFAULT '{}',	-- the source's binary form of these could not be read: always text
	last_error		text,
	hint			text,
	ssh_tunnel		text,						-- user@host:port [host key]
	ssh_known_hosts	text,						-- the host key as seen first; null: not yet
	created_at		timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE livesync.synced_table (
	id				bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	connector_id	integer NOT NULL REFERENCES livesync.connector ON DELETE CASCADE,
	source_schema	text NOT NULL,
	source_name		text NOT NULL,
	source_oid		oid NOT NULL,
	target_schema	text NOT NULL,
	target_name		text NOT NULL,
	state			text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'copying', 'catching_up', 'streaming', 'paused', 'failed')),
	phase			text NOT NULL DEFAULT '' CHECK (phase IN ('', 'publish_gate', 'confirm', 'gate', 'load', 'exchange')),
	failed_from		text,						-- the state to go back to by retry_table
	paused_from		text,						-- the state to go back to by resume_table
	mode			text NOT NULL DEFAULT 'keyed' CHECK (mode IN ('keyed', 'snapshot')),
	copy_data		boolean NOT NULL DEFAULT true,
	generation		integer NOT NULL DEFAULT 0,
	fingerprint		text NOT NULL DEFAULT '',
	columns			text[] NOT NULL DEFAULT '{}',	-- published columns
	key_columns		text[] NOT NULL DEFAULT '{}',	-- columns that find a row
	shape_columns	text[],						-- the source's columns that the target was made to fit; null: not known yet
	shape_types		text[],						-- of each: type oid and modifier at the source
	shape_lsn		pg_lsn,						-- what the stream described before this may be older than the shape
	storage			text,						-- which files the source kept the rows in then: others were rewritten
	partitions		text,						-- the links of its partitions whose rows are known to be here; null: not partitioned
	column_versions	text[],						-- the source's columns whose values are here: see source/column_versions.hpp
	column_look		text,						-- what the last look at the source said of these
	row_filter		text,
	replica_identity "char" NOT NULL DEFAULT 'd',
	empty_at_start	boolean NOT NULL DEFAULT false,	-- unchanged TOAST values found here may be trusted
	load_upserts	boolean NOT NULL DEFAULT false,	-- rows may already be there: load with ON CONFLICT
	binary_types	oid[] NOT NULL DEFAULT '{}',	-- by published column: its type where COPY may be binary, else 0
	exported		text,						-- one-snapshot way: name of the exported snapshot
	snapshot		text,						-- one-snapshot way: pg_current_snapshot() of it
	admit_lsn		pg_lsn,						-- newly published: the slot must have confirmed this first
	end_lsn			pg_lsn,						-- the stream must have passed this before the table streams
	parked_lsn		pg_lsn,						-- streamed before: the first commit that is not applied here
	streams_since	timestamptz,				-- when it began to stream, the first time
	hypertable_column text,						-- a target that we create becomes a hypertable (TimescaleDB) by it
	chunk_interval	interval,					-- of that hypertable; null: the default
	released		boolean NOT NULL DEFAULT false,	-- left the publication; kept to know what its target holds
	shadow_of		bigint UNIQUE REFERENCES livesync.synced_table ON DELETE CASCADE,	-- resync: it loads a new copy of that table
	parked_segment	bigint,						-- of a shadow: changes that were parked for the table up to here are in the new copy
	bytes_expected	bigint NOT NULL DEFAULT 0,
	rows_expected	bigint NOT NULL DEFAULT 0,
	chunks_total	integer NOT NULL DEFAULT 0,
	analyze_wanted	boolean NOT NULL DEFAULT false,	-- loaded, but not analyzed yet
	last_error		text,
	error_lsn		pg_lsn,
	hint			text,
	updated_at		timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 40);						-- each row is updated several times on its way to streaming: in its place
CREATE UNIQUE INDEX synced_table_source ON livesync.synced_table (connector_id, source_schema, source_name) WHERE shadow_of IS NULL;

-- What calls said of single tables: to be synced under another name, or not at all.  A table may have no other row yet.
CREATE TABLE livesync.listing (
	connector_id	integer NOT NULL REFERENCES livesync.connector ON DELETE CASCADE,
	source_schema	text NOT NULL,
	source_name		text NOT NULL,
	state			text NOT NULL CHECK (state IN ('publish', 'add', 'listed', 'withdraw', 'left_out')),
	target_schema	text,						-- null: as for every table of the connector
	target_name		text,
	copy_data		boolean NOT NULL,
	hypertable_column text,
	chunk_interval	interval,
	wanted_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (connector_id, source_schema, source_name)
);

-- What calls want of a table and its workers have not done yet.  Not columns of the table: whoever loads
-- a chunk holds the table's row, and a call, perhaps of a long transaction, must neither wait for that nor hold it.
CREATE TABLE livesync.wish (
	table_id		bigint PRIMARY KEY REFERENCES livesync.synced_table ON DELETE CASCADE,
	wanted			text NOT NULL CHECK (wanted IN ('pause', 'skip'))
);

-- The ledger of the initial copy: a chunk's rows and its done_at commit together.
CREATE TABLE livesync.chunk (
	table_id		bigint NOT NULL REFERENCES livesync.synced_table ON DELETE CASCADE,
	generation		integer NOT NULL,
	number			integer NOT NULL,
	leaf_oid		oid NOT NULL,
	leaf_schema		text NOT NULL,
	leaf_name		text NOT NULL,
	leaf_filenode	oid NOT NULL,
	first_block		bigint NOT NULL,
	end_block		bigint NOT NULL,			-- exclusive; -1: the whole leaf
	rows			bigint,
	bytes			bigint,
	started_at		timestamptz,				-- of the transaction that loaded it
	done_at			timestamptz,
	read_lsn		pg_lsn,						-- the source's insert position when it had been read
	PRIMARY KEY (table_id, generation, number)
);
CREATE INDEX chunk_open ON livesync.chunk (table_id, number) WHERE done_at IS NULL;

-- Indexes of target tables that we created, built after the load; a row goes with the building of its index.
CREATE TABLE livesync.pending_index (
	table_id		bigint NOT NULL REFERENCES livesync.synced_table ON DELETE CASCADE,
	number			integer NOT NULL,
	name			text NOT NULL,				-- at the source; once built: of the index here
	definition		text NOT NULL,				-- as the source gives it
	constraint_kind	"char" NOT NULL,			-- p, u, x as in pg_constraint; empty: an index only
	is_deferrable	boolean NOT NULL,
	is_deferred		boolean NOT NULL,
	is_key			boolean NOT NULL,			-- catching up needs it
	is_unique		boolean NOT NULL,			-- holds only for rows of one moment
	is_built		boolean NOT NULL DEFAULT false,	-- what is missing is its constraint
	PRIMARY KEY (table_id, number)
);

-- Changes parked in stream order: each segment is a run of raw pgoutput messages with what is needed to read them.
CREATE TABLE livesync.spool (
	table_id		bigint NOT NULL REFERENCES livesync.synced_table ON DELETE CASCADE,
	generation		integer NOT NULL,
	segment			bigint NOT NULL,
	changes			integer NOT NULL,
	body			bytea NOT NULL,
	PRIMARY KEY (table_id, generation, segment)
);
ALTER TABLE livesync.spool ALTER body SET STORAGE EXTERNAL;

-- Rows set aside because another unique index was in their way while versions were mixed.
CREATE TABLE livesync.aside (
	table_id		bigint NOT NULL REFERENCES livesync.synced_table ON DELETE CASCADE,
	generation		integer NOT NULL,
	key_columns		text[] NOT NULL,
	key				text[] NOT NULL,
	PRIMARY KEY (table_id, generation, key_columns, key)
);

-- Remote objects and origins of dropped connectors, removed by a worker after the drop has committed.
CREATE TABLE livesync.cleanup (
	id				bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	connector		text NOT NULL,
	owner			oid NOT NULL,
	source			text NOT NULL,
	slot_name		text NOT NULL,
	publication		text,						-- null: not ours
	origin			text NOT NULL,
	ssh_tunnel		text,
	ssh_known_hosts	text,
	last_error		text,
	created_at		timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The one key pair of this database, for ssh_tunnel.
CREATE TABLE livesync.ssh_key (
	singleton		boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	private_key		text NOT NULL,
	public_key		text NOT NULL
);

CREATE TABLE livesync.table_stats (
	table_id		bigint PRIMARY KEY REFERENCES livesync.synced_table ON DELETE CASCADE,
	inserts			bigint NOT NULL DEFAULT 0,
	updates			bigint NOT NULL DEFAULT 0,
	deletes			bigint NOT NULL DEFAULT 0,
	truncates		bigint NOT NULL DEFAULT 0,
	insert_exists	bigint NOT NULL DEFAULT 0,
	update_missing	bigint NOT NULL DEFAULT 0,
	delete_missing	bigint NOT NULL DEFAULT 0,
	batches			bigint NOT NULL DEFAULT 0,
	replayed_batches bigint NOT NULL DEFAULT 0,
	errors			bigint NOT NULL DEFAULT 0,
	skipped			bigint NOT NULL DEFAULT 0,	-- by skip_change
	update_exists	bigint NOT NULL DEFAULT 0,
	update_origin_differs bigint NOT NULL DEFAULT 0,
	delete_origin_differs bigint NOT NULL DEFAULT 0
);

CREATE TABLE livesync.event (
	id				bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at				timestamptz NOT NULL DEFAULT clock_timestamp(),
	connector		text NOT NULL,
	owner			oid,						-- of the connector: may read it, also when the connector is gone
	source_table	text,
	event			text NOT NULL,
	detail			text
);

/*
 * NOTIFY on channel "livesync", in the transaction that changes the state or records the event; the payload is JSON:
 *
 *   {"at": "2026-05-04T10:11:12.5+00:00", "connector": "shop", "source_table": "public.orders",
 *    "state": "failed", "event": null, "detail": "value too long for type character varying(3)"}
 *
 * state: of the table as in livesync.tables, or of the connector as in livesync.connectors ("dropped" when it is gone).
 * event: as in livesync.events.  One of the two is null.  ALWAYS: our workers are in replica role.
 */

CREATE FUNCTION livesync.tell_event() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'livesync_tell_event';
COMMENT ON FUNCTION livesync.tell_event IS 'Sends NOTIFY livesync for a new event.';
CREATE TRIGGER tell AFTER INSERT ON livesync.event FOR EACH ROW EXECUTE FUNCTION livesync.tell_event();
ALTER TABLE livesync.event ENABLE ALWAYS TRIGGER tell;

CREATE FUNCTION livesync.tell_table_state() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'livesync_tell_table_state';
COMMENT ON FUNCTION livesync.tell_table_state IS 'Sends NOTIFY livesync for the new state of a table, and of its connector.';
CREATE TRIGGER tell AFTER INSERT OR UPDATE OF state, released ON livesync.synced_table
	FOR EACH ROW WHEN (NEW.shadow_of IS NULL) EXECUTE FUNCTION livesync.tell_table_state();
ALTER TABLE livesync.synced_table ENABLE ALWAYS TRIGGER tell;

CREATE FUNCTION livesync.tell_connector_state() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'livesync_tell_connector_state';
COMMENT ON FUNCTION livesync.tell_connector_state IS 'Sends NOTIFY livesync for the new state of a connector.';
CREATE TRIGGER tell AFTER INSERT OR DELETE OR UPDATE OF enabled, last_error, listed_at ON livesync.connector
	FOR EACH ROW EXECUTE FUNCTION livesync.tell_connector_state();
ALTER TABLE livesync.connector ENABLE ALWAYS TRIGGER tell;

/*
 * A source may be the name of a foreign server: its user mappings hold the passwords.
 */

CREATE FUNCTION livesync.fdw_validator(options text[], catalog oid)
RETURNS void LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'livesync_fdw_validator';
COMMENT ON FUNCTION livesync.fdw_validator IS 'Checks the options of foreign servers and user mappings of foreign data wrapper livesync.';

CREATE FOREIGN DATA WRAPPER livesync NO HANDLER VALIDATOR livesync.fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER livesync IS 'Sources of connectors: servers with libpq''s options, user mappings with user and password.';

/*
 * Before there is a connector.
 */

CREATE FUNCTION livesync.check_source(
	source text, publications text[] = NULL, tables text[] = NULL, ssh_tunnel text = NULL,
	OUT "check" text, OUT object text, OUT status text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE C VOLATILE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'livesync_check_source';
COMMENT ON FUNCTION livesync.check_source IS
'Look at everything that a connector to this source would need: a row for each thing, status ok, warning or error, and what to do about it. Nothing is changed.
source, publications, tables, ssh_tunnel: as for create_connector. A source that cannot be reached is a row, too.';

CREATE FUNCTION livesync.source_tables(
	source text, ssh_tunnel text = NULL,
	OUT source_table text, OUT kind text, OUT bytes bigint, OUT estimated_rows bigint, OUT replica_identity text,
	OUT key_columns text[], OUT publications text[], OUT suggested_time_column text, OUT problems text[])
RETURNS SETOF record LANGUAGE C VOLATILE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'livesync_source_tables';
COMMENT ON FUNCTION livesync.source_tables IS
'The tables of a source that could be synced, with their size (without indexes), key and what stands in the way. estimated_rows: null when never analyzed.
suggested_time_column: the NOT NULL time column to make a hypertable by: one of the key, else one that an index begins with, else by type and name.';

/*
 * A connector's life.
 */

CREATE FUNCTION livesync.create_connector(
	name text, source text, publications text[] = NULL, tables text[] = NULL,
	copy_data boolean = true, copy_workers integer = 4, create_tables boolean = true,
	target_schema text = NULL, enabled boolean = true, ssh_tunnel text = NULL,
	schema_changes text = 'follow')
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_create_connector';
COMMENT ON FUNCTION livesync.create_connector IS
'Make a connector: copy tables of the source and keep them in sync.
source: libpq connection string, or the name of a foreign server of foreign data wrapper livesync. publications: existing ones; NULL: an own one, livesync_<name>, of tables (schema.table or schema.*), or of every user table.
ssh_tunnel: the SSH server in between, user@host:port, and behind a space its host key when that is known; see livesync.ssh_public_key().
schema_changes: follow (columns that are added or widened at the source are added or widened here) or stop (the table fails, and its hint says what to run).
The source is checked at once unless enabled is false; all else is done by background workers after commit.';

CREATE FUNCTION livesync.alter_connector(
	name text, source text = NULL, publications text[] = NULL, copy_workers integer = NULL, owner text = NULL,
	ssh_tunnel text = NULL, schema_changes text = NULL)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_alter_connector';
COMMENT ON FUNCTION livesync.alter_connector IS
'Change a connector; NULL leaves a thing as it is. source: another address or password of the same source, the position is kept.
publications: used as soon as the stream has passed this moment; tables come and go accordingly. copy_workers: how many processes may copy at once, also while they do. owner: a role that you are a member of.
ssh_tunnel: another SSH server, or the same with a new host key; an empty text: none. schema_changes: follow or stop, from the next change on.';

CREATE FUNCTION livesync.ssh_public_key()
RETURNS text LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_ssh_public_key';
COMMENT ON FUNCTION livesync.ssh_public_key IS
'The public key of this database, a line for the file authorized_keys of an SSH server that shall be used as ssh_tunnel. The first call makes the key pair.';

CREATE FUNCTION livesync.rename_connector(name text, new_name text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_rename_connector';
COMMENT ON FUNCTION livesync.rename_connector IS
'Give a connector another name, also in its events. Slot, origin and own publication keep theirs; its processes start anew, nothing is lost.';

CREATE FUNCTION livesync.pause_connector(name text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_pause_connector';
COMMENT ON FUNCTION livesync.pause_connector IS
'Stop a connector; returns when nothing is applied any more. Position, finished chunks and slot are kept; the source keeps WAL until it is resumed.';

CREATE FUNCTION livesync.resume_connector(name text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_resume_connector';
COMMENT ON FUNCTION livesync.resume_connector IS 'Let a paused connector go on where it was.';

CREATE FUNCTION livesync.drop_connector(name text, force boolean = false)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_drop_connector';
COMMENT ON FUNCTION livesync.drop_connector IS
'Drop a paused connector; its slot and own publication at the source are removed by a worker after commit, the target tables stay.
force: also when the source cannot be reached now; the removal is then tried again until it succeeds.';

CREATE FUNCTION livesync.refresh_connector(name text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_refresh_connector';
COMMENT ON FUNCTION livesync.refresh_connector IS
'Read the publications of the source anew now; returns when that is done. They are looked at every livesync.poll_interval anyway.';

CREATE FUNCTION livesync.add_table(
	connector text, source_table text, target_table text = NULL, copy_data boolean = true,
	hypertable_column text = NULL, chunk_interval interval = NULL)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_add_table';
COMMENT ON FUNCTION livesync.add_table IS
'Sync one more table, or one that remove_table() left out. The own publication gets it; a publication of yours must publish it already.
source_table, target_table: schema.table; target_table NULL: as for the other tables. copy_data false: only changes from now on.
hypertable_column, chunk_interval: make the target a hypertable (TimescaleDB).';

CREATE FUNCTION livesync.remove_table(connector text, source_table text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_remove_table';
COMMENT ON FUNCTION livesync.remove_table IS
'Do not sync a table any more; its target stays as it is. The own publication loses it; of other publications it is left out from here on,
until add_table() takes it up again.';

CREATE FUNCTION livesync.resync_table(connector text, source_table text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_resync_table';
COMMENT ON FUNCTION livesync.resync_table IS
'Copy a table again beside the one that streams on, then take over what differs in one transaction: readers see the old rows or the right ones, never less.
Also for a failed table, which streams again afterwards. The target itself, its indexes, rights and what depends on it stay.';

CREATE FUNCTION livesync.retry_table(connector text, source_table text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_retry_table';
COMMENT ON FUNCTION livesync.retry_table IS
'Let a failed table go on where it stopped: its parked changes are applied, then it streams again. source_table: schema.table.';

CREATE FUNCTION livesync.skip_change(connector text, source_table text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_skip_change';
COMMENT ON FUNCTION livesync.skip_change IS
'Drop the one change that made a table fail, then go on as retry_table does: the last resort, the target then differs from the source in that row.
The worker looks for the first parked change that fails, alone and in its order, and drops it only if it fails with the same error; livesync.events names it.';

CREATE FUNCTION livesync.pause_table(connector text, source_table text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_pause_table';
COMMENT ON FUNCTION livesync.pause_table IS
'Park the changes of a table from the next end of a source transaction after this commits, until resume_table(); the other tables go on.
The worker does it: livesync.tables shows the state paused as soon as it is done. A copy stops after the chunks that are being loaded.';

CREATE FUNCTION livesync.resume_table(connector text, source_table text)
RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_resume_table';
COMMENT ON FUNCTION livesync.resume_table IS
'Let a paused table go on where it was: its parked changes are applied, then it streams again; a copy goes on with the next chunk.';

/*
 * For scripts and tests.
 */

CREATE FUNCTION livesync.wait_for_sync(connector text = NULL, timeout interval = NULL)
RETURNS boolean LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_wait_for_sync';
COMMENT ON FUNCTION livesync.wait_for_sync IS
'Wait until every table of the connector (NULL: of all) is streaming. True when reached, false at the timeout (NULL: none).';

CREATE FUNCTION livesync.wait_for_lsn(connector text, lsn pg_lsn = NULL, timeout interval = NULL)
RETURNS boolean LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'livesync_wait_for_lsn';
COMMENT ON FUNCTION livesync.wait_for_lsn IS
'Wait until everything that the source committed before lsn (NULL: its position now) is applied here. True when reached, false at the timeout (NULL: none).';

CREATE FUNCTION livesync.sync_sequences(connector text, sequences text[] = NULL, OUT sequence text, OUT value bigint)
RETURNS SETOF record LANGUAGE C VOLATILE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'livesync_sync_sequences';
COMMENT ON FUNCTION livesync.sync_sequences IS
'Set the sequences of synced columns (serial, identity) so that nextval() goes on after the source''s; for a cut-over, when nobody writes to the source any more.
sequences: others besides, schema.sequence at the source; they must exist here.
Returns each sequence of the target and where it stands then. A sequence is never set back.';

-- Both sides must write values the same way: the settings here are those of the session at the source.
CREATE FUNCTION livesync.compare_table(
	connector text, source_table text,
	OUT part text, OUT source_rows bigint, OUT target_rows bigint, OUT equal boolean,
	OUT missing_keys text[], OUT extra_keys text[], OUT different_keys text[], OUT moving_keys text[], OUT lsn pg_lsn)
RETURNS SETOF record LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp SET row_security = off SET "DateStyle" = 'ISO' SET "IntervalStyle" = 'postgres'
SET "TimeZone" = 'UTC' SET extra_float_digits = 3 SET bytea_output = 'hex' SET lc_monetary = 'C' SET xmlbinary = 'base64'
AS 'MODULE_PATHNAME', 'livesync_compare_table';
COMMENT ON FUNCTION livesync.compare_table IS
'Compare a table with its source while changes stream: a row for each part that is not equal, and a last one, "total". Nothing is stopped or locked.
equal: null when keys kept changing for as long as they were looked at (moving_keys). Of each kind of keys at most ten are listed; of a table without a key they are hashes of rows.
lsn: the position of the source that the rows were compared at last.';

/*
 * What the workers tell through shared memory: lost at a restart, harmlessly.
 */

CREATE FUNCTION livesync.connector_activity(
	OUT connector_id integer, OUT pid integer, OUT received_lsn pg_lsn, OUT applied_lsn pg_lsn,
	OUT flushed_lsn pg_lsn, OUT source_lsn pg_lsn, OUT applied_at timestamptz, OUT slot_retained_bytes bigint, OUT waiting_for text,
	OUT slot_wal_status text, OUT slot_safe_bytes bigint, OUT slot_invalidation_reason text)
RETURNS SETOF record LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'livesync_connector_activity';
COMMENT ON FUNCTION livesync.connector_activity IS 'Live state of the connector workers of this database.';

CREATE FUNCTION livesync.copy_activity(
	OUT connector_id integer, OUT pid integer, OUT table_id bigint, OUT chunk integer, OUT activity text,
	OUT rows bigint, OUT bytes bigint, OUT began_at timestamptz)
RETURNS SETOF record LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'livesync_copy_activity';
COMMENT ON FUNCTION livesync.copy_activity IS 'Live state of the copy workers of this database. rows, bytes, began_at: of the chunk that is being loaded.';

CREATE FUNCTION livesync.table_waits(OUT table_id bigint, OUT waiting_for text)
RETURNS SETOF record LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'livesync_table_waits';
COMMENT ON FUNCTION livesync.table_waits IS 'What tables of this database wait for.';

CREATE FUNCTION livesync.hide_secrets(source text)
RETURNS text LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'livesync_hide_secrets';
COMMENT ON FUNCTION livesync.hide_secrets IS 'A connection string without its passwords.';

/*
 * Views: each role sees the connectors that it owns; members of pg_monitor see all.
 */

CREATE FUNCTION livesync.may_see(owner oid)
RETURNS boolean LANGUAGE sql STABLE AS
'SELECT pg_catalog.pg_has_role(owner, ''USAGE'') OR pg_catalog.pg_has_role(''pg_monitor'', ''USAGE'')';
COMMENT ON FUNCTION livesync.may_see IS 'Whether the current user may look at connectors of that owner.';

CREATE VIEW livesync.connectors WITH (security_barrier) AS
SELECT c.name,
	CASE
		WHEN NOT c.enabled THEN 'paused'
		WHEN c.last_error IS NOT NULL THEN 'failing'
		WHEN a.pid IS NULL OR c.listed_at IS NULL THEN 'starting'
		WHEN EXISTS (SELECT FROM livesync.synced_table t WHERE t.connector_id = c.id AND NOT t.released AND t.state IN ('queued', 'copying', 'catching_up')) THEN 'copying'
		ELSE 'streaming'
	END AS status,
	livesync.hide_secrets(c.source) AS source,
	c.publications, c.slot_name, c.copy_workers, c.enabled, c.created_at, c.last_error, c.hint,
	pg_catalog.pg_get_userbyid(c.owner)::text AS owner,
	pg_catalog.split_part(c.ssh_tunnel, ' ', 1) AS ssh_tunnel
FROM livesync.connector c
LEFT JOIN livesync.connector_activity() a ON a.connector_id = c.id
WHERE livesync.may_see(c.owner);
COMMENT ON VIEW livesync.connectors IS 'A line for each connector.';

-- A chunk that is being loaded counts by its rows: the ledger knows it only when it is done.
CREATE VIEW livesync.tables WITH (security_barrier) AS
WITH running AS MATERIALIZED (
	SELECT ca.table_id, ca.rows, ca.bytes, ca.began_at FROM livesync.copy_activity() ca WHERE ca.rows IS NOT NULL)
SELECT c.name AS connector,
	t.source_schema || '.' || t.source_name AS source_table,
	t.target_schema || '.' || t.target_name AS target_table,
	t.state,
	round(100 * f.done, 1) AS percent,
	k.rows + r.rows AS rows_copied,
	greatest(y.rows_expected, k.rows + r.rows) AS rows_expected,
	k.bytes + r.bytes AS bytes_copied,
	greatest(y.bytes_expected, k.bytes + r.bytes) AS bytes_expected,
	((k.rows + r.rows) / nullif(extract(epoch FROM f.took), 0))::bigint AS rows_per_second,
	CASE WHEN y.state = 'copying' AND f.done > 0
		THEN date_trunc('second', f.took * ((1 - f.done) / f.done)::float8) END AS eta,
	k.chunks_done,
	y.chunks_total,
	coalesce(s.changes, 0) AS spooled_changes,
	coalesce(w.waiting_for, z.waiting_for, i.building, CASE
		WHEN y.state = 'queued' AND y.phase = 'confirm' THEN format('slot "%s" to confirm %s', c.slot_name, y.admit_lsn)
		WHEN y.state = 'catching_up' AND a.applied_lsn < y.end_lsn
			THEN format('the stream, which is at %s, to reach %s', a.applied_lsn, y.end_lsn) END) AS waiting_for,
	coalesce(t.last_error, y.last_error) AS last_error,
	coalesce(t.hint, y.hint) AS hint,
	t.updated_at,
	r.chunks::integer AS chunks_running
FROM livesync.synced_table t
JOIN livesync.connector c ON c.id = t.connector_id
LEFT JOIN livesync.synced_table h ON h.shadow_of = t.id
JOIN livesync.synced_table y ON y.id = coalesce(h.id, t.id)	-- whose copy it is: of a new one while there is one
LEFT JOIN livesync.connector_activity() a ON a.connector_id = c.id
LEFT JOIN livesync.table_waits() w ON w.table_id = t.id
LEFT JOIN livesync.table_waits() z ON z.table_id = h.id
CROSS JOIN LATERAL (
	SELECT count(x.done_at)::integer AS chunks_done, coalesce(sum(x.rows), 0)::bigint AS rows,
		coalesce(sum(x.bytes), 0)::bigint AS bytes, min(x.started_at) AS started_at, max(x.done_at) AS done_at
	FROM livesync.chunk x WHERE x.table_id = y.id AND x.generation = y.generation) k
CROSS JOIN LATERAL (
	SELECT coalesce(sum(u.rows), 0)::bigint AS rows, coalesce(sum(u.bytes), 0)::bigint AS bytes,
		count(*) AS chunks, min(u.began_at) AS started_at,
		coalesce(sum(least(u.rows / nullif(CASE WHEN k.chunks_done > 0 THEN k.rows::numeric / k.chunks_done
			ELSE y.rows_expected::numeric / nullif(y.chunks_total, 0) END, 0), 1)), 0) AS done
	FROM running u WHERE u.table_id = y.id) r
CROSS JOIN LATERAL (
	SELECT CASE
			WHEN coalesce(y.failed_from, y.paused_from, y.state) IN ('streaming', 'catching_up') THEN 1.0
			WHEN y.chunks_total = 0 THEN 0.0
			WHEN k.chunks_done = y.chunks_total THEN 1.0
			ELSE least((k.chunks_done + r.done) / y.chunks_total, 0.999)
		END AS done,
		CASE WHEN r.chunks > 0 THEN clock_timestamp() ELSE k.done_at END - least(k.started_at, r.started_at) AS took) f
LEFT JOIN LATERAL (
	SELECT sum(p.changes)::bigint AS changes FROM livesync.spool p
	WHERE p.table_id = t.id AND p.generation = t.generation) s ON true
LEFT JOIN LATERAL (
	SELECT string_agg(ca.activity || coalesce(': ' || p.phase || coalesce(', ' || (100 *
			CASE WHEN p.tuples_total > 0 THEN p.tuples_done::float8 / p.tuples_total
				ELSE p.blocks_done::float8 / nullif(p.blocks_total, 0) END)::integer || '%', ''), ''), '; ') AS building
	FROM livesync.copy_activity() ca
	LEFT JOIN pg_catalog.pg_stat_progress_create_index p ON p.pid = ca.pid
	WHERE ca.table_id = y.id AND ca.activity LIKE 'building index%') i ON true
WHERE NOT t.released AND t.shadow_of IS NULL AND livesync.may_see(c.owner);
COMMENT ON VIEW livesync.tables IS 'A line for each synced table. While resync_table() copies it again, the columns of the copy are those of the new one. percent, rows_per_second, eta: of the copy, from its first chunk to its last; spooled_changes: parked until they may be applied; waiting_for: also an index that is being built after the load, with what the server says of its progress.';

CREATE VIEW livesync.progress WITH (security_barrier) AS
SELECT c.name AS connector,
	v.status,
	'[' || rpad(repeat('#', floor(t.percent / 5)::integer), 20, '.') || ']' AS bar,
	t.percent,
	t.tables_streaming,
	t.tables_total,
	t.tables_failed,
	a.received_lsn,
	least(a.applied_lsn, k.parked_lsn) AS applied_lsn,
	a.source_lsn,
	-- not known while nothing listens to the source; a worker that finds its connector paused runs for a moment too
	CASE WHEN a.pid IS NOT NULL AND c.enabled THEN greatest(a.source_lsn - least(a.applied_lsn, k.parked_lsn), 0)::bigint END AS lag_bytes,
	CASE WHEN a.pid IS NULL OR NOT c.enabled THEN NULL WHEN a.source_lsn <= least(a.applied_lsn, k.parked_lsn) THEN interval '0'
		ELSE greatest(clock_timestamp() - a.applied_at, interval '0') END AS lag,
	a.slot_retained_bytes,
	coalesce(a.waiting_for, t.waiting_for) AS waiting_for,
	-- as seen last; nobody looks while it is paused
	CASE WHEN c.enabled THEN a.slot_wal_status END AS slot_wal_status,
	CASE WHEN c.enabled THEN a.slot_safe_bytes END AS slot_safe_bytes,
	CASE WHEN c.enabled THEN a.slot_invalidation_reason END AS slot_invalidation_reason
FROM livesync.connector c
JOIN livesync.connectors v ON v.name = c.name
LEFT JOIN livesync.connector_activity() a ON a.connector_id = c.id
CROSS JOIN LATERAL (
	SELECT min(p.parked_lsn) AS parked_lsn FROM livesync.synced_table p
	WHERE p.connector_id = c.id AND NOT p.released) k
CROSS JOIN LATERAL (
	SELECT coalesce(trunc(sum(y.percent * greatest(y.bytes_expected, 8192)) / nullif(sum(greatest(y.bytes_expected, 8192)), 0), 1), 0.0) AS percent,
		count(*) FILTER (WHERE y.state = 'streaming')::integer AS tables_streaming,
		count(*)::integer AS tables_total,
		count(*) FILTER (WHERE y.state = 'failed')::integer AS tables_failed,
		min(y.source_table || ': ' || y.waiting_for) AS waiting_for
	FROM livesync.tables y WHERE y.connector = c.name) t;
COMMENT ON VIEW livesync.progress IS
'A line for each connector, made for \watch. applied_lsn: everything the source committed before it is applied here (in tables whose first copy is done); lag: how long ago all was applied that had been received; lag_bytes and slot_retained_bytes: bytes of WAL; lag and lag_bytes are null while nothing runs. slot_wal_status: reserved, extended, unreserved or lost, as in pg_replication_slots at the source; slot_safe_bytes: WAL that may be written there before the slot is in danger, null: no limit; slot_invalidation_reason: of sources from 17 on.';

CREATE VIEW livesync.stats WITH (security_barrier) AS
SELECT c.name AS connector,
	t.source_schema || '.' || t.source_name AS source_table,
	s.inserts, s.updates, s.deletes, s.truncates,
	s.insert_exists, s.update_missing, s.delete_missing,
	s.batches, s.replayed_batches, s.errors, s.skipped, s.update_exists,
	s.update_origin_differs, s.delete_origin_differs
FROM livesync.table_stats s
JOIN livesync.synced_table t ON t.id = s.table_id AND NOT t.released
JOIN livesync.connector c ON c.id = t.connector_id
WHERE livesync.may_see(c.owner);
COMMENT ON VIEW livesync.stats IS
'Changes applied to each table, conflicts by their names (the source wins), sets of changes applied (batches) and applied again one by one (replayed_batches), errors, changes dropped by skip_change (skipped). update_origin_differs and delete_origin_differs: rows that somebody else had written since the table streams; counted only while track_commit_timestamp is on here, and not in hypertables.';

CREATE VIEW livesync.events WITH (security_barrier) AS
SELECT at, connector, source_table, event, detail FROM livesync.event WHERE livesync.may_see(owner) ORDER BY id;
COMMENT ON VIEW livesync.events IS 'What happened to connectors and tables, oldest first.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA livesync FROM PUBLIC;
/*
 * Whoever may make this server connect to others may EXECUTE the calls; the rest is a matter of who owns a connector.
 * No role comes with the extension: roles are the server's, so DROP EXTENSION could not take it away, and one that
 * exists already may mean something else.  What the views need is everybody's: they show what belongs to the reader.
 */
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA livesync FROM PUBLIC;
GRANT USAGE ON SCHEMA livesync TO PUBLIC;
GRANT EXECUTE ON FUNCTION livesync.connector_activity(), livesync.copy_activity(), livesync.table_waits(), livesync.hide_secrets(text),
	livesync.may_see(oid) TO PUBLIC;
GRANT SELECT ON livesync.connectors, livesync.tables, livesync.progress, livesync.stats, livesync.events TO PUBLIC;
