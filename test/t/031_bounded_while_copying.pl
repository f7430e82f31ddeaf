# What the copy of a busy table costs its source does not grow with the copy's length: the WAL that the slot keeps
# and the age of the oldest snapshot, looked at many times from the copy's beginning to its end.
#
# A source that keeps WAL and dead rows for as long as a big table is copied runs full, or slow, in hours.  So
# the copy is made to last here, by a limit of its rate, and what is measured is compared with what one
# snapshot, or a slot that stands still, would come to: the copy's whole length, all of its WAL.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;
use Time::HiRes qw(usleep time);

use constant LOOKS => 80;

my ($source, $target) = pair(
	source_conf => "autovacuum = off\n",
	target_conf => "livesync.chunk_size = '64kB'\nlivesync.copy_rate = '100kB'\n");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, filler text NOT NULL);
INSERT INTO t SELECT n, 0, repeat('x', 200) FROM generate_series(1, 18000) n;
SQL
my $script = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
\set id random(1, 18000)
UPDATE t SET v = v + 1 WHERE id = :id;
SQL

# Nothing but the load and the copy make WAL and snapshots from here on.
my $load = start_pgbench($source, 'postgres', '-f', $script, '-c', 2, '-R', 200, '-T', 600);
create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.t'], copy_workers => 2);
poll($target, 'postgres', q{SELECT chunks_done > 2 FROM livesync.tables});

my $look_source = session($source, 'postgres', 'look');
my $look_target = session($target, 'postgres', 'look');
my ($samples, %most) = 0;
my $began     = time;
my $first_lsn = $look_source->query_safe('SELECT pg_current_wal_lsn()');
while ($look_target->query_safe('SELECT chunks_done < chunks_total FROM livesync.tables') eq 't')
{
	die 'the copy does not end' if time - $began > $PostgreSQL::Test::Utils::timeout_default;
	# What restart_lsn moves by is logged at each checkpoint, else every 15 s.
	$look_source->query_safe('CHECKPOINT') if ++$samples % 5 == 0;
	# It may end now: as many looks take another time on another machine.
	$target->safe_psql('postgres', q{ALTER SYSTEM SET livesync.copy_rate = '1MB'; SELECT pg_reload_conf()}) if $samples == LOOKS;
	my %now;
	@now{qw(snapshot unconfirmed retained)} = split /\|/, $look_source->query_safe(<<'SQL');
SELECT coalesce(extract(epoch FROM (SELECT max(clock_timestamp() - xact_start) FROM pg_stat_activity
		WHERE application_name LIKE 'livesync%' AND backend_type = 'client backend')), 0),
	pg_current_wal_lsn() - confirmed_flush_lsn, pg_current_wal_lsn() - restart_lsn
FROM pg_replication_slots
SQL
	for (keys %now)
	{
		$most{$_} = $now{$_} if $now{$_} > ($most{$_} // 0);
	}
	usleep(100_000);
}
my $took = time - $began;
my $wal  = $look_source->query_safe("SELECT pg_current_wal_lsn() - '$first_lsn'");
$_->quit for $look_source, $look_target;
stop_pgbench($load);

note(sprintf 'the copy took %.1f s and %.1f MB of WAL, %d looks', $took, $wal / 1e6, $samples);
note(sprintf 'oldest snapshot %.2f s, unconfirmed %.2f MB, kept %.2f MB', $most{snapshot}, $most{unconfirmed} / 1e6, $most{retained} / 1e6);
cmp_ok($samples, '>=', 20, 'many looks at a copy that lasted');
cmp_ok($most{snapshot}, '>', 0, 'a snapshot was seen');
cmp_ok($most{snapshot}, '<', $took / 3, 'no snapshot was old');
cmp_ok($most{unconfirmed}, '<', $wal / 3, 'what had been received was confirmed all the time');
cmp_ok($most{retained},    '<', $wal / 2, 'and the slot let go of the WAL');

$target->safe_psql('postgres', 'ALTER SYSTEM RESET livesync.copy_rate');
$target->reload;
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.t']);
is($target->safe_psql('postgres', 'SELECT generation FROM livesync.synced_table'), 1, 'nothing was copied again');
check_logs($source, $target);
done_testing();
