-- The contract with scripts: names, argument names, defaults and results of functions, columns of views in their order,
-- who may use them.  Whoever must change a line here breaks somebody's script.
SELECT no_plan();

CREATE FUNCTION signature(wanted text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_get_function_arguments(p.oid) || ' → ' || pg_get_function_result(p.oid)
	FROM pg_proc p WHERE p.proname = wanted AND p.pronamespace = 'livesync'::regnamespace
$$;
SELECT is(signature(name), expected, format('signature of %s()', name)) FROM (VALUES
	('check_source', 'source text, publications text[] DEFAULT NULL::text[], tables text[] DEFAULT NULL::text[], '
		'ssh_tunnel text DEFAULT NULL::text, OUT "check" text, OUT object text, OUT status text, OUT detail text, OUT hint text → SETOF record'),
	('source_tables', 'source text, ssh_tunnel text DEFAULT NULL::text, OUT source_table text, OUT kind text, OUT bytes bigint, OUT estimated_rows bigint, '
		'OUT replica_identity text, OUT key_columns text[], OUT publications text[], OUT suggested_time_column text, '
		'OUT problems text[] → SETOF record'),
	('sync_sequences', 'connector text, sequences text[] DEFAULT NULL::text[], OUT sequence text, OUT value bigint → SETOF record'),
	('compare_table', 'connector text, source_table text, OUT part text, OUT source_rows bigint, OUT target_rows bigint, '
		'OUT equal boolean, OUT missing_keys text[], OUT extra_keys text[], OUT different_keys text[], OUT moving_keys text[], '
		'OUT lsn pg_lsn → SETOF record'),
	('create_connector', 'name text, source text, publications text[] DEFAULT NULL::text[], tables text[] DEFAULT NULL::text[], '
		'copy_data boolean DEFAULT true, copy_workers integer DEFAULT 4, create_tables boolean DEFAULT true, '
		'target_schema text DEFAULT NULL::text, enabled boolean DEFAULT true, ssh_tunnel text DEFAULT NULL::text, schema_changes text DEFAULT ''follow''::text → void'),
	('alter_connector', 'name text, source text DEFAULT NULL::text, publications text[] DEFAULT NULL::text[], copy_workers integer DEFAULT NULL::integer, '
		'owner text DEFAULT NULL::text, ssh_tunnel text DEFAULT NULL::text, schema_changes text DEFAULT NULL::text → void'),
	('ssh_public_key', ' → text'),
	('pause_connector', 'name text → void'),
	('resume_connector', 'name text → void'),
	('drop_connector', 'name text, force boolean DEFAULT false → void'),
	('refresh_connector', 'name text → void'),
	('rename_connector', 'name text, new_name text → void'),
	('add_table', 'connector text, source_table text, target_table text DEFAULT NULL::text, copy_data boolean DEFAULT true, '
		'hypertable_column text DEFAULT NULL::text, chunk_interval interval DEFAULT NULL::interval → void'),
	('remove_table', 'connector text, source_table text → void'),
	('resync_table', 'connector text, source_table text → void'),
	('retry_table', 'connector text, source_table text → void'),
	('wait_for_sync', 'connector text DEFAULT NULL::text, timeout interval DEFAULT NULL::interval → boolean'),
	('wait_for_lsn', 'connector text, lsn pg_lsn DEFAULT NULL::pg_lsn, timeout interval DEFAULT NULL::interval → boolean'),
	('copy_activity', 'OUT connector_id integer, OUT pid integer, OUT table_id bigint, OUT chunk integer, OUT activity text, OUT rows bigint, OUT bytes bigint, OUT began_at timestamp with time zone → SETOF record'),
	('fdw_validator', 'options text[], catalog oid → void'),
	('hide_secrets', 'source text → text'),
	('may_see', 'owner oid → boolean'),
	('pause_table', 'connector text, source_table text → void'),
	('resume_table', 'connector text, source_table text → void'),
	('skip_change', 'connector text, source_table text → void'),
	('table_waits', 'OUT table_id bigint, OUT waiting_for text → SETOF record'),
	('tell_connector_state', ' → trigger'),
	('tell_event', ' → trigger'),
	('tell_table_state', ' → trigger')) v(name, expected);
SELECT is(count(*)::int, 30, 'and there is no other function') FROM pg_proc WHERE pronamespace = 'livesync'::regnamespace;

SELECT is((SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = ('livesync.' || name)::regclass AND attnum > 0), expected, format('columns of the view %s', name)) FROM (VALUES
	('connectors', 'name, status, source, publications, slot_name, copy_workers, enabled, created_at, last_error, hint, owner, ssh_tunnel'),
	('tables', 'connector, source_table, target_table, state, percent, rows_copied, rows_expected, bytes_copied, bytes_expected, '
		'rows_per_second, eta, chunks_done, chunks_total, spooled_changes, waiting_for, last_error, hint, updated_at, chunks_running'),
	('progress', 'connector, status, bar, percent, tables_streaming, tables_total, tables_failed, received_lsn, applied_lsn, '
		'source_lsn, lag_bytes, lag, slot_retained_bytes, waiting_for, slot_wal_status, slot_safe_bytes, slot_invalidation_reason'),
	('stats', 'connector, source_table, inserts, updates, deletes, truncates, insert_exists, update_missing, delete_missing, '
		'batches, replayed_batches, errors, skipped, update_exists, update_origin_differs, delete_origin_differs'),
	('events', 'at, connector, source_table, event, detail')) v(name, expected);

-- Calls need a grant; what the views need, and the views, are everybody's: they show what belongs to the reader.
SELECT is(has_function_privilege('public', p.oid, 'EXECUTE'),
	p.proname IN ('connector_activity', 'copy_activity', 'table_waits', 'hide_secrets', 'may_see'),
	format('%s(): who may execute it', p.proname))
FROM pg_proc p WHERE p.pronamespace = 'livesync'::regnamespace;
SELECT ok(NOT p.prosecdef, format('%s() runs with the rights of its caller', p.proname))
FROM pg_proc p WHERE p.pronamespace = 'livesync'::regnamespace;
SELECT is(has_table_privilege('public', c.oid, 'SELECT'), c.relkind = 'v', format('%s: everybody reads views only', c.relname))
FROM pg_class c WHERE c.relnamespace = 'livesync'::regnamespace AND c.relkind IN ('r', 'v');
SELECT ok(NOT has_table_privilege('public', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'), format('%s: nobody writes', c.relname))
FROM pg_class c WHERE c.relnamespace = 'livesync'::regnamespace AND c.relkind IN ('r', 'v');
SELECT is(c.reloptions, '{security_barrier=true}', format('%s hides the rows of others also from leaky functions', c.relname))
FROM pg_class c WHERE c.relnamespace = 'livesync'::regnamespace AND c.relkind = 'v';
SELECT ok(has_schema_privilege('public', 'livesync', 'USAGE') AND NOT has_schema_privilege('public', 'livesync', 'CREATE'), 'the schema is open to look into');

SELECT * FROM finish();
