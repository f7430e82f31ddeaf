# What a table needs of others may not be there at once: a lock of the source for one row, a lock here for
# ANALYZE.  Waiting for it must hold up nobody.  And a row that is not as expected is counted and told.
#
# A row that begins to match a filter comes as an INSERT without its unchanged TOAST value, so it is
# fetched from the source; also when only one action is filtered, and no filter of the table is known.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.retry_delay = '200ms'");

sub source { return $source->safe_psql('postgres', $_[0]); }
sub target { return $target->safe_psql('postgres', $_[0]); }

source(q{
	CREATE TABLE mixed (id int, n int, v text, PRIMARY KEY (id, n));
	ALTER TABLE mixed ALTER v SET STORAGE EXTERNAL;
	CREATE TABLE other (id int PRIMARY KEY, n int);
	CREATE TABLE analyzed (id int PRIMARY KEY, n int);
	INSERT INTO analyzed SELECT i, i FROM generate_series(1, 100) i;
	INSERT INTO other SELECT i, i FROM generate_series(1, 100) i;
	CREATE PUBLICATION p1 FOR TABLE mixed WITH (publish = 'insert, delete');
	CREATE PUBLICATION p2 FOR TABLE mixed WHERE (n > 0) WITH (publish = 'update');
	CREATE PUBLICATION p FOR TABLE other, analyzed;
});
target('CREATE TABLE analyzed (id int PRIMARY KEY, n int)');

# --- ANALYZE after a copy ----------------------------------------------------------------------

my $user = session($target, 'postgres', 'user');
$user->query_safe('BEGIN; LOCK TABLE analyzed IN SHARE UPDATE EXCLUSIVE MODE');
create_connector($target, 'postgres', 'c', conninfo($source), publications => ['p', 'p1', 'p2']);
wait_sync($source, $target, 'c');
source('UPDATE analyzed SET n = n + 1');
wait_caught_up($source, $target, 'c');
pass('a copy is done, and the table streams, while ANALYZE would have to wait');
poll($target, 'postgres', q{SELECT last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'other'});
pass('what was loaded is analyzed');
$user->query_safe('COMMIT');
$user->quit;
same_tables($source, 'postgres', $target, 'postgres', ['public.analyzed', 'public.other']);
poll($target, 'postgres', 'SELECT count(*) FROM livesync.synced_table WHERE analyze_wanted', 0);
is($target->safe_psql('postgres', q{SELECT reltuples FROM pg_class WHERE relname = 'mixed'}), '-1', 'a table without a row is not: the planner would take it for tiny');

# --- a row that has to be fetched --------------------------------------------------------------

source(q{INSERT INTO mixed SELECT i, 0, repeat(i::text, 5000) FROM generate_series(1, 5) i});
wait_caught_up($source, $target, 'c');
target(q{SELECT livesync.pause_connector('c')});
$user = session($source, 'postgres', 'user');
source(q{UPDATE mixed SET n = 7 WHERE id = 3});
$user->query_safe('BEGIN; LOCK TABLE mixed IN ACCESS EXCLUSIVE MODE');
target(q{SELECT livesync.resume_connector('c')});
wait_text($target, 'postgres', 'c', 'public.mixed', 'a lock on the source table');
source(q{UPDATE other SET n = 0 WHERE id = 1});
poll($target, 'postgres', 'SELECT n = 0 FROM other WHERE id = 1');
pass('another table goes on while one waits for a lock of the source');
$user->query_safe('COMMIT');
$user->quit;
wait_sync($source, $target, 'c');
is(target('SELECT md5(v) FROM mixed WHERE id = 3 AND n = 7'), source('SELECT md5(v) FROM mixed WHERE id = 3'),
	'an INSERT without its TOAST value, where only UPDATE has a filter');
is(target(q{SELECT count(*) FROM livesync.events WHERE event = 'table_failed'}), 0, 'no table failed');

# --- conflicts ---------------------------------------------------------------------------------

