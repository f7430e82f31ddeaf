# What is proved: transactions that the source sends while they still run are applied at their commit,
# whole and once, whatever happened meanwhile: others committed between their pieces, savepoints were
# rolled back, tables were still being copied, began to stream, were paused or failed, the worker was
# killed.  One that is rolled back leaves nothing, not even its file.
#
# Why it matters: such a transaction is neither in the tables nor confirmed to the source for hours.
# What it did must find its place in the order of commits, not in that of its pieces.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;
use Time::HiRes qw(usleep);

my ($source, $target) = pair(
	source_conf => "logical_decoding_work_mem = 64kB\nautovacuum = off",
	target_conf => "livesync.batch_rows = 300\nautovacuum = off");

my @tables = qw(keyed other keyless late held checked slow);
for my $node ($source, $target)
{
	$node->safe_psql('postgres', "CREATE TABLE $_ (id int PRIMARY KEY, v text)") for grep { $_ ne 'keyless' } @tables;
	$node->safe_psql('postgres', 'CREATE TABLE keyless (id int, v text)');
	$node->safe_psql('postgres', 'ALTER TABLE keyless REPLICA IDENTITY FULL');
}
$source->safe_psql('postgres', "INSERT INTO $_ SELECT n, 'first' FROM generate_series(1, 100) n") for qw(keyed keyless held);
# A value that updates leave alone is not sent.
$_->safe_psql('postgres', 'ALTER TABLE keyed ADD doc text; ALTER TABLE keyed ALTER doc SET STORAGE EXTERNAL') for $source, $target;
$source->safe_psql('postgres', "UPDATE keyed SET doc = repeat(md5(id::text), 100)");

# Far more than 64 kB, from $from on.
sub many
{
	my ($table, $from, $v) = @_;
	return "INSERT INTO $table (id, v) SELECT n, '$v' || repeat('x', 50) FROM generate_series($from, $from + 1999) n";
}

sub files { return $target->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()') }

# Uncommitted WAL is only decoded when something makes the source flush it.
sub wait_files
{
	my ($count) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	do
	{
		source_lsn($source);
		return 1 if files() == $count;
		usleep(100_000);
	} while (time < $end);
	die "there are " . files() . " temporary files, not $count";
}

sub wait_same
{
	my ($name, @names) = @_;
	wait_sync($source, $target, 'c');
	return same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } @names ], $name);
}

my @sessions = map { session($source, 'postgres', "s$_") } 0 .. 2;
sub run { my ($i, $sql) = @_; return $sessions[$i]->query_safe($sql) }

create_connector($target, 'postgres', 'c', conninfo($source), tables => [ map { "public.$_" } grep { $_ ne 'held' } @tables ]);
wait_sync($source, $target, 'c');

# --- one, and what commits meanwhile -----------------------------------------------------------

run(0, 'BEGIN');
run(0, many('keyed', 1001, 'a'));
run(0, "UPDATE keyed SET v = 'streamed' WHERE id <= 50");
wait_files(1);
$source->safe_psql('postgres', "INSERT INTO other VALUES (1, 'committed meanwhile')");
wait_caught_up($source, $target, 'c');
is($target->safe_psql('postgres', "SELECT count(*) FROM keyed WHERE id > 1000 OR v = 'streamed'"), 0, 'nothing of it shows before its commit');
is($target->safe_psql('postgres', 'SELECT count(*) FROM other'), 1, 'and what commits meanwhile does not wait');
run(0, "UPDATE keyed SET v = v || ' again' WHERE id IN (1, 1001)");
run(0, 'COMMIT');
wait_same('a transaction in pieces', qw(keyed other));
wait_files(0);

# --- several, savepoints, a rollback -----------------------------------------------------------

