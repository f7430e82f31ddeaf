# What is proved: pause_table() parks a table's changes from the end of one source transaction on, with
# the other tables going on; nothing claims meanwhile that those changes are applied; resume_table() ends
# with equal tables, whatever the table was doing when it was paused, and whatever happened in between: a
# crash, a restart, columns that were added.  A call that is rolled back has no effect.
#
# Why it matters: who pauses a table does so to change it, or to keep it still for a report.  A change
# that is applied after all, lost, or applied twice would only be seen much later.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(
	target_conf => "livesync.chunk_size = '64kB'\nlivesync.retry_delay = '1min'\nlivesync.lock_timeout = '500ms'",
	source_conf => 'autovacuum = off');
my $db = 'postgres';

$source->safe_psql($db, <<'SQL');
CREATE TABLE t (id bigserial PRIMARY KEY, twin int, v text);
CREATE TABLE other (id bigserial PRIMARY KEY, v text);
INSERT INTO t (twin, v) SELECT 0, repeat('x', 100) FROM generate_series(1, 100);
CREATE TABLE ignored (v int);
SQL

sub ask { return $target->safe_psql($db, $_[0]) }
sub pause  { return ask("SELECT livesync.pause_table('$_[1]', '$_[0]')") }
sub resume { return ask("SELECT livesync.resume_table('$_[1]', '$_[0]')") }
sub state_of { return ask("SELECT state FROM livesync.tables WHERE connector = '$_[1]' AND source_table = '$_[0]'") }
sub events { return ask("SELECT count(*) FROM livesync.events WHERE source_table = '$_[0]' AND event = '$_[1]'") }

sub fails
{
	my ($sql, $pattern, $name) = @_;
	my ($out, $err);
	my $status = $target->psql($db, $sql, stdout => \$out, stderr => \$err);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($status != 0 && $err =~ $pattern, "$name is refused") || diag($err);
}

create_connector($target, $db, 'c', conninfo($source), tables => [ 'public.t', 'public.other' ]);
wait_sync($source, $target, 'c');

# --- what is refused ---------------------------------------------------------------------------

fails("SELECT livesync.pause_table('x', 'public.t')",  qr/connector "x" does not exist/,         'an unknown connector');
fails("SELECT livesync.pause_table('c', 'public.x')",  qr/has no table "public.x"/,              'an unknown table');
fails("SELECT livesync.pause_table('c', NULL)",        qr/"source_table" must not be NULL/,      'no table');
fails("SELECT livesync.resume_table('c', 'public.x')", qr/has no table "public.x"/,              'a resume of an unknown table');
fails("SELECT livesync.resume_table('c', 'public.t')", qr/table "public.t" is not paused\n.*is streaming/s, 'a resume of what streams');

# --- from streaming, under load ----------------------------------------------------------------

# Two rows a transaction: a pause in the middle of one would show as an odd number.
my $script = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
BEGIN;
INSERT INTO t (twin, v) VALUES (1, 'new');
UPDATE t SET v = v || 'y' WHERE id = 1 + (random() * 90)::int;
INSERT INTO t (twin, v) VALUES (2, 'new');
INSERT INTO other (v) VALUES ('new');
COMMIT;
SQL
my $load = start_pgbench($source, $db, '-c', 2, '-R', 200, '-T', 3600, '-f', $script);
poll($target, $db, 'SELECT count(*) > 50 FROM t WHERE twin = 1');

ask("BEGIN; SELECT livesync.pause_table('c', 'public.t'); ROLLBACK");
ask("BEGIN; SELECT livesync.pause_table('c', 'public.t'); SELECT livesync.resume_table('c', 'public.t'); COMMIT");
my $before = ask('SELECT count(*) FROM t');
poll($target, $db, "SELECT count(*) > $before + 20 FROM t");
is(state_of('public.t', 'c'), 'streaming', 'a pause that is rolled back or taken back is none');

# a call in a transaction that stays open is in nobody's way, and a second caller waits for its end
my $first  = session($target, $db, 'first');
my $second = session($target, $db, 'second');
$first->query_safe('BEGIN');
$first->query_safe("SELECT livesync.pause_table('c', 'public.t')");
start_query($second, "SELECT livesync.pause_table('c', 'public.t')");
wait_event($target, 'second', 'Lock');
$before = ask('SELECT count(*) FROM t');
poll($target, $db, "SELECT count(*) > $before + 20 FROM t");
pass('until a pause commits the table streams');
$first->query_safe('COMMIT');
like(finish_query($second), qr/has not been carried out yet|cannot be paused now/, 'one of two callers is told so');
$first->quit;
$second->quit;