my $from = -s $target->logfile;
my $began = time;
target(q{DELETE FROM other WHERE id IN (5, 6, 7); INSERT INTO other VALUES (200, 1)});
source(q{UPDATE other SET n = 9 WHERE id = 5});
wait_caught_up($source, $target, 'c');
source(q{DELETE FROM other WHERE id = 6});
source(q{INSERT INTO other VALUES (200, 2)});
source(q{UPDATE other SET n = 9 WHERE id = 7});
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [{ source => 'public.other', target => 'public.other', where => 'id NOT IN (5, 7)' }], 'the source wins; an update whose row is missing is left out');
poll($target, 'postgres', q{SELECT insert_exists || ' ' || update_missing || ' ' || delete_missing FROM livesync.stats WHERE source_table = 'public.other'}, '1 2 1');
pass('each is counted by its name');
my $log = slurp_file($target->logfile, $from);
my @lines = $log =~ /(LOG:\s+conflicts in table .*)/g;
# once in a minute
cmp_ok(scalar @lines, '<=', 1 + (time - $began) / 60, 'a burst of conflicts is told once in the server log') or diag($log);
like($lines[0], qr{conflicts in table "public.other" since [0-9A-F]+/[0-9A-F]+: 0 insert_exists, 1 update_missing, 0 delete_missing}, 'with table and position');
like($log, qr/DETAIL:\s+Rows are found by: id\./, 'and the names of the key columns');

# --- rows in the way -----------------------------------------------------------------------------

# At the new key of an update: what is there cannot be the source's.  Numbers that are equal and written otherwise are
# no such case.
source(q{CREATE TABLE moved (id numeric PRIMARY KEY, n int, code int UNIQUE);
	INSERT INTO moved SELECT i, i, i FROM generate_series(1, 20) i;
	CREATE PUBLICATION moved FOR TABLE moved});
create_connector($target, 'postgres', 'm', conninfo($source), publications => ['moved']);
wait_sync($source, $target, 'm');
target(q{INSERT INTO moved VALUES (101, -1, -1), (102, -1, -2); ALTER TABLE moved ADD mine text DEFAULT 'mine'; UPDATE moved SET mine = 'of 2' WHERE id = 2});
source(q{UPDATE moved SET id = 101, n = 0 WHERE id = 1});
source(q{BEGIN; UPDATE moved SET n = 5 WHERE id = 2; UPDATE moved SET id = 102 WHERE id = 2; UPDATE moved SET id = 3.00 WHERE id = 3; COMMIT});
wait_sync($source, $target, 'm');
same_tables($source, 'postgres', $target, 'postgres', ['public.moved'], 'a row at the new key of an update gives way');
is(target('SELECT mine FROM moved WHERE id = 102'), 'of 2', 'to the row that moves, with what only the target has of it');
poll($target, 'postgres', q{SELECT update_exists || ' ' || update_missing || ' ' || errors FROM livesync.stats WHERE source_table = 'public.moved'}, '2 0 0');
pass('counted by its name, and no failure');
like(slurp_file($target->logfile, $from), qr{conflicts in table "public.moved".* [12] update_exists}, 'and told');

# One in the way of another unique index may be the source's, so the table fails, and catches up by asking the source.
target(q{UPDATE moved SET code = 1000 WHERE id = 10; INSERT INTO moved VALUES (103, -1, 1001), (104, -1, 1002)});
source(q{INSERT INTO moved VALUES (30, 30, 1000)});
wait_sync($source, $target, 'm');
source(q{UPDATE moved SET code = 1001 WHERE id = 11});
wait_sync($source, $target, 'm');
source(q{UPDATE moved SET id = 104, code = 1001 + 2 WHERE id = 12; UPDATE moved SET code = 1002 WHERE id = 13});
wait_sync($source, $target, 'm');
same_tables($source, 'postgres', $target, 'postgres', ['public.moved'], 'rows in the way of another unique index are those of the source again, or gone');
cmp_ok(target(q{SELECT errors FROM livesync.stats WHERE source_table = 'public.moved'}), '>=', 1, 'after the table has failed');

check_logs($source, $target);
done_testing();