run($_, 'BEGIN') for 0 .. 2;
for my $i (0 .. 2)
{
	my $from = 10000 * ($i + 1);
	run($i, many('keyed', $from, "kept $i"));
	run($i, 'SAVEPOINT outside');
	# a table that first comes, with its description, in what is rolled back
	run($i, many($i == 0 ? 'late' : 'other', $from, 'rolled back'));
	run($i, "UPDATE keyed SET v = 'rolled back' WHERE id BETWEEN $from AND $from + 500");
	run($i, 'SAVEPOINT inside');
	run($i, many('keyless', $from, 'rolled back with its parent'));
	run($i, 'RELEASE inside');
	run($i, 'SAVEPOINT inside2');
	run($i, "DELETE FROM keyed WHERE id BETWEEN $from + 700 AND $from + 1200");
	run($i, 'ROLLBACK TO inside2');
	run($i, many('keyed', $from + 5000, 'rolled back'));
}
wait_files(3);
for my $i (0 .. 2)
{
	my $from = 10000 * ($i + 1);
	run($i, 'ROLLBACK TO outside');
	run($i, many($i == 0 ? 'late' : 'other', $from, 'in the end'));
	run($i, 'SAVEPOINT kept');
	run($i, many('keyless', $from, "kept $i"));
	run($i, "UPDATE keyed SET id = id + 5000 WHERE id BETWEEN $from AND $from + 500");
	run($i, 'RELEASE kept');
	run($i, "DELETE FROM keyless WHERE id % 7 = 3 AND id BETWEEN $from AND $from + 2000");
}
wait_files(3);
run(1, 'ROLLBACK');
wait_files(2);
run(2, 'COMMIT');
wait_files(1);
run(0, 'COMMIT');
wait_same('interleaved transactions with savepoints', qw(keyed other keyless late));
wait_files(0);

# --- tables that change their state between two pieces -----------------------------------------

# held begins its copy: its changes are parked, of pieces too
failpoint($target, 'chunk_loaded/public.held=wait');
$target->safe_psql('postgres', q{SELECT livesync.pause_connector('c')});
$source->safe_psql('postgres', 'ALTER PUBLICATION livesync_c ADD TABLE held');
$target->safe_psql('postgres', q{SELECT livesync.resume_connector('c')});
failpoint_reached($target, 'postgres', 'chunk_loaded');
run($_, 'BEGIN') for 0, 1;
run(0, many('held', 1001, 'parked'));
run(0, "UPDATE held SET v = 'parked' WHERE id <= 10; TRUNCATE other; INSERT INTO other VALUES (1, 'after')");
run(1, many('held', 5001, 'streams'));
run(1, "UPDATE held SET v = 'streams' WHERE id > 90");
wait_files(2);
run(0, 'COMMIT');
wait_caught_up_but_held();
cmp_ok($target->safe_psql('postgres', q{SELECT spooled_changes FROM livesync.tables WHERE source_table = 'public.held'}),
	'>', 2000, 'a table that is being copied has them parked');
clear_failpoints($target);
wait_state($target, 'postgres', 'c', 'public.held', 'streaming');
run(1, "INSERT INTO held VALUES (-1, 'after')");
run(1, 'COMMIT');
wait_same('a table begins to stream between two pieces', qw(held other));

# The other way round: it streams at the first piece and is paused at the commit.
run(0, 'BEGIN');
run(0, many('held', 8001, 'paused'));
wait_files(1);
$target->safe_psql('postgres', q{SELECT livesync.pause_table('c', 'public.held')});
wait_state($target, 'postgres', 'c', 'public.held', 'paused');
run(0, 'UPDATE held SET id = -id WHERE id BETWEEN 8001 AND 8003; COMMIT');
$source->safe_psql('postgres', "INSERT INTO keyed VALUES (-1, 'marker')");
poll($target, 'postgres', 'SELECT count(*) = 1 FROM keyed WHERE id = -1');
is($target->safe_psql('postgres', 'SELECT count(*) FROM held WHERE id > 8000'), 0, 'a paused table gets nothing of a transaction that began before');
$target->safe_psql('postgres', q{SELECT livesync.resume_table('c', 'public.held')});
wait_same('and all of it when it is resumed', qw(held));

# --- one table fails in the middle of the file --------------------------------------------------

$target->safe_psql('postgres', q{ALTER TABLE checked ADD CHECK (v NOT LIKE 'bad%')});
run(0, 'BEGIN');
run(0, many('keyed', 40001, 'before'));
run(0, many('checked', 1, 'good'));
run(0, "INSERT INTO checked VALUES (5000, 'bad')");
run(0, many('keyed', 44001, 'after'));
run(0, 'COMMIT');
wait_state($target, 'postgres', 'c', 'public.checked', 'failed');
poll($target, 'postgres', "SELECT count(*) = 4000 FROM keyed WHERE id BETWEEN 40001 AND 46001");
is($target->safe_psql('postgres', 'SELECT count(*) FROM checked'), 0, 'of a table that fails nothing is applied');
same_tables($source, 'postgres', $target, 'postgres', ['public.keyed'], 'a table that fails keeps nothing from the others');
$target->safe_psql('postgres', 'ALTER TABLE checked DROP CONSTRAINT checked_v_check');
retry_table($target, 'postgres', 'c', 'public.checked');
wait_same('and is whole again when it is retried', qw(checked));

