# What is proved: resync_table() makes a table equal to its source again, whatever was done to it here, while
# changes stream in; readers never find it empty, half full or in between, in no isolation level; nothing
# that depends on the table or stands in it besides is touched; a failed table streams again; and crashes,
# other changes of the publication, pauses and drops in the middle of it leave nothing behind.
#
# Why it matters: the other way to mend a table is to empty it, and its readers with it.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.chunk_size = '64kB'\nlivesync.retry_delay = '200ms'");
my $db = 'postgres';

$source->safe_psql($db, <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v text, n numeric);
INSERT INTO t SELECT i, i, repeat('x', 100), i FROM generate_series(1, 5000) i;
CREATE TABLE keyless (id int, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyless SELECT i % 500, 'k' FROM generate_series(1, 1000) i;
CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE ignored (v int);
SQL
$target->safe_psql($db, <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v text, n numeric, mine text DEFAULT 'fresh');
SQL

sub ask { return $target->safe_psql($db, $_[0]) }
sub resync { return ask("SELECT livesync.resync_table('c', 'public.$_[0]')") }
sub event { return ask("SELECT count(*) FROM livesync.events WHERE source_table = 'public.$_[0]' AND event = '$_[1]'") }
sub shadows { return ask(q{SELECT (SELECT count(*) FROM livesync.synced_table WHERE shadow_of IS NOT NULL) || ' ' || (SELECT count(*) FROM pg_class WHERE relname LIKE 'livesync\_resync%' AND relkind = 'r')}) }
sub image { return $_[0]->safe_psql($db, 'SELECT count(*), md5(string_agg((id, u, v, n)::text, $$,$$ ORDER BY id)) FROM t') }

sub fails
{
	my ($sql, $pattern, $name) = @_;
	my ($out, $err);
	my $status = $target->psql($db, $sql, stdout => \$out, stderr => \$err);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($status != 0 && $err =~ $pattern, "$name is refused") || diag($err);
}

create_connector($target, $db, 'c', conninfo($source), tables => [ 'public.t', 'public.keyless', 'public.other' ]);
wait_sync($source, $target, 'c');

fails("SELECT livesync.resync_table('c', 'public.x')", qr/has no table "public.x"/, 'an unknown table');

# --- what differs, and what must stay ----------------------------------------------------------

# Twice as wrong as can be: rows that are missing, too many, changed, equal but not the same; and two that
# have swapped a unique value.
sub spoil
{
	ask(<<'SQL');
DELETE FROM t WHERE id % 10 = 0;
UPDATE t SET v = 'wrong', mine = 'kept' WHERE id % 10 = 1;
UPDATE t SET n = (id || '.00')::numeric WHERE id % 10 = 2;
INSERT INTO t SELECT i, i, 'extra', 0 FROM generate_series(900001, 900100) i;
SQL
	return;
}
spoil();
ask(<<'SQL');
CREATE VIEW on_t AS SELECT id, v FROM t;
CREATE ROLE reader;
GRANT SELECT ON t TO reader;
COMMENT ON TABLE t IS 'a comment';
CREATE INDEX t_v ON t (v);
CREATE TABLE refers (id int REFERENCES t);
SQL
my $outside = q{SELECT (SELECT oid || relfilenode::text || relacl::text FROM pg_class WHERE oid = 't'::regclass),
	obj_description('t'::regclass), (SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass), 'on_t'::regclass, (SELECT count(*) FROM pg_constraint WHERE confrelid = 't'::regclass)};
my $before = ask($outside);

# readers in all isolation levels, all the time: the sum over pairs that the source changes together never differs
my $script = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
\set a random(1, 1000)
BEGIN;
UPDATE t SET v = v || 'y' WHERE id = :a * 5 - 1;
INSERT INTO t SELECT max(id) + 1, max(id) + 1, 'new', 0 FROM t;
DELETE FROM t WHERE id = (SELECT min(id) FROM t WHERE id > 5000);
INSERT INTO keyless VALUES (:a, 'new');
DELETE FROM keyless WHERE ctid = (SELECT min(ctid) FROM keyless);
COMMIT;
SQL
my $load = start_pgbench($source, $db, '-c', 1, '-R', 100, '-T', 3600, '-f', $script);
my $reads = PostgreSQL::Test::Utils::tempdir() . '/read.sql';
PostgreSQL::Test::Utils::append_to_file($reads, <<'SQL');
SELECT 1 / CASE WHEN (count(*) FILTER (WHERE id % 10 = 0 AND id <= 5000) = 0 AND count(*) FILTER (WHERE v = 'wrong') > 400 AND count(*) BETWEEN 4500 AND 4700)
	OR (count(*) FILTER (WHERE id % 10 = 0 AND id <= 5000) > 400 AND count(*) FILTER (WHERE v ~ 'wrong') = 0 AND count(*) BETWEEN 4900 AND 5100) THEN 1 ELSE 0 END FROM t;
SQL
my $readers = start_pgbench($target, $db, '-n', '-c', 2, '-T', 3600, '-R', 200, '-f', $reads);


ask("BEGIN; SELECT livesync.resync_table('c', 'public.t'); ROLLBACK");
is(shadows(), '0 0', 'a call that is rolled back has no effect');
failpoint($target, 'exchange/public.t=wait');
resync('t');
fails("SELECT livesync.resync_table('c', 'public.t')", qr/is being copied again already/, 'a second call');
failpoint_reached($target, $db, 'exchange');
is(ask(q{SELECT count(*), sum(chunks_total)::int > 5 FROM livesync.tables WHERE source_table = 'public.t'}), '1|t', 'the view has one line, with the new copy');
is(ask("SELECT livesync.wait_for_sync('c', '100 ms')"), 'f', 'waiting for sync waits for it');
kill_process($target, ask(q{SELECT pid FROM pg_stat_activity WHERE query = 'failpoint exchange'}));
stop_pgbench($readers);
$readers = start_pgbench($target, $db, '-n', '-c', 2, '-T', 3600, '-R', 200, '-f', $reads);
failpoint_reached($target, $db, 'exchange');

# once more when all of it is done, but for the commit
failpoint($target, 'exchanged/public.t=wait');
failpoint_reached($target, $db, 'exchanged');
kill_process($target, ask(q{SELECT pid FROM pg_stat_activity WHERE query = 'failpoint exchanged'}));
stop_pgbench($readers);
$readers = start_pgbench($target, $db, '-n', '-c', 2, '-T', 3600, '-R', 200, '-f', $reads);
failpoint_reached($target, $db, 'exchanged');

# one whose snapshot is older than what is written, and that looks only afterwards
my $old = session($target, $db, 'old');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$old->query_safe('SELECT count(*) FROM pg_class');
clear_failpoints($target);
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.events WHERE source_table = 'public.t' AND event = 'table_resynced'});
is($old->query_safe(q{SELECT count(*) FILTER (WHERE id % 10 = 0 AND id <= 5000) = 0 AND count(*) FILTER (WHERE v = 'wrong') > 400 AND count(*) > 4400 FROM t}), 't',
	'a snapshot from before sees the table as it was then, whole');
