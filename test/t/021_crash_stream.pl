# What is proved: when a process, a server or a connection ends in the middle of the stream, no change
# is lost, none is applied twice, and each source transaction is there whole or not at all, right after
# the crash too.  Tables with a key, without one, and one that is still being copied (whose changes are
# parked) are changed by the same transactions; some of these are far bigger than a batch.
#
# Why it matters: changes, parked changes and the position at the source must survive together or be
# lost together.  In the table without a key (three equal rows for each transaction) a change that is
# applied twice would show, where a key would hide it.
#
# The places: everything of a local transaction is done but the parked changes are not written
# (spool_before_commit), it is about to commit (apply_before_commit), it has committed and nothing was
# confirmed to the source yet (apply_after_commit).

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(append_to_file);
use Test::More;

use constant BIG => 2000;

my @tables = map { "public.$_" } qw(plus minus parked keyless big);

# Slices of a big transaction are applied before its end is known.
my ($source, $target) = pair(target_conf => "livesync.batch_rows = 300\n");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE plus (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE minus (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE parked (id int PRIMARY KEY, v int NOT NULL, filler text NOT NULL);
CREATE TABLE keyless (tx bigint NOT NULL);
CREATE TABLE big (tx bigint, n int, PRIMARY KEY (tx, n));
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO plus SELECT n, 0 FROM generate_series(1, 50) n;
INSERT INTO minus SELECT n, 0 FROM generate_series(1, 50) n;
INSERT INTO parked SELECT n, 0, repeat('x', 500) FROM generate_series(1, 50) n;
SQL

my $script = PostgreSQL::Test::Utils::tempdir() . '/small.sql';
append_to_file($script, <<'SQL');
\set id random(1, 50)
\set d random(-99, 99)
BEGIN;
UPDATE plus SET v = v + :d WHERE id = :id;
UPDATE minus SET v = v - :d WHERE id = :id;
UPDATE parked SET v = v + :d WHERE id = :id;
INSERT INTO keyless SELECT pg_current_xact_id()::text::bigint FROM generate_series(1, 3);
COMMIT;
SQL

sub change_much
{
	$source->safe_psql('postgres', <<"SQL");
WITH x AS (SELECT pg_current_xact_id()::text::bigint AS tx),
	b AS (INSERT INTO big SELECT tx, n FROM x, generate_series(1, @{[BIG]}) n)
INSERT INTO keyless SELECT tx FROM x, generate_series(1, 3);
SQL
	return;
}

# All transactions leave these sums as they are, so no half of one may show.
sub is_whole
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is( $target->safe_psql('postgres', <<"SQL"), '0|0|0|0', "$name: only whole transactions are there");
SELECT (SELECT count(*) FROM plus p FULL JOIN minus m USING (id) WHERE p.v + m.v IS DISTINCT FROM 0),
	(SELECT count(*) FROM (SELECT FROM keyless GROUP BY tx HAVING count(*) <> 3) x),
	(SELECT count(*) FROM (SELECT FROM big GROUP BY tx HAVING count(*) <> @{[BIG]}) x),
	(SELECT count(*) FROM (SELECT DISTINCT tx FROM big EXCEPT SELECT tx FROM keyless) x)
SQL
}

sub applied
{
	return $target->safe_psql('postgres', 'SELECT count(DISTINCT tx) FROM keyless');
}

# The table "parked" stays in the copy all the time: its only chunk is held.
my $copy = 'chunk_loaded/public.parked=wait';

sub hold_at
{
	my ($place) = @_;
	failpoint($target, $copy, "$place=wait");
	failpoint_reached($target, 'postgres', $place);
	return;
}

my %crash = (
	'kill -9 of the connector' => sub { kill_process($target, worker_pid($target, 'postgres', 'connector')) },
	'kill -9 of a copy worker' => sub { kill_process($target, worker_pid($target, 'postgres', 'copy')) },
	'immediate stop of the target' => sub { $target->stop('immediate'); $target->start },
	'immediate stop of the source' => sub { $source->stop('immediate'); $source->start },
	'cut connections'              => sub { cut_connections($source) });

failpoint($target, $copy);
create_connector($target, 'postgres', 'c', conninfo($source), tables => \@tables, copy_workers => 2);
wait_state($target, 'postgres', 'c', $_, 'streaming') for grep { $_ ne 'public.parked' } @tables;
failpoint_reached($target, 'postgres', 'chunk_loaded');

# A big transaction alone: it is applied to its end, and not committed.
my $before = applied();
failpoint($target, $copy, 'apply_before_commit=wait');
change_much();
failpoint_reached($target, 'postgres', 'apply_before_commit');
$crash{'kill -9 of the connector'}->();
failpoint_reached($target, 'postgres', 'apply_before_commit');
is(applied(), $before, 'a big transaction that did not commit here left nothing');
is_whole('a big transaction');
clear_and_hold_copy();
wait_caught_up($source, $target, 'c');
is(applied(), $before + 1, 'it comes again, once');

# The others under load.
for (
	[ 'kill -9 of the connector',     'apply_after_commit' ],
	[ 'kill -9 of the connector',     'spool_before_commit' ],
	[ 'kill -9 of a copy worker',     'spool_before_commit' ],
	[ 'kill -9 of a copy worker',     'apply_after_commit' ],
	[ 'immediate stop of the target', 'apply_before_commit' ],
	[ 'immediate stop of the target', 'apply_after_commit' ],
	[ 'immediate stop of the source', 'apply_before_commit' ],
	[ 'immediate stop of the source', 'apply_after_commit' ],
	[ 'cut connections',              'spool_before_commit' ],
	[ 'cut connections',              'apply_after_commit' ])
{
	my ($name, $place) = @$_;
	my $load = start_pgbench($source, 'postgres', '-c', 2, '-R', 300, '-T', 3600, '-f', $script);

	poll($target, 'postgres', 'SELECT count(DISTINCT tx) > ' . (applied() + 20) . ' FROM keyless');
	change_much();
	hold_at($place);

	# What has committed and is flushed must still be there; a target that loses more loses its position with it.
	my $kept = applied();
	flush_wal($target) if $name =~ /^kill/;
	$crash{$name}->();
	cmp_ok(applied(), '>=', $kept, "$name at $place: what was committed is there") if $name =~ /^kill/;
	is_whole("$name at $place");

	clear_and_hold_copy();
	stop_pgbench($load);
	wait_caught_up($source, $target, 'c');
	same_tables($source, 'postgres', $target, 'postgres', [ grep { $_ ne 'public.parked' } @tables ],
		"$name at $place: nothing is lost and nothing is twice");
}

# Thousands of transactions wait to be applied, and the connector dies again and again on its way through.
failpoint($target, $copy, 'apply_before_commit=wait');
run_pgbench($source, 'postgres', '-c', 4, '-t', 1000, '-f', $script);
failpoint_reached($target, 'postgres', 'apply_before_commit');
my $deaths = -s $target->logfile;
failpoint($target, $copy, 'apply_after_commit=crash');
$deaths = $target->wait_for_log(qr/failpoint "apply_after_commit" ends this process/, $deaths) for 1 .. 3;
end_of_crashes($target);
wait_sync($source, $target, 'c');
clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'the parked changes came through as well');
is_whole('in the end');

is( $target->safe_psql('postgres', q{SELECT string_agg(DISTINCT generation::text, ' ') FROM livesync.synced_table}),
	'1', 'no table was copied again');
is( $target->safe_psql('postgres', q{SELECT count(*) FROM livesync.tables WHERE last_error IS NOT NULL}),
	'0', 'no table failed');

check_logs($source, $target);
done_testing();

# Lets the stream go on and holds the copy.
sub clear_and_hold_copy
{
	return failpoint($target, $copy);
}
