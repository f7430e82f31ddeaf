# What is proved: a large transaction is applied while the source still runs it, is seen by nobody before its
# commit, and is rolled back here, without a trace and without being counted twice, as soon as anything
# else comes or is wanted: another commit, a savepoint that is rolled back, the rollback of all of it, a
# TRUNCATE, an ALTER TABLE, a call, a table that fails, a lock, silence, a crash of either server.
#
# Why it matters: what is applied ahead may have to be taken back, and then the same changes come again,
# from the file. Whatever of the first attempt outlives its rollback (a counter, a change in memory, the columns
# that a target was given, a position) is a difference that nobody would look for.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;
use Time::HiRes qw(usleep);

my ($source, $target) = pair(
	source_conf => "logical_decoding_work_mem = 64kB\nautovacuum = off\nwal_writer_delay = 10ms",
	target_conf => "livesync.batch_rows = 300\nautovacuum = off");

my @tables = qw(keyed other keyless checked);
$source->safe_psql('postgres', <<'SQL');
CREATE TABLE keyed (id int PRIMARY KEY, v text, doc text);
ALTER TABLE keyed ALTER doc SET STORAGE EXTERNAL;
CREATE TABLE other (id int PRIMARY KEY, v text);
CREATE TABLE keyless (id int, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE checked (id int PRIMARY KEY, v text);
INSERT INTO keyed SELECT n, 'first', repeat(md5(n::text), 100) FROM generate_series(1, 100) n;
INSERT INTO keyless SELECT n, 'first' FROM generate_series(1, 100) n;
SQL
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ map { "public.$_" } @tables ]);
wait_sync($source, $target, 'c');

my $session = session($source, 'postgres', 'large');
sub run { my ($sql) = @_; return $session->query_safe($sql) }

my $next = 1000;

# Far more than 64 kB.
sub many
{
	my ($table, $v) = @_;
	$next += 2000;
	return "INSERT INTO $table (id, v) SELECT n, '$v' || repeat('x', 50) FROM generate_series($next - 1999, $next) n";
}

sub state_of { return $target->safe_psql('postgres', "SELECT state FROM livesync.tables WHERE source_table = 'public.$_[0]'") }

sub is_behind { return poll($target, 'postgres', is_ahead_query(), 'f') }

sub is_ahead_query
{
	return q{SELECT coalesce(bool_or(backend_xid IS NOT NULL), false) FROM pg_stat_activity WHERE backend_type = 'livesync connector'};
}

# A worker that has fallen behind takes its time before it tries again, a fresh one does not; unless the source
# sends it what was rolled back before, once more.
sub fresh_worker
{
	my $lsn = source_lsn($source);
	poll($source, 'postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots");
	$target->safe_psql('postgres', q{SELECT livesync.pause_connector('c')});
	$target->safe_psql('postgres', q{SELECT livesync.resume_connector('c')});
	return poll($source, 'postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'});
}

# Begins a transaction, and returns when some of it is applied.  Silence takes that back after three seconds, which may be over
# before it is looked at.
sub begin_ahead
{
	for (1 .. 5)
	{
		fresh_worker();
		run('BEGIN');
		run(many('keyed', 'ahead'));
		my $end = time + 20;
		while (time < $end)
		{
			return if $target->safe_psql('postgres', is_ahead_query()) eq 't';
			usleep(20_000);
		}
		run('ROLLBACK');
	}
	die 'nothing is applied ahead';
}

# The counters of inserted rows are written a moment later.
my $counted = 0;

sub counts
{
	my ($rows, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$counted += $rows;
	my $sum = "SELECT coalesce(sum(inserts), 0) FROM livesync.stats WHERE connector = 'c'";
	return ok(poll($target, 'postgres', "SELECT ($sum) = $counted"), "$name: counted once")
	  || diag($target->safe_psql('postgres', $sum));
}

# Does it come to that, and not only because of silence?
sub while_more_comes
{
	my ($has_come) = @_;
	for (1 .. 100)
	{
		return 1 if $has_come->();
		run(many('keyed', 'goes on'));
		usleep(100_000);
	}
	return 0;
}

sub wait_same
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_sync($source, $target, 'c');
	same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } @tables ], $name);
	return ok(poll($target, 'postgres', 'SELECT count(*) = 0 FROM pg_ls_tmpdir()'), "$name: no file is left");
}

# --- it is there at its commit -------------------------------------------------------------------

sub size_of { return $target->safe_psql('postgres', "SELECT pg_relation_size('$_[0]')") }
sub shown { return $target->safe_psql('postgres', 'SELECT count(*) FROM keyed WHERE id > 1000 OR id < 0') }