$old->query_safe('COMMIT');
my $sent = source_lsn($source);
is(ask("SELECT livesync.wait_for_lsn('c', '$sent', '180 s')"), 't', 'then it streams on');
stop_pgbench($readers);
stop_pgbench($load);
unlike(PostgreSQL::Test::Utils::slurp_file($target->logfile), qr/division by zero/, 'no reader ever saw anything between the old rows and the right ones');
wait_sync($source, $target, 'c');
is(image($target), image($source), 'after a resync the table is the same, also where values were equal before');
is(ask($outside), $before, 'the table itself, its rights, indexes, comment, and what depends on it are as they were');
is(ask(q{SELECT count(*) FROM t WHERE mine = 'kept'}), 500, 'columns that only the target has keep their values');
is(shadows(), '0 0', 'nothing of the new copy is left');
is(ask('SELECT count(*) FROM livesync.spool'), 0, 'no parked changes are left');

# --- values in each other's way ----------------------------------------------------------------

ask('UPDATE t SET u = -1 WHERE id = 3; UPDATE t SET u = 3 WHERE id = 4; UPDATE t SET u = 4 WHERE id = 3; DELETE FROM t WHERE id = 5; UPDATE t SET u = 5 WHERE id = 6');
resync('t');
wait_sync($source, $target, 'c');
is(image($target), image($source), 'unique values that are swapped');

# --- without a key -----------------------------------------------------------------------------

