# What is proved: when the worker or the target ends while transactions arrive in pieces, between the
# thousands of small ones that commit meanwhile, nothing is lost, nothing is applied twice, and what a
# savepoint did that was rolled back never shows.
#
# Why it matters: such a transaction is kept in a file that does not survive, while small ones that
# committed after its first piece are applied and confirmed.  Were a position confirmed that lies
# behind its commit, or were a file of before a restart read on, it would be lost or be there twice.
#
# The places: a piece has been received (streamed_piece), its commit has come (streamed_commit), its file
# is being applied (streamed_apply), it is about to commit here (apply_before_commit), it has committed
# and nothing was confirmed to the source yet (apply_after_commit).

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(append_to_file);
use Test::More;

use constant { BIG => 1200, SMALL => 1000 };

my @tables = map { "public.$_" } qw(plus minus keyless big);

my ($source, $target) = pair(
	source_conf => "logical_decoding_work_mem = 64kB\nautovacuum = off\nsynchronous_commit = off",
	target_conf => "livesync.batch_rows = 300\nautovacuum = off");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE plus (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE minus (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE keyless (tx bigint NOT NULL);
CREATE TABLE big (tx bigint, n int, kept boolean DEFAULT true, pad text DEFAULT repeat('x', 60), PRIMARY KEY (tx, n));
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO plus SELECT n, 0 FROM generate_series(1, 50) n;
INSERT INTO minus SELECT n, 0 FROM generate_series(1, 50) n;
SQL

my $directory = PostgreSQL::Test::Utils::tempdir();
append_to_file("$directory/small.sql", <<'SQL');
\set id random(1, 50)
\set d random(-99, 99)
BEGIN;
UPDATE plus SET v = v + :d WHERE id = :id;
UPDATE minus SET v = v - :d WHERE id = :id;
INSERT INTO keyless SELECT pg_current_xact_id()::text::bigint FROM generate_series(1, 3);
COMMIT;
SQL

# Every other one ends in a rollback; each rolls a savepoint back that was large enough to be sent.
append_to_file("$directory/big.sql", <<"SQL");
\\set commits random(0, 1)
BEGIN;
INSERT INTO keyless VALUES (pg_current_xact_id()::text::bigint);
INSERT INTO big (tx, n) SELECT pg_current_xact_id()::text::bigint, n FROM generate_series(1, @{[BIG / 2]}) n;
SAVEPOINT a;
INSERT INTO big (tx, n, kept) SELECT pg_current_xact_id()::text::bigint, -n, false FROM generate_series(1, @{[BIG / 2]}) n;
UPDATE big SET kept = false WHERE tx = pg_current_xact_id()::text::bigint AND n > 0;
ROLLBACK TO a;
INSERT INTO keyless VALUES (pg_current_xact_id()::text::bigint);
\\sleep 20 ms
INSERT INTO big (tx, n) SELECT pg_current_xact_id()::text::bigint, n FROM generate_series(@{[BIG / 2 + 1]}, @{[BIG]}) n;
INSERT INTO keyless VALUES (pg_current_xact_id()::text::bigint);
\\if :commits
COMMIT;
\\else
ROLLBACK;
\\endif
SQL

sub is_whole
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($target->safe_psql('postgres', <<"SQL"), '0|0|0|0|0', "$name: only whole transactions are there");
SELECT (SELECT count(*) FROM plus p FULL JOIN minus m USING (id) WHERE p.v + m.v IS DISTINCT FROM 0),
	(SELECT count(*) FROM (SELECT FROM keyless GROUP BY tx HAVING count(*) <> 3) x),
	(SELECT count(*) FROM (SELECT FROM big GROUP BY tx HAVING count(*) <> @{[BIG]}) x),
	(SELECT count(*) FROM big WHERE NOT kept),
	(SELECT count(*) FROM (SELECT DISTINCT tx FROM big EXCEPT SELECT tx FROM keyless) x)
SQL
}

my %crash = (
	'kill -9 of the connector'     => sub { kill_process($target, worker_pid($target, 'postgres', 'connector')) },
	'immediate stop of the target' => sub { $target->stop('immediate'); $target->start });

create_connector($target, 'postgres', 'c', conninfo($source), tables => \@tables);
wait_sync($source, $target, 'c');

for (
	[ 'kill -9 of the connector',     'streamed_piece' ],
	[ 'kill -9 of the connector',     'streamed_apply' ],
	[ 'kill -9 of the connector',     'apply_before_commit' ],
	[ 'kill -9 of the connector',     'apply_after_commit' ],
	[ 'immediate stop of the target', 'streamed_commit' ],
	[ 'immediate stop of the target', 'apply_after_commit' ])
{
	my ($name, $place) = @$_;
	my $big = start_pgbench($source, 'postgres', '-c', 2, '-T', 3600, '-f', "$directory/big.sql");

	failpoint($target, "$place=wait");
	run_pgbench($source, 'postgres', '-c', 2, '-t', SMALL / 2, '-f', "$directory/small.sql");
	failpoint_reached($target, 'postgres', $place);

	# Some way on, past commits of small ones after pieces of big ones; then it ends in the middle.
	clear_failpoints($target);
	failpoint($target, "$place=wait");
	failpoint_reached($target, 'postgres', $place);
	$crash{$name}->();
	is_whole("$name at $place");
	clear_failpoints($target);
	stop_pgbench($big);
	wait_caught_up($source, $target, 'c');
	same_tables($source, 'postgres', $target, 'postgres', \@tables, "$name at $place: nothing is lost and nothing is twice");
}

is_whole('in the end');
is($target->safe_psql('postgres', q{SELECT count(*) FROM livesync.events WHERE event = 'table_failed'}), '0', 'no table failed');
is($target->safe_psql('postgres', q{SELECT sum(insert_exists + update_missing + delete_missing) FROM livesync.stats}), '0',
	'nothing was applied over what was there');
cmp_ok($source->safe_psql('postgres', 'SELECT sum(stream_txns) FROM pg_stat_replication_slots'), '>', 20,
	'many transactions came in pieces');
poll($target, 'postgres', 'SELECT count(*) = 0 FROM pg_ls_tmpdir()');
check_logs($source, $target);
done_testing();
