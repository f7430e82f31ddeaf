-- A user's way from nothing to tables that follow their source: each call as the README shows it, whole tables compared.
SELECT no_plan();
SELECT dblink_connect('s', :'source');

-- Whole tables of both sides: the rows as text.
CREATE FUNCTION source_rows(relation text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT r FROM dblink('s', format('SELECT t::text FROM %s t ORDER BY 1', relation)) AS d(r text) ORDER BY r$$;
CREATE FUNCTION target_rows(relation text) RETURNS SETOF text LANGUAGE plpgsql AS
	$$BEGIN RETURN QUERY EXECUTE format('SELECT t::text AS r FROM %s t ORDER BY 1', relation); END$$;
-- An empty table equals an empty table: that would prove nothing.
CREATE FUNCTION same(relation text, target text, what text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT results_eq(format('SELECT target_rows(%L)', target), format('SELECT source_rows(%L)', relation), what)
	UNION ALL SELECT isnt((SELECT count(*) FROM source_rows(relation)), 0::bigint, what || ': there are rows')
$$;

-- Until the query gives true, for at most 30 s: what follows then says what is wrong.
CREATE PROCEDURE wait_until(query text) LANGUAGE plpgsql AS $$
DECLARE reached boolean;
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXECUTE query INTO reached;
		COMMIT;
		EXIT WHEN reached;
		PERFORM pg_sleep(0.05);
	END LOOP;
END$$;

SELECT dblink_exec('s', $$
	CREATE SCHEMA shop;
	CREATE TABLE shop.items (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2) DEFAULT 1.5, tags text[]);
	CREATE TABLE shop.log (at timestamptz, what text);
	ALTER TABLE shop.log REPLICA IDENTITY FULL;
	INSERT INTO shop.items SELECT i, 'item ' || i, i, ARRAY['a', NULL, 'b,"c'] FROM generate_series(1, 2000) i;
	INSERT INTO shop.log SELECT '2026-01-01', 'same' FROM generate_series(1, 3);
	CREATE TABLE public.other (id int PRIMARY KEY, v text);
	INSERT INTO public.other VALUES (1, 'before');
$$);

-- all tables of a schema
SELECT lives_ok(format($$SELECT livesync.create_connector('shop', %L, tables => '{shop.*}')$$, :'source'), 'create_connector of a schema');
SELECT ok(livesync.wait_for_sync('shop', '180 s'), 'every table streams');
SELECT same('shop.items', 'shop.items', 'copied: items');
SELECT same('shop.log', 'shop.log', 'copied: log, which has equal rows');
SELECT hasnt_table('public', 'other', 'a table of another schema is not taken');
SELECT col_is_pk('shop', 'items', 'id', 'the created table has the key');
SELECT col_not_null('shop', 'items', 'name', 'and NOT NULL');

SELECT dblink_exec('s', $$
	BEGIN;
	INSERT INTO shop.items VALUES (3001, 'new', NULL, '{}'), (3002, E'tab\t\\ "quotes" ü', 0, NULL);
	UPDATE shop.items SET price = price * 2 WHERE id % 10 = 0;
	UPDATE shop.items SET id = id + 10000 WHERE id BETWEEN 5 AND 7;
	DELETE FROM shop.items WHERE id BETWEEN 100 AND 150;
	DELETE FROM shop.log WHERE ctid = (SELECT min(ctid) FROM shop.log);
	UPDATE shop.log SET what = 'changed' WHERE ctid = (SELECT max(ctid) FROM shop.log);
	COMMIT
$$);
SELECT ok(livesync.wait_for_lsn('shop', timeout => '180 s'), 'wait_for_lsn: all that is committed now');
SELECT same('shop.items', 'shop.items', 'insert, update, change of the key, delete');
SELECT same('shop.log', 'shop.log', 'one of several equal rows is deleted, one is updated');
SELECT dblink_exec('s', $$
	BEGIN; INSERT INTO shop.items VALUES (9999, 'never', 0, NULL); ROLLBACK;
	TRUNCATE shop.items; INSERT INTO shop.items VALUES (1, 'after', 1, NULL)
$$);
SELECT ok(livesync.wait_for_lsn('shop', timeout => '180 s'), 'wait_for_lsn again');
SELECT same('shop.items', 'shop.items', 'TRUNCATE, and nothing of what was rolled back');
-- counted at most twice a second
CALL wait_until($$SELECT truncates > 0 FROM livesync.stats WHERE source_table = 'shop.items'$$);
SELECT results_eq($$SELECT inserts > 0, updates > 0, deletes > 0, truncates FROM livesync.stats WHERE source_table = 'shop.items'$$,
	$$VALUES (true, true, true, 1::bigint)$$, 'the statistics have counted them');

-- what the views say about a copy that is done
SELECT is_empty($$SELECT * FROM livesync.tables WHERE rows_per_second < 0 OR percent IS DISTINCT FROM 100 OR eta IS NOT NULL
	OR rows_copied > rows_expected OR chunks_done IS DISTINCT FROM chunks_total OR spooled_changes <> 0$$,
	'done: no negative speed, 100 percent, nothing left to estimate, nothing parked');
SELECT results_eq($$SELECT status, bar, percent, tables_streaming, tables_total, tables_failed, lag_bytes >= 0, lag >= '0' FROM livesync.progress$$,
	$$VALUES ('streaming', '[####################]', 100.0, 2, 2, 0, true, true)$$, 'the line of progress');
SELECT is_empty($$SELECT s.* FROM livesync.spool s JOIN livesync.synced_table t ON t.id = s.table_id WHERE t.state = 'streaming'$$,
	'no change is left in the spool of a table that streams');

-- nothing waits for ever; a time that is over gives false
SELECT ok(NOT livesync.wait_for_lsn('shop', 'FF/0', '200 ms'), 'wait_for_lsn gives false at the timeout');

-- other schema, without the rows that are there
SELECT lives_ok(format($$SELECT livesync.create_connector('others', %L, tables => '{public.other}', copy_data => false, target_schema => 'elsewhere')$$, :'source'),
	'create_connector without copying, into another schema');
SELECT ok(livesync.wait_for_sync('others', '180 s'), 'it streams');
SELECT dblink_exec('s', $$INSERT INTO public.other VALUES (2, 'after')$$);
SELECT ok(livesync.wait_for_lsn('others', timeout => '180 s'), 'wait_for_lsn of the second connector');
SELECT results_eq('SELECT id, v FROM elsewhere.other', $$VALUES (2, 'after')$$, 'the new row only, in the other schema');
SELECT ok(livesync.wait_for_sync(timeout => '180 s'), 'wait_for_sync of all connectors');

-- the end: nothing stays at the source
SELECT livesync.pause_connector('shop'), livesync.pause_connector('others');
SELECT results_eq($$SELECT DISTINCT status, lag FROM livesync.progress$$, $$VALUES ('paused', NULL::interval)$$,
	'paused: the lag is not known, and not said to be 0');
SELECT livesync.drop_connector('shop'), livesync.drop_connector('others');
CALL wait_until('SELECT count(*) = 0 FROM livesync.cleanup');
SELECT results_eq($$SELECT slots, publications FROM dblink('s', 'SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()),
	(SELECT count(*) FROM pg_publication)') AS d(slots bigint, publications bigint)$$,
	$$VALUES (0::bigint, 0::bigint)$$, 'dropped: slot and publication are gone from the source');
SELECT same('shop.items', 'shop.items', 'the tables stay');
SELECT is((SELECT count(*) FROM pg_replication_origin WHERE roname LIKE 'livesync_' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '_%'),
	0::bigint, 'the origins are gone');
SELECT * FROM finish();