ask(q{DELETE FROM keyless WHERE id < 100; INSERT INTO keyless VALUES (-1, 'extra')});
resync('keyless');
$source->safe_psql($db, q{INSERT INTO keyless VALUES (7, 'twice'), (7, 'twice')});
wait_sync($source, $target, 'c');
same_tables($source, $db, $target, $db, ['public.keyless'], 'a table without a key');

# --- a table that has failed -------------------------------------------------------------------

ask(q{ALTER TABLE t ADD CHECK (v <> 'bad')});
$source->safe_psql($db, q{INSERT INTO t VALUES (600000, 600000, 'bad', 0); INSERT INTO t VALUES (600001, 600001, 'good', 0)});
wait_state($target, $db, 'c', 'public.t', 'failed');
resync('t');
poll($target, $db, q{SELECT count(*) > 0 FROM livesync.events WHERE source_table = 'public.t' AND event = 'table_not_resynced'});
wait_state($target, $db, 'c', 'public.t', 'failed');
is(shadows(), '0 0', 'a new copy that does not fit either is given up');
cmp_ok(ask(q{SELECT spooled_changes FROM livesync.tables WHERE source_table = 'public.t'}), '>=', 2, 'and the parked changes are still there');
$source->safe_psql($db, 'DELETE FROM t WHERE id = 600000');
resync('t');
wait_sync($source, $target, 'c');
is(image($target), image($source), 'a failed table is resynced and streams');
$source->safe_psql($db, q{INSERT INTO t VALUES (600002, 600002, 'good', 0)});
wait_sync($source, $target, 'c');
is(image($target), image($source), 'and goes on');

# --- what else may happen meanwhile ------------------------------------------------------------

failpoint($target, 'chunk_loaded/public.t=wait');
resync('t');
failpoint_reached($target, $db, 'chunk_loaded');
$source->safe_psql($db, 'ALTER TABLE t ADD extra int');
ask('ALTER TABLE t ADD extra int');
$source->safe_psql($db, 'UPDATE t SET extra = 1 WHERE id < 10');
poll($target, $db, q{SELECT count(*) > 1 FROM livesync.events WHERE source_table = 'public.t' AND event = 'table_not_resynced'});
ask('DELETE FROM t WHERE id = 100');
clear_failpoints($target);
wait_sync($source, $target, 'c');
is(image($target), image($source), 'a new column: the copy begins anew with it');
is(ask('SELECT count(*) FROM t WHERE extra = 1'), $source->safe_psql($db, 'SELECT count(*) FROM t WHERE extra = 1'), 'and brings it');

failpoint($target, 'chunk_loaded/public.t=wait');
resync('t');
failpoint_reached($target, $db, 'chunk_loaded');
ask("SELECT livesync.pause_table('c', 'public.t')");
clear_failpoints($target);
wait_state($target, $db, 'c', 'public.t', 'paused');
fails("SELECT livesync.resync_table('c', 'public.t')", qr/cannot be copied again now\n.*is paused/s, 'a paused table');
$source->safe_psql($db, 'VACUUM FULL t');
$source->safe_psql($db, 'TRUNCATE t; INSERT INTO t SELECT i, i, $$z$$, i FROM generate_series(1, 50) i');
wait_text($target, $db, 'c', 'public.t', 'paused');
ask("SELECT livesync.resume_table('c', 'public.t')");
wait_sync($source, $target, 'c');
is(image($target), image($source), 'a pause, a rewrite and a TRUNCATE meanwhile');

failpoint($target, 'exchange/public.t=wait');
resync('t');
failpoint_reached($target, $db, 'exchange');
$source->safe_psql($db, 'ALTER PUBLICATION livesync_c DROP TABLE t');
clear_failpoints($target);
poll($target, $db, q{SELECT count(*) = 0 FROM livesync.tables WHERE source_table = 'public.t'});
is(shadows(), '0 0', 'a table that leaves the publication takes its new copy along');

failpoint($target, 'chunk_loaded/public.keyless=wait');
resync('keyless');
failpoint_reached($target, $db, 'chunk_loaded');
ask("SELECT livesync.pause_connector('c'); SELECT livesync.drop_connector('c')");
clear_failpoints($target);
is(shadows(), '0 0', 'a connector that is dropped takes them along');

check_logs($source, $target);
done_testing();