wait_state($target, $db, 'c', 'public.t', 'paused');
my $others = ask('SELECT count(*) FROM other');
my $image  = ask("SELECT count(*), md5(string_agg(t::text, '' ORDER BY id)) FROM t");
my $lsn    = source_lsn($source);
poll($target, $db, "SELECT count(*) > $others + 100 FROM other");
poll($target, $db, q{SELECT spooled_changes > 100 FROM livesync.tables WHERE source_table = 'public.t'});
is(ask("SELECT count(*), md5(string_agg(t::text, '' ORDER BY id)) FROM t"), $image, 'a paused table stands still, others go on');
is(ask('SELECT count(*) FILTER (WHERE twin = 1) = count(*) FILTER (WHERE twin = 2) FROM t'),
	't', 'it stands between two transactions');
is(ask("SELECT livesync.wait_for_lsn('c', '$lsn', '300 ms')"), 'f', 'what is parked does not count as applied');
is(ask("SELECT applied_lsn < '$lsn' FROM livesync.progress"), 't', 'nor in the view');
is(ask("SELECT livesync.wait_for_sync('c', '100 ms')"), 'f', 'nor as in sync');
fails("SELECT livesync.pause_table('c', 'public.t')", qr/cannot be paused now\n.*is paused/s, 'a second pause');
fails("SELECT livesync.retry_table('c', 'public.t')", qr/has not failed/, 'a retry of what is paused');

# the server is killed while the table is paused
kill_process($target, worker_pid($target, $db, 'connector'));
$others = ask('SELECT count(*) FROM other');
poll($target, $db, "SELECT count(*) > $others + 100 FROM other");
is(ask("SELECT count(*), md5(string_agg(t::text, '' ORDER BY id)) FROM t"), $image, 'also after a crash');

# both sides get a column meanwhile
$target->safe_psql($db, 'ALTER TABLE t ADD extra int');
$source->safe_psql($db, 'ALTER TABLE t ADD extra int');
$source->safe_psql($db, 'UPDATE t SET extra = id WHERE id % 10 = 0');
ask("SELECT livesync.refresh_connector('c')");

ask("BEGIN; SELECT livesync.resume_table('c', 'public.t'); ROLLBACK");
is(state_of('public.t', 'c'), 'paused', 'a resume that is rolled back is none');
resume('public.t', 'c');
fails("SELECT livesync.resume_table('c', 'public.t')", qr/is not paused/, 'a second resume');
wait_state($target, $db, 'c', 'public.t', 'streaming');

# killed right behind the commit of a pause: it stays one, from the same position on
failpoint($target, 'table_paused/public.t=wait');
pause('public.t', 'c');
failpoint_reached($target, $db, 'table_paused');
flush_wal($target);
kill_process($target, worker_pid($target, $db, 'connector'));
clear_failpoints($target);
wait_state($target, $db, 'c', 'public.t', 'paused');
$others = ask('SELECT count(*) FROM other');
poll($target, $db, "SELECT count(*) > $others + 100 FROM other");
is(ask('SELECT count(*) FILTER (WHERE twin = 1) = count(*) FILTER (WHERE twin = 2) FROM t'),
	't', 'a table whose pause was just made when the server was killed stands between two transactions');
resume('public.t', 'c');
wait_state($target, $db, 'c', 'public.t', 'streaming');

# again and again, at whatever moment of the stream
for (1 .. 8)
{
	pause('public.t', 'c');
	wait_state($target, $db, 'c', 'public.t', 'paused');
	resume('public.t', 'c');
}
wait_state($target, $db, 'c', 'public.t', 'streaming');

# --- from catching up --------------------------------------------------------------------------

my $locker = session($target, $db, 'locker');
$locker->query_safe('BEGIN');
$locker->query_safe('LOCK TABLE t IN SHARE MODE');
wait_state($target, $db, 'c', 'public.t', 'catching_up');
pause('public.t', 'c');
wait_state($target, $db, 'c', 'public.t', 'paused');
$locker->query_safe('COMMIT');
$locker->quit;
$image = ask('SELECT count(*) FROM t');
$others = ask('SELECT count(*) FROM other');
poll($target, $db, "SELECT count(*) > $others + 100 FROM other");
is(ask('SELECT count(*) FROM t'), $image, 'a table that was catching up stands still too');
$lsn = source_lsn($source);
is(ask("SELECT livesync.wait_for_lsn('c', '$lsn', '300 ms')"), 'f', 'and does not count as applied');
resume('public.t', 'c');
wait_state($target, $db, 'c', 'public.t', 'streaming');

# --- while the connector is paused, too --------------------------------------------------------

