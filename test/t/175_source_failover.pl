# The source fails over to a standby that was promoted, which has the slot: the connector goes on there, also
# in the middle of a copy, without copying again what was copied, and wherever the standby is: at the same address, or at
# another one that somebody has to tell.
#
# A standby is the same server block by block, so ranges of blocks still mean the same rows.  But one that
# was behind has never seen the last commits of the old primary.  What was read from that one behind the
# place where they parted may be rows that the new one does not have and will never delete: a chunk
# must be read again then, though no position in the stream is wrong; and when changes of there
# are applied already, nothing may be streamed at all.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Network;
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.chunk_size = '8kB'\n");
my $network = LiveSync::Network->new($source);
my @tables  = ('public.t', 'public.u');

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, filler text NOT NULL);
INSERT INTO t SELECT n, 0, repeat('x', 700) FROM generate_series(1, 200) n;
CREATE TABLE u (id int PRIMARY KEY, v int NOT NULL, filler text NOT NULL);
INSERT INTO u SELECT n, 0, repeat('x', 700) FROM generate_series(1, 100) n;
SQL

sub at_target { return $target->safe_psql('postgres', $_[0]) }

# A copy of everything, slots included, which from now on follows.
sub make_standby
{
	my ($name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$source->stop;
	mkdir $standby->backup_dir;
	system('cp', '-a', $source->data_dir, $standby->backup_dir . '/all') == 0 or die 'cannot copy';
	$source->start;
	$standby->init_from_backup($standby, 'all', has_streaming => 0);
	$standby->append_conf('postgresql.conf', "primary_conninfo = '" . $source->connstr . " application_name=$name'");
	$standby->set_standby_mode;
	$standby->start;
	return $standby;
}

sub fail_over_to
{
	my ($standby) = @_;
	$source->stop('immediate');
	$standby->promote;
	$network->move($standby);
	$source = $standby;
	return;
}

sub copy_t_again
{
	at_target("SELECT livesync.remove_table('c', 'public.t')");
	at_target('TRUNCATE t');
	return at_target("SELECT livesync.add_table('c', 'public.t')");
}

sub change_source
{
	my ($round) = @_;
	$source->safe_psql('postgres', <<"SQL") for 't', 'u';
UPDATE $_ SET v = v + 1 WHERE id % 7 = $round;
DELETE FROM $_ WHERE id % 50 = $round;
INSERT INTO $_ SELECT n, $round, 'new' FROM generate_series(1000 * $round, 1000 * $round + 20) n;
SQL
	return;
}

sub finished_chunks
{
	return at_target(<<'SQL');
SELECT source_name, c.generation, c.number, c.rows, c.done_at
FROM livesync.chunk c JOIN livesync.synced_table t ON t.id = c.table_id
WHERE c.done_at IS NOT NULL ORDER BY c.done_at
SQL
}

sub restarts { return at_target("SELECT count(*), max(detail) FROM livesync.events WHERE event = 'table_restarted' AND source_table = '$_[0]'") }

# --- in the middle of a copy, nothing lost -----------------------------------------------------

failpoint($target, 'chunk_committed=wait');
create_connector($target, 'postgres', 'c', $network->conninfo, tables => \@tables, copy_workers => 2);
failpoint_reached($target, 'postgres', 'chunk_committed', 2);

my $standby = make_standby('standby');
failpoint($target, 'chunk_loaded=wait');
failpoint_reached($target, 'postgres', 'chunk_loaded', 2);
failpoint($target, 'chunk_committed=wait');
failpoint_reached($target, 'postgres', 'chunk_committed', 2);
change_source(1);
flush_wal($target);
my $finished = finished_chunks();
$source->wait_for_catchup('standby');
fail_over_to($standby);
change_source(2);
clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'the copy went on at the promoted standby');
is(substr(finished_chunks(), 0, length $finished), $finished, 'finished chunks were not copied again');
is(restarts('public.t') . restarts('public.u'), '0|0|', 'no table started over');
is(at_target('SELECT source_timeline FROM livesync.connector'), 2, 'the connector follows the new timeline');