# Where the machine stands still for three seconds in between it is silence, and all is applied again.
my ($before, $after);
for (1 .. 5)
{
	my ($checked, $shown) = (size_of('checked'), shown());
	begin_ahead();
	run(q{UPDATE keyed SET v = 'changed' WHERE id <= 50});
	run(q{UPDATE keyed SET id = -id WHERE id BETWEEN 40 AND 60});
	run(q{DELETE FROM keyed WHERE id BETWEEN 70 AND 80; UPDATE keyless SET v = 'changed' WHERE id % 2 = 0});
	run(many($_, 'ahead')) for qw(other keyless checked);
	poll($target, 'postgres', "SELECT pg_relation_size('checked') > $checked + 100000");
	is(shown(), $shown, 'what is applied ahead shows to nobody');
	$before = size_of('keyed');
	run('COMMIT');
	wait_same('a transaction that was applied ahead');
	counts(8000, 'each row');
	$after = size_of('keyed');
	last if $after == $before;
}
is($after, $before, 'and was not applied again');

# --- it is rolled back when something else comes --------------------------------------------------

begin_ahead();
$source->safe_psql('postgres', q{INSERT INTO other VALUES (-1, 'meanwhile')});
ok(poll($target, 'postgres', 'SELECT count(*) = 1 FROM other WHERE id = -1'), 'another commit does not wait');
is_behind();
run(many('keyed', 'later'));
run('COMMIT');
wait_same('with another commit in between');
counts(4001, 'what is applied twice');

begin_ahead();
run('SAVEPOINT a');
run(many('keyed', 'rolled back'));
run('ROLLBACK TO a');
is_behind();
run(many('keyed', 'kept'));
run('COMMIT');
wait_same('a savepoint is rolled back');

begin_ahead();
run('ROLLBACK');
is_behind();
wait_same('all of it is rolled back');

begin_ahead();
run('TRUNCATE other');
run(many('other', 'after'));
ok(while_more_comes(sub { $target->safe_psql('postgres', is_ahead_query()) eq 'f' }), 'nobody is kept from reading a table until the commit');
run('COMMIT');
wait_same('a table is emptied in the middle');

begin_ahead();
is_behind();
run(many('keyed', 'after the silence'));
run('COMMIT');
wait_same('the source says nothing for a while');

# Interleaved: while there are two, none is applied ahead.
my $second = session($source, 'postgres', 'second');
begin_ahead();
$second->query_safe('BEGIN');
$second->query_safe(many('other', 'second'));
is_behind();
run('COMMIT');
$second->query_safe('COMMIT');
wait_same('a second one begins');

# --- the columns change ---------------------------------------------------------------------------

begin_ahead();
run(q{ALTER TABLE keyed ADD extra int DEFAULT 7});
run(q{UPDATE keyed SET extra = 8 WHERE id % 3 = 0});
is_behind();
run('COMMIT');
wait_same('a column is added in the middle');

begin_ahead();
run(q{ALTER TABLE keyed ADD never int});
run(q{UPDATE keyed SET never = 1 WHERE id > 0});
is_behind();
run('ROLLBACK');
$source->safe_psql('postgres', q{INSERT INTO keyed VALUES (-1000, 'plain', NULL, 1)});
wait_same('a column is added by what is rolled back');
is($target->safe_psql('postgres', q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'keyed'::regclass AND attname = 'never'}), 0,
	'and did not come here');

# Whether a change of columns has committed is not known before: it waits for the commit.
$target->safe_psql('postgres', q{SELECT livesync.pause_connector('c')});
$source->safe_psql('postgres', q{ALTER TABLE other ADD more text});
$target->safe_psql('postgres', q{SELECT livesync.resume_connector('c')});
run('BEGIN');
run(many('other', 'wider'));
poll($target, 'postgres', q{SELECT count(*) = 1 FROM pg_ls_tmpdir()});
run('COMMIT');
wait_same('the columns were changed before');

# --- something is wanted here ---------------------------------------------------------------------

begin_ahead();
$target->safe_psql('postgres', q{SELECT livesync.pause_table('c', 'public.other')});
ok(while_more_comes(sub { state_of('other') eq 'paused' }), 'a call does not wait for the end of it');
is_behind();
$target->safe_psql('postgres', q{SELECT livesync.resume_table('c', 'public.other')});
run('COMMIT');
wait_same('a table is paused meanwhile');

