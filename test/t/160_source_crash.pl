# What a crash of the source takes away must not stay at the target.
#
# With synchronous_commit = off a row can be seen before its commit is on disk.  When a chunk brings such
# a row and the source crashes, its transaction has never been: no event will ever remove the row.  The
# stream itself is safe, it carries only what is on disk.  So a chunk is kept only once the source has
# flushed what the chunk may have seen, a row that is fetched again likewise; and a table streams only once
# the stream has passed the position of insertion, which is ahead of what is written or flushed.
#
# The source's walwriter is stopped here, so that asynchronous commits stay in the WAL buffers; killing it
# is the crash.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;
use Time::HiRes qw(usleep);

my ($source, $target) = pair(source_conf => "synchronous_commit = off\nautovacuum = off\nbgwriter_delay = 10s");

my @tables = qw(chunked whole refetched);
$source->safe_psql('postgres', <<"SQL") for @tables;
CREATE TABLE $_ (id int PRIMARY KEY, v text, doc text);
ALTER TABLE $_ ALTER doc SET STORAGE EXTERNAL;
INSERT INTO $_ SELECT i, 'first', repeat(md5(i::text), 100) FROM generate_series(1, 20) i;
SQL
$source->safe_psql('postgres', 'ALTER TABLE whole DROP CONSTRAINT whole_pkey; ALTER TABLE whole REPLICA IDENTITY FULL');
$target->safe_psql('postgres', 'CREATE TABLE whole (id int, v text, doc text)');
# Unchanged TOAST values of a table that held rows before are fetched again.
$target->safe_psql('postgres', "CREATE TABLE refetched (id int PRIMARY KEY, v text, doc text); INSERT INTO refetched VALUES (3, 'old', 'old')");

sub walwriter { return $source->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'") }

sub crash
{
	my $started = $source->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
	kill 'KILL', $_[0] or die;
	poll($source, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'walwriter' AND pid <> $_[0]");
	is($source->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the source has crashed, and is up again');
	return;
}

# Waits until a worker asks for the flush of the source, or goes on without: it is then held.
sub wait_asking
{
	my ($connector, $held_at) = @_;
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
	while (time() < $end)
	{
		return if $source->safe_psql('postgres', <<"SQL") eq 't';
SELECT count(*) > 0 FROM pg_stat_activity a
WHERE a.application_name ~ '^livesync_c_${connector}_'
	AND a.query ~ '^SELECT (pg_current_wal_insert_lsn\\(\\), pg_current_wal_flush|pg_current_xact_id)'
	AND a.state_change > (SELECT max(m.state_change) FROM pg_stat_activity m WHERE m.application_name = 'mark')
SQL
		return if $target->safe_psql('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE query = 'failpoint $held_at'") eq 't';
		usleep(50_000);
	}
	die "$connector neither asks for a flush nor is held";
}

my $mark = session($source, 'postgres', 'mark');

sub unflushed
{
	my ($sql) = @_;
	my $pid = walwriter();
	kill 'STOP', $pid or die;
	source_lsn($source);
	$mark->query_safe($sql);
	is($source->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()'), 't',
		'a change is visible, its commit is not on disk');
	return $pid;
}

# --- a chunk ---------------------------------------------------------------------------------

for my $table (qw(chunked whole))
{
	# The one snapshot must see the row as well, so there it comes before it.
	my $place = $table eq 'whole' ? 'gate_passed' : 'planned';
	failpoint($target, "$place/public.$table=wait", "chunk_committed/public.$table=wait");
	create_connector($target, 'postgres', "c_$table", conninfo($source), tables => ["public.$table"], copy_workers => 1);
	failpoint_reached($target, 'postgres', $place);
	my $pid = unflushed("INSERT INTO $table VALUES (101, 'unflushed', 'x')");
	failpoint($target, "chunk_committed/public.$table=wait");
	wait_asking($table, 'chunk_committed');
	crash($pid);
	$mark = session($source, 'postgres', 'mark');
	is($source->safe_psql('postgres', "SELECT count(*) FROM $table WHERE id = 101"), 0, 'the source has lost the row');
	is($target->safe_psql('postgres', "SELECT count(*) FROM $table WHERE id = 101"), 0, 'the target has not kept it');
	clear_failpoints($target);
	wait_sync($source, $target, "c_$table");
	same_tables($source, 'postgres', $target, 'postgres', ["public.$table"]);
}

# --- a row that is fetched again -------------------------------------------------------------

failpoint($target, 'planned/public.refetched=wait', 'before_flip/public.refetched=wait', 'after_flip/public.refetched=wait');
create_connector($target, 'postgres', 'c_refetched', conninfo($source), tables => ['public.refetched'], copy_workers => 1);
failpoint_reached($target, 'postgres', 'planned');
$source->safe_psql('postgres', "UPDATE refetched SET v = 'flushed' WHERE id = 3");
wait_caught_up($source, $target, 'c_refetched');
failpoint($target, 'before_flip/public.refetched=wait', 'after_flip/public.refetched=wait');
failpoint_reached($target, 'postgres', 'before_flip');
my $pid = unflushed("UPDATE refetched SET v = 'unflushed' WHERE id = 3");
failpoint($target, 'after_flip/public.refetched=wait');
wait_asking('refetched', 'after_flip');
crash($pid);
clear_failpoints($target);
wait_sync($source, $target, 'c_refetched');
is($source->safe_psql('postgres', 'SELECT v FROM refetched WHERE id = 3'), 'flushed', 'the source has lost the change');
same_tables($source, 'postgres', $target, 'postgres', ['public.refetched']);

# --- the position that a table streams from --------------------------------------------------

$source->safe_psql('postgres', 'CREATE TABLE late (id int PRIMARY KEY, v text); INSERT INTO late SELECT i FROM generate_series(1, 20) i');
failpoint($target, 'load_finished/public.late=wait');
create_connector($target, 'postgres', 'c_late', conninfo($source), tables => ['public.late'], copy_workers => 1);
failpoint_reached($target, 'postgres', 'load_finished');
$mark = session($source, 'postgres', 'mark');
$pid = unflushed('INSERT INTO late SELECT i FROM generate_series(41, 60) i');
my $inserted = $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
failpoint($target, 'before_flip/public.late=wait');
wait_asking('late', 'before_flip');
kill 'CONT', $pid or die;
failpoint_reached($target, 'postgres', 'before_flip');
is($target->safe_psql('postgres', "SELECT end_lsn >= '$inserted' FROM livesync.synced_table WHERE source_name = 'late'"), 't',
	'a table streams from the position of insertion on');
clear_failpoints($target);
wait_sync($source, $target, 'c_late');
same_tables($source, 'postgres', $target, 'postgres', ['public.late']);
is($target->safe_psql('postgres', "SELECT insert_exists, update_missing, delete_missing FROM livesync.stats WHERE source_table = 'public.late'"), '0|0|0',
	'no change comes that is there already');

$mark->quit;
check_logs($source, $target);
done_testing();