ask("SELECT livesync.pause_connector('c')");
$image = ask('SELECT count(*) FROM t');
pause('public.t', 'c');
poll($source, $db, "SELECT count(*) > $image + 100 FROM t");
ask("SELECT livesync.resume_connector('c')");
wait_state($target, $db, 'c', 'public.t', 'paused');
is(ask('SELECT count(*) FROM t'), $image, 'a pause asked for while nothing runs comes before anything else');
resume('public.t', 'c');

stop_pgbench($load);
wait_sync($source, $target, 'c');
same_tables($source, $db, $target, $db, [ 'public.t', 'public.other' ], 'after all pauses nothing is missing and nothing is there twice');
is(events('public.t', 'table_restarted') . events('public.t', 'table_failed'), '00', 'and it was neither copied again nor failed');
is(ask('SELECT count(*) FROM livesync.spool s JOIN livesync.synced_table t ON t.id = s.table_id WHERE t.state = $$streaming$$'),
	0, 'no change is left in a spool');
is(ask('SELECT count(*) FROM livesync.wish'), 0, 'no wish is left');

# --- from copying ------------------------------------------------------------------------------

$source->safe_psql($db, <<'SQL');
CREATE TABLE big (id int PRIMARY KEY, v text);
CREATE TABLE keyless (id int, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO big SELECT i, repeat('b', 200) FROM generate_series(1, 5000) i;
INSERT INTO keyless SELECT * FROM big;
SQL

failpoint($target, 'chunk_committed/public.big=wait');
create_connector($target, $db, 'd', conninfo($source), tables => [ 'public.big', 'public.keyless' ], copy_workers => 2);
failpoint_reached($target, $db, 'chunk_committed');
pause('public.big', 'd');
wait_state($target, $db, 'd', 'public.big', 'paused');
failpoint($target, 'chunk_committed/public.keyless=wait');
my $done = ask(q{SELECT chunks_done FROM livesync.tables WHERE source_table = 'public.big'});
cmp_ok($done, '>', 0, 'some chunks are done');
$source->safe_psql($db, q{UPDATE big SET v = 'changed' WHERE id % 100 = 0; DELETE FROM big WHERE id % 101 = 0; INSERT INTO big SELECT i, 'new' FROM generate_series(5001, 5100) i});
poll($target, $db, q{SELECT spooled_changes >= 150 FROM livesync.tables WHERE source_table = 'public.big'});
failpoint_reached($target, $db, 'chunk_committed');
is(ask(q{SELECT chunks_done FROM livesync.tables WHERE source_table = 'public.big'}), $done,
	'no chunk of a paused table is loaded, while another table is');
my $ledger = q{SELECT string_agg(number || ' ' || done_at, ',' ORDER BY number) FROM livesync.chunk c JOIN livesync.synced_table t ON t.id = c.table_id
	AND t.generation = c.generation WHERE source_name = 'big' AND number IN (SELECT unnest(string_to_array('%s', ','))::int)};
my $numbers = ask(q{SELECT string_agg(number::text, ',') FROM livesync.chunk c JOIN livesync.synced_table t ON t.id = c.table_id WHERE source_name = 'big' AND done_at IS NOT NULL});
my $finished = ask(sprintf $ledger, $numbers);

# a table without a key is copied under one snapshot, which is not held open for a pause
pause('public.keyless', 'd');
wait_state($target, $db, 'd', 'public.keyless', 'paused');
clear_failpoints($target);
$source->safe_psql($db, q{DELETE FROM keyless WHERE id % 7 = 0; INSERT INTO keyless VALUES (0, 'x'), (0, 'x')});
poll($source, $db, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'livesync%' AND backend_xmin IS NOT NULL AND backend_type = 'client backend'});
pass('a pause holds no snapshot at the source');

resume($_, 'd') for qw(public.big public.keyless);
wait_sync($source, $target, 'd');
same_tables($source, $db, $target, $db, [ 'public.big', 'public.keyless' ], 'after pauses in the copy both are equal');
is(ask(sprintf $ledger, $numbers), $finished, 'finished chunks stayed finished');

# a table that leaves the publication while it is paused takes its wish and its spool with it
pause('public.big', 'd');
wait_state($target, $db, 'd', 'public.big', 'paused');
$source->safe_psql($db, 'ALTER PUBLICATION livesync_d DROP TABLE big');
poll($target, $db, q{SELECT count(*) = 0 FROM livesync.tables WHERE source_table = 'public.big'});
$source->safe_psql($db, 'ALTER PUBLICATION livesync_d ADD TABLE big');
wait_state($target, $db, 'd', 'public.big', 'streaming');
wait_sync($source, $target, 'd');
same_tables($source, $db, $target, $db, ['public.big'], 'a table that left and came back is copied anew, and streams');

check_logs($source, $target);
done_testing();