# --- in the middle of a copy, chunks have what the standby never saw ----------------------------

$standby = make_standby('late_standby');
failpoint($target, 'chunk_committed/public.t=wait');
copy_t_again();
failpoint_reached($target, 'postgres', 'chunk_committed', 2);
# The stream is held where it is, so that no position tells of the loss: the standby has all that came before.
my $worker = worker_pid($target, 'postgres', 'connector');
kill 'STOP', $worker;
$source->wait_for_catchup('late_standby', 'replay', source_lsn($source));
$standby->stop;
$source->safe_psql('postgres', "UPDATE t SET v = v + 1000; INSERT INTO t SELECT n, 9, 'lost' FROM generate_series(9001, 9010) n");
failpoint($target, 'chunk_loaded/public.t=wait');
failpoint_reached($target, 'postgres', 'chunk_loaded', 2);
failpoint($target, 'chunk_committed/public.t=wait');
failpoint_reached($target, 'postgres', 'chunk_committed', 2);
is(at_target('SELECT count(*) > 0 FROM t WHERE v > 500'), 't', 'chunks brought rows that the standby does not have');
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->start;
fail_over_to($standby);
kill 'CONT', $worker;
clear_failpoints($target);
poll($target, 'postgres', "SELECT source_timeline FROM livesync.connector", 3);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'nothing is left of what the old primary alone had');
like(restarts('public.t'), qr/^1\|.*failed over/, 'the table started over, and says why');
is(restarts('public.u'), '0|', 'a table that streamed did not');

# --- in the middle of a copy, at another address -------------------------------------------------

$standby = make_standby('moved_standby');
wait_caught_up($source, $target, 'c');
failpoint($target, 'chunk_committed/public.t=wait');
copy_t_again();
failpoint_reached($target, 'postgres', 'chunk_committed', 2);
change_source(4);
flush_wal($target);
$finished = finished_chunks();
my $restarts = restarts('public.t') . restarts('public.u');
$source->wait_for_catchup('moved_standby', 'replay', source_lsn($source));
$source->stop('immediate');
$standby->promote;
my $network_there = LiveSync::Network->new($standby);
# nobody is at the old address any more, and the workers that hold a place in the copy know only that one
at_target("SELECT livesync.alter_connector('c', source => @{[quote_literal($network_there->conninfo)]})");
$source = $standby;
change_source(5);
clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'the copy went on at the new address');
is(substr(finished_chunks(), 0, length $finished), $finished, 'finished chunks were not copied again there');
is(restarts('public.t') . restarts('public.u'), $restarts, 'no table started over');
is(at_target('SELECT source_timeline FROM livesync.connector'), 4, 'the connector follows the newest timeline');
$network = $network_there;

# --- changes are applied that the standby never saw ---------------------------------------------

$standby = make_standby('stale_standby');
wait_caught_up($source, $target, 'c');
$source->wait_for_catchup('stale_standby');
$standby->stop;
change_source(3);
wait_caught_up($source, $target, 'c');
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->start;
fail_over_to($standby);
# Its WAL is soon longer than that of the old one was: only the timeline tells.
$source->safe_psql('postgres', "CREATE TABLE more AS SELECT n, repeat('x', 100) FROM generate_series(1, 10000) n; SELECT pg_switch_wal()");
poll($target, 'postgres', "SELECT last_error ~ 'the source lost changes that are already applied here' FROM livesync.connectors");
is(at_target("SELECT status, hint ~ 'create the connector again' FROM livesync.connectors"), 'failing|t', 'it is refused, and says the way out');
$source->safe_psql('postgres', "INSERT INTO t VALUES (7777, 0, 'after')");
is(at_target('SELECT count(*) FROM t WHERE id = 7777'), 0, 'nothing is streamed over the gap');

check_logs($source, $target);
done_testing();