# --- a table fails --------------------------------------------------------------------------------

$target->safe_psql('postgres', q{ALTER TABLE checked ADD CHECK (v NOT LIKE 'bad%')});
begin_ahead();
run(q{INSERT INTO checked VALUES (-1, 'bad')});
run(many('checked', 'good'));
run(many('keyed', 'others'));
# it begins again, and keeps its hands off this one
poll($target, 'postgres', q{SELECT count(*) = 1 FROM pg_ls_tmpdir()});
is_behind();
is(state_of('checked'), 'streaming',
	'nothing has failed before its commit');
run('COMMIT');
wait_state($target, 'postgres', 'c', 'public.checked', 'failed');
poll($target, 'postgres', "SELECT count(*) = 2000 FROM keyed WHERE v LIKE 'others%'");
$target->safe_psql('postgres', 'ALTER TABLE checked DROP CONSTRAINT checked_v_check');
retry_table($target, 'postgres', 'c', 'public.checked');
wait_same('a table fails meanwhile');

# In the last batch, when its commit has come: the position is that of the commit.
$target->safe_psql('postgres', q{ALTER TABLE checked ADD CHECK (v NOT LIKE 'worse%')});
$target->append_conf('postgresql.conf', 'livesync.batch_rows = 100000');
$target->reload;
begin_ahead_unapplied();
run(q{INSERT INTO checked VALUES (-2, 'worse')});
run(many('keyed', 'more'));
my $before_commit = $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
run('COMMIT');
wait_state($target, 'postgres', 'c', 'public.checked', 'failed');
is($target->safe_psql('postgres', "SELECT error_lsn >= '$before_commit' FROM livesync.synced_table WHERE source_name = 'checked'"), 't',
	'the position of the failure is that of the commit');
$target->safe_psql('postgres', q{SELECT livesync.skip_change('c', 'public.checked')});
wait_state($target, 'postgres', 'c', 'public.checked', 'streaming');
$source->safe_psql('postgres', 'DELETE FROM checked WHERE id = -2');
$target->safe_psql('postgres', 'ALTER TABLE checked DROP CONSTRAINT checked_v_check');
$target->append_conf('postgresql.conf', 'livesync.batch_rows = 300');
$target->reload;
wait_same('a table fails with the last batch, and its change is skipped');

# --- a lock ---------------------------------------------------------------------------------------

$target->append_conf('postgresql.conf', "livesync.lock_timeout = '100ms'");
$target->reload;
my $locker = session($target, 'postgres', 'locker');
begin_ahead();
$locker->query_safe('BEGIN; LOCK TABLE other');
run(many('other', 'locked'));
run('COMMIT');
poll($target, 'postgres', q{SELECT count(*) > 0 FROM livesync.events WHERE event = 'table_waits_for_lock' AND source_table = 'public.other'});
poll($target, 'postgres', 'SELECT max(id) = ' . ($next - 2000) . ' FROM keyed');
$locker->query_safe('COMMIT');
wait_same('a lock keeps us out of a table');

# --- either server ends ---------------------------------------------------------------------------

begin_ahead();
kill_process($target, worker_pid($target, 'postgres', 'connector'));
run('COMMIT');
wait_same('the worker is killed');

begin_ahead();
$target->stop('immediate');
run(many('keyed', 'later'));
$target->start;
run('COMMIT');
wait_same('the target is stopped');

for my $place (qw(applied_ahead taken_back))
{
	fresh_worker();
	failpoint($target, "$place=error");
	run('BEGIN');
	run(many('keyed', $place));
	my $failed = "SELECT count(*) > 0 FROM livesync.events WHERE event = 'connector_failed' AND detail ~ '$place'";
	poll($target, 'postgres', "SELECT (@{[is_ahead_query()]}) OR ($failed)") if $place eq 'taken_back';
	$source->safe_psql('postgres', qq{INSERT INTO other VALUES ($next, '$place')}) if $place eq 'taken_back';
	poll($target, 'postgres', $failed);
	clear_failpoints($target);
	run('COMMIT');
	wait_same("an error at $place");
}

begin_ahead();
$source->stop('immediate');
is_behind();
$source->start;
wait_same('the source is stopped');

check_logs($source, $target);
done_testing();

# All of it is received and in the batch, which is not full.
sub begin_ahead_unapplied
{
	fresh_worker();
	run('BEGIN');
	run(q{UPDATE keyed SET v = 'many' WHERE id > 0});
	return poll($target, 'postgres', q{SELECT count(*) = 1 FROM pg_ls_tmpdir()});
}