# --- the worker ends in between -----------------------------------------------------------------

run(0, 'BEGIN');
run(0, many('keyed', 50001, 'a'));
wait_files(1);
my $killed = worker_pid($target, 'postgres', 'connector');
kill_process($target, $killed);
ok(poll($target, 'postgres', "SELECT count(*) = 0 FROM pg_ls_tmpdir() WHERE name LIKE 'pgsql\\_tmp$killed.%'"),
	'a killed worker leaves no file');
wait_files(1);
$target->safe_psql('postgres', q{SELECT livesync.pause_connector('c')});
poll($target, 'postgres', 'SELECT count(*) = 0 FROM pg_ls_tmpdir()');
pass('nor does one that is stopped');
$target->safe_psql('postgres', q{SELECT livesync.resume_connector('c')});
run(0, many('keyless', 50001, 'b'));
# While there are two, none is applied before its commit.
run(1, 'BEGIN');
run(1, many('other', 50001, 'never'));
wait_files(2);
failpoint($target, 'streamed_apply=wait');
run(0, 'COMMIT');
failpoint_reached($target, 'postgres', 'streamed_apply');
kill_process($target, worker_pid($target, 'postgres', 'connector'));
failpoint_reached($target, 'postgres', 'streamed_apply');
clear_failpoints($target);
run(1, 'ROLLBACK');
wait_same('everything is sent again, and applied once', qw(keyed keyless));

# --- no room for the file ------------------------------------------------------------------------

$target->safe_psql('postgres', q{ALTER SYSTEM SET temp_file_limit = '64kB'});
$target->safe_psql('postgres', 'SELECT pg_reload_conf()');
run(0, 'BEGIN');
run(0, many('keyed', 60001, 'a'));
source_lsn($source);
poll($target, 'postgres', q{SELECT last_error ~ 'temp_file_limit' FROM livesync.connectors});
$target->safe_psql('postgres', 'ALTER SYSTEM RESET temp_file_limit');
$target->safe_psql('postgres', 'SELECT pg_reload_conf()');
run(0, 'COMMIT');
wait_same('without room the connector tries again', qw(keyed));
is($target->safe_psql('postgres', q{SELECT string_agg(DISTINCT source_table, ',') FROM livesync.events WHERE event = 'table_failed'}),
	'public.checked', 'and no table is blamed');

# --- the source is answered while a file is applied ----------------------------------------------

# A trigger that sleeps until it is told not to; its sequence, which no rollback touches, shows how far it is.
$target->safe_psql('postgres', <<'SQL');
CREATE SEQUENCE steps;
CREATE TABLE hurry ();
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM nextval('public.steps');
	PERFORM pg_sleep(0.02) WHERE NOT EXISTS (SELECT FROM public.hurry);
	RETURN NEW;
END $$;
CREATE TRIGGER slowly BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION slowly();
ALTER TABLE slow ENABLE ALWAYS TRIGGER slowly;
SQL
run(0, "BEGIN; INSERT INTO slow SELECT n, repeat('y', 1000) FROM generate_series(1, 1000) n; COMMIT");
poll($target, 'postgres', 'SELECT is_called FROM steps');
my %replies;
while ($target->safe_psql('postgres', 'SELECT count(*) FROM slow') == 0)
{
	$replies{ $source->safe_psql('postgres', q{SELECT reply_time FROM pg_stat_replication WHERE application_name LIKE 'livesync%'}) } = 1;
	$target->safe_psql('postgres', 'INSERT INTO hurry DEFAULT VALUES') if keys %replies >= 3;
	usleep(200_000);
}
cmp_ok(scalar keys %replies, '>=', 3, 'the source hears of us while a file is applied');
wait_same('also slowly', qw(slow));

cmp_ok($source->safe_psql('postgres', 'SELECT sum(stream_txns) FROM pg_stat_replication_slots'), '>=', 10,
	'the source did send these transactions while they ran');
$_->quit for @sessions;
check_logs($source, $target);
done_testing();

# held is being copied, so wait_for_lsn() would wait for it
sub wait_caught_up_but_held
{
	$source->safe_psql('postgres', "INSERT INTO late VALUES (-1, 'marker')");
	return poll($target, 'postgres', 'SELECT count(*) = 1 FROM late WHERE id = -1');
}
