# What is proved: SIGTERM ends each process cleanly, as a server's shutdown does, and it comes back; a
# connector that fails again and again is started ever more rarely, and soon after it can work again it
# does.
#
# Why it matters: a worker that cannot be stopped blocks a shutdown; one that does not come back is a
# sync that stands still without a word; one that spins fills the logs of two servers.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.retry_delay = '200ms'\n");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t SELECT generate_series(1, 1000);
SQL
failpoint($target, 'chunk_loaded=wait');
create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.t']);
failpoint_reached($target, 'postgres', 'chunk_loaded');

sub others
{
	my ($pid) = @_;
	return $target->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'livesync%' AND pid <> $pid");
}

for my $kind (qw(copy connector launcher))
{
	my $pid = worker_pid($target, 'postgres', $kind);
	my $log = -s $target->logfile;
	is(kill('TERM', $pid), 1, "$kind: there is one");
	poll($target, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
	# The launcher is started by the server, five seconds later.
	isnt(worker_pid($target, 'postgres', $kind), $pid, "$kind: another comes after SIGTERM");
	unlike(slurp_file($target->logfile, $log), qr/all server processes terminated|was terminated by signal/,
		"$kind: it ended cleanly");
}

# The new launcher knows the connectors that the old one started.
$source->safe_psql('postgres', 'INSERT INTO t VALUES (1001)');
clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.t']);
is($target->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('livesync launcher', 'livesync connector')}),
	'2', 'and each is there once');

# --- failing again and again -------------------------------------------------------------------

# What a copy worker meets is told as a failure of its connector.
poll($target, 'postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'livesync copy'});
$target->safe_psql('postgres', 'DELETE FROM livesync.event');
$source->stop;
poll($target, 'postgres', q{SELECT count(*) >= 5 FROM livesync.events WHERE event = 'connector_failed'});

my @gaps = split /\n/, $target->safe_psql('postgres', <<'SQL');
SELECT extract(epoch FROM at - lag(at) OVER (ORDER BY at))
FROM livesync.events WHERE event = 'connector_failed' ORDER BY at LIMIT 5 OFFSET 1
SQL
# 200 ms at first, twice as much each time, less up to a quarter.
my @lowest = map { 0.2 * 2**$_ * 0.75 } 0 .. $#gaps;
is(scalar(grep { $gaps[$_] < $lowest[$_] } 0 .. $#gaps), 0, 'each delay is longer than the one before')
  or diag("the delays were @gaps s");
is($target->safe_psql('postgres', q{SELECT status, last_error LIKE 'could not connect to the source%', hint IS NOT NULL FROM livesync.connectors}),
	'failing|t|t', 'the view says what is wrong');

$source->start;
$source->safe_psql('postgres', 'INSERT INTO t VALUES (1002)');
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.t'], 'it goes on when the source is back');
is($target->safe_psql('postgres', 'SELECT status FROM livesync.connectors'), 'streaming', 'and the view says so');

# --- a chunk that fails ------------------------------------------------------------------------

failpoint($target, 'chunk_locked=error');
$target->safe_psql('postgres', q{DELETE FROM livesync.event; SELECT livesync.resync_table('c', 'public.t')});
poll($target, 'postgres', q{SELECT count(*) > 0 FROM livesync.events WHERE event = 'connector_failed' AND detail ~ 'chunk_locked'});
pass('why a copy worker failed in the middle of a chunk is recorded');
clear_failpoints($target);
wait_sync($source, $target, 'c');

# --- a walsender that is slow to end -----------------------------------------------------------

# The one of the connection before has the slot until it notices its end: the next worker waits for it, and does not fail.
$target->safe_psql('postgres', 'DELETE FROM livesync.event');
my ($slow) = split /\n/, $source->safe_psql('postgres', 'SELECT active_pid FROM pg_replication_slots WHERE active');
kill('STOP', $slow);
$target->safe_psql('postgres', q{SELECT livesync.pause_connector('c')});
poll($target, 'postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'livesync connector'});
$target->safe_psql('postgres', q{SELECT livesync.resume_connector('c')});
poll($source, 'postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name LIKE 'livesync%' AND query ~ 'FROM pg_replication_slots' AND query_start > backend_start + interval '300 ms'});
kill('CONT', $slow);
$source->safe_psql('postgres', 'INSERT INTO t VALUES (1003)');
wait_caught_up($source, $target, 'c');
is($target->safe_psql('postgres', q{SELECT string_agg(event || ': ' || detail, '; ') FROM livesync.events WHERE event = 'connector_failed'}), '',
	'a worker waits for the slot that its predecessor still has');

# --- a shutdown --------------------------------------------------------------------------------

$target->stop('fast');
unlike(slurp_file($target->logfile), qr/PANIC|received immediate shutdown/, 'the server stops with its workers');
$target->start;
wait_caught_up($source, $target, 'c');

check_logs($source, $target);
done_testing();
