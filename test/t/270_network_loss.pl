# The network between the servers is lost for a while: packets vanish, and nobody is told.
#
# Nothing is closed and nothing refused, so a worker that just waits for what comes next waits for ever; and behind
# a tunnel or a balancer even TCP's keepalives are answered.  Workers must find out within a known time, say
# so, obey calls meanwhile, and go on by themselves where they were: also when the source still waits for the
# connections of before, one of which has the slot.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Network;
use Test::More;
use Time::HiRes qw(time);

use constant WORKERS => 2;

my ($source, $target) = pair(target_conf => "livesync.chunk_size = '8kB'\nlivesync.source_timeout = '2s'\n");
my $network = LiveSync::Network->new($source);

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, filler text NOT NULL);
INSERT INTO t SELECT n, 0, repeat('x', 700) FROM generate_series(1, 200) n;
CREATE TABLE streaming (id int PRIMARY KEY, v int NOT NULL);
SQL

sub at_target { return $target->safe_psql('postgres', $_[0]) }

sub change_source
{
	my ($round) = @_;
	$source->safe_psql('postgres', <<"SQL");
UPDATE t SET v = v + 1 WHERE id % 7 = $round;
DELETE FROM t WHERE id % 50 = $round;
INSERT INTO t SELECT n, $round, 'new' FROM generate_series(1000 * $round, 1000 * $round + 20) n;
INSERT INTO streaming SELECT n, $round FROM generate_series(1000 * $round, 1000 * $round + 500) n;
SQL
	return;
}

sub finished_chunks
{
	return at_target(<<'SQL');
SELECT c.generation, c.number, c.rows, c.done_at
FROM livesync.chunk c JOIN livesync.synced_table t ON t.id = c.table_id
WHERE t.source_name = 't' AND c.done_at IS NOT NULL ORDER BY c.number
SQL
}

# Everybody who was connected knows: there are no workers but those that try anew.
sub wait_until_noticed
{
	my ($name, $began) = @_;
	my $at = at_target("SELECT to_timestamp($began)");
	poll($target, 'postgres', "SELECT count(*) > 0 FROM livesync.events WHERE event = 'connector_failed' AND at > '$at' "
		  . "AND detail ~ 'the source does not answer any more'");
	poll($target, 'postgres', "SELECT count(*) > 0 FROM livesync.events WHERE event = 'connector_failed' AND at > '$at' "
		  . "AND detail ~ 'no answer within 2 s'");
	my $seconds = at_target("SELECT extract(epoch FROM min(at) - '$at') FROM livesync.events WHERE event = 'connector_failed' AND at > '$at'");
	# 2 s of silence and 2 s for a new connection; the rest is for slow machines, where TCP would take hours.
	cmp_ok($seconds, '<', 120, "$name: noticed within a known time");
	note("$name: noticed after $seconds s");
	poll($target, 'postgres', 'SELECT status FROM livesync.connectors', 'failing');
	like(at_target('SELECT last_error FROM livesync.connectors'), qr/the source does not answer|could not connect to the source/, "$name: the view says so");
	return;
}

# --- while the table is copied ---------------------------------------------------------------

failpoint($target, 'chunk_committed/public.t=wait');
create_connector($target, 'postgres', 'c', $network->conninfo, tables => [ 'public.t', 'public.streaming' ], copy_workers => WORKERS);
failpoint_reached($target, 'postgres', 'chunk_committed', WORKERS);
flush_wal($target);

my $finished = finished_chunks();
my $began    = time;
$network->lose;
failpoint($target, 'chunk_loaded/public.t=wait');    # they go on, and find nobody there
change_source(1);
wait_until_noticed('copy', $began);
is(finished_chunks(), $finished, 'nothing more was copied');

# The source still believes in the connections of before; one of them has the slot.
$network->replace;
failpoint_reached($target, 'postgres', 'chunk_loaded', 1);
is(finished_chunks(), $finished, 'what was finished stays so');
clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.streaming' ], 'copy: it went on by itself');
is(substr(finished_chunks(), 0, length $finished), $finished, 'and finished chunks were not copied again');
is(at_target(q{SELECT generation FROM livesync.synced_table WHERE source_name = 't'}), '1', 'nor did it start over');

# --- while changes stream --------------------------------------------------------------------

$began = time;
$network->lose;
change_source(2);
wait_until_noticed('stream', $began);

# Calls are obeyed meanwhile.
my $asked = time;
at_target("SELECT livesync.pause_connector('c')");
is(at_target('SELECT status FROM livesync.connectors'), 'paused', 'it can be paused');
at_target("SELECT livesync.resume_connector('c')");
poll($target, 'postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'livesync connector'});
my $patient = $network->conninfo =~ s/connect_timeout=\d+/connect_timeout=120/r;
my $status = $target->psql('postgres', "SET statement_timeout = '1s'; SELECT * FROM livesync.source_tables(" . quote_literal($patient) . ')',
	stderr => \my $error, stdout => \my $out);
like($error, qr/statement timeout/, 'a call that waits for the source can be cancelled');
cmp_ok(time - $asked, '<', 60, 'all of it at once');

$network->replace;
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.streaming' ], 'stream: it went on by itself');

# --- a loss that is short, and a source that takes its time -----------------------------------

at_target("ALTER SYSTEM SET livesync.source_timeout = '60s'");
$target->reload;
my $worker = worker_pid($target, 'postgres', 'connector');
$network->lose;
change_source(3);
$network->heal;
wait_caught_up($source, $target, 'c');
is(worker_pid($target, 'postgres', 'connector'), $worker, 'after a short loss the connections of before go on');

# A session at the source that waits for a lock is silent too, but it is there.
at_target("ALTER SYSTEM SET livesync.source_timeout = '500ms'");
$target->reload;
# Nor does a second session have to come at once that asks for it.
at_target("SELECT livesync.alter_connector('c', source => " . quote_literal($patient) . ')');
my $locker = session($source, 'postgres', 'locker');
failpoint($target, 'chunk_committed/public.t=wait');
at_target("SELECT livesync.remove_table('c', 'public.t')");
at_target("TRUNCATE t");
at_target("SELECT livesync.add_table('c', 'public.t')");
failpoint_reached($target, 'postgres', 'chunk_committed', 1);
$locker->query_safe('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
my $failures = at_target("SELECT count(*) FROM livesync.events WHERE event = 'connector_failed'");
my $offset   = -s $source->logfile;
clear_failpoints($target);
# Three times it was asked whether it is there.
for (1 .. 3)
{
	$source->wait_for_log(qr/statement: SELECT count\(\*\) > 0 FROM pg_catalog.pg_stat_activity WHERE pid/, $offset);
	$offset = -s $source->logfile;
}
is(at_target("SELECT count(*) FROM livesync.events WHERE event = 'connector_failed'"), $failures, 'a source that takes its time is not given up');
$locker->query_safe('ROLLBACK');
$locker->quit;
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.streaming' ], 'and goes on');

# --- a connector can be dropped while its source is out of reach ------------------------------

at_target("SELECT livesync.alter_connector('c', source => " . quote_literal($network->conninfo) . ')');
wait_caught_up($source, $target, 'c');
$network->lose;
at_target("SELECT livesync.pause_connector('c')");
at_target("SELECT livesync.drop_connector('c', force => true)");
is(at_target('SELECT count(*) FROM livesync.connectors'), 0, 'a connector can be dropped meanwhile');
$network->replace;
poll($source, 'postgres', 'SELECT count(*) FROM pg_replication_slots', 0);
pass('its slot is dropped when the network is back');

check_logs($source, $target);
done_testing();
