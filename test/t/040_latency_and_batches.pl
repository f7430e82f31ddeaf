# What is proved: a lone commit is visible at the target soon after it was made, and rows of one transaction that can only
# stand together are written together, also when its messages come one by one; when much comes at
# once, many source transactions share one local transaction; and no source transaction is ever half
# visible, however it is cut into sets of changes.
#
# Why it matters: a local commit for each source transaction is slow under load, and waiting for
# company is slow without; and readers of the target must see what readers of the source could have.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(append_to_file);
use Test::More;

use constant { ROWS => 20, LONE => 20, BACKLOG => 500, BIG => 1000, STATES => 21 };

# Even the big transactions of this test are more than one set of changes.
my ($source, $target) = pair(target_conf => "livesync.batch_rows = 100\n");

$source->safe_psql('postgres', <<"SQL");
CREATE TABLE lone (id int PRIMARY KEY, at timestamptz NOT NULL);
CREATE TABLE a (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE b (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE turn (id int PRIMARY KEY, v int NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE log (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, many boolean NOT NULL);
INSERT INTO a SELECT n, 0 FROM generate_series(1, @{[ROWS]}) n;
INSERT INTO b SELECT n, 0 FROM generate_series(1, @{[ROWS]}) n;
INSERT INTO turn VALUES (0, 1);
SQL
$target->safe_psql('postgres', 'CREATE TABLE turn (id int PRIMARY KEY, v int NOT NULL UNIQUE)');
create_connector($target, 'postgres', 'c', conninfo($source));
wait_sync($source, $target, 'c');

# --- a lone commit -----------------------------------------------------------------------------

# A session at the target looks for each row in turn and notes how old it is when it appears.
$target->safe_psql('postgres', 'CREATE TABLE seen (id int PRIMARY KEY, seconds float8 NOT NULL)');
my $watcher = session($target, 'postgres');
$watcher->query_until(qr/watching/, <<"SQL");
\\echo watching
DO \$\$
DECLARE
	committed timestamptz;
BEGIN
	FOR i IN 1..@{[LONE]} LOOP
		LOOP
			SELECT at INTO committed FROM lone WHERE id = i;
			EXIT WHEN FOUND;
			PERFORM pg_sleep(0.002);
		END LOOP;
		INSERT INTO seen VALUES (i, extract(epoch FROM clock_timestamp() - committed));
		COMMIT;
	END LOOP;
END \$\$;
SQL
for my $i (1 .. LONE)
{
	$source->safe_psql('postgres', "INSERT INTO lone VALUES ($i, clock_timestamp())");
	poll($target, 'postgres', "SELECT true FROM seen WHERE id = $i");
}
$watcher->quit;
my ($median, $worst) = split /\|/, $target->safe_psql('postgres', <<'SQL');
SELECT round((1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds))::numeric, 1), round((1000 * max(seconds))::numeric, 1) FROM seen
SQL
diag("a lone commit is visible after $median ms (median of " . LONE . "), at most $worst ms");
cmp_ok($median, '<', 1000, 'a lone commit is visible within a second');

# Two rows take turns at a value that only one can have here at any time; the source looks at its commit.  The first of the
# changes is there before the others are.
for my $i (1 .. LONE)
{
	$source->safe_psql('postgres', "BEGIN; INSERT INTO turn VALUES ($i, 1); DELETE FROM turn WHERE id = $i - 1; COMMIT");
	wait_caught_up($source, $target, 'c');
}
same_tables($source, 'postgres', $target, 'postgres', ['public.turn'], 'rows that take turns');
is($target->safe_psql('postgres', "SELECT count(*) FROM livesync.events WHERE source_table = 'public.turn' AND event = 'table_failed'"),
	'0', 'and no change came before the one that it needs');

# --- whole transactions, all the time ----------------------------------------------------------

# Each transaction gives the same value to a row of two tables.  A reader at the target with one
# snapshot for two statements must never see them differ.  It ends when the marker row arrives.
$target->safe_psql('postgres', 'CREATE TABLE sampled (halves bigint, states bigint, samples bigint)');
my $sampler = session($target, 'postgres');
$sampler->query_until(qr/sampling/, <<"SQL");
SET default_transaction_isolation = 'repeatable read';
\\echo sampling
DO \$\$
DECLARE
	halves bigint := 0; states bigint := 0; samples bigint := 0;
	va int[]; vb int[]; previous int[]; logged boolean;
BEGIN
	LOOP
		SELECT array_agg(v ORDER BY id) INTO va FROM a;
		SELECT array_agg(v ORDER BY id) INTO vb FROM b;
		SELECT count(*) % @{[BIG]} = 0 INTO logged FROM log WHERE many;
		samples := samples + 1;
		halves := halves + (va <> vb OR NOT logged)::int;
		states := states + (va IS DISTINCT FROM previous)::int;
		previous := va;
		IF states = @{[STATES]} THEN
			INSERT INTO seen VALUES (0, 0) ON CONFLICT DO NOTHING;
		END IF;
		EXIT WHEN EXISTS (SELECT FROM lone WHERE id = 0);
		COMMIT;
		PERFORM pg_sleep(0.001);
		COMMIT;
	END LOOP;
	INSERT INTO sampled VALUES (halves, states, samples);
END \$\$;
SQL

my $script = PostgreSQL::Test::Utils::tempdir() . '/pair.sql';
append_to_file($script, <<"SQL");
\\set id random(1, @{[ROWS]})
\\set v random(1, 1000000)
BEGIN;
UPDATE a SET v = :v WHERE id = :id;
UPDATE b SET v = :v WHERE id = :id;
INSERT INTO log (many) VALUES (false);
COMMIT;
SQL

# Rows say by their xmin which local transactions (or subtransactions) wrote them, a lower bound of
# sharing: one set of changes is one of these.
sub local_transactions
{
	my ($from) = @_;
	return $target->safe_psql('postgres', "SELECT count(DISTINCT xmin::text) FROM log WHERE n > $from");
}

# Load as it comes.
run_pgbench($source, 'postgres', '-c', 4, '-t', 250, '-f', $script);
wait_caught_up($source, $target, 'c');
diag('under load: 1000 source transactions in ' . local_transactions(0) . ' local ones');

# A backlog: it waits until all of it is there.
failpoint($target, 'apply_before_commit=wait');
my $from = $source->safe_psql('postgres', 'SELECT max(n) FROM log');
run_pgbench($source, 'postgres', '-c', 4, '-t', BACKLOG / 4, '-f', $script);
failpoint_reached($target, 'postgres', 'apply_before_commit');
clear_failpoints($target);
wait_caught_up($source, $target, 'c');
my $shared = local_transactions($from);
diag('a backlog: ' . BACKLOG . " source transactions in $shared local ones");
is($target->safe_psql('postgres', "SELECT count(*) FROM log WHERE n > $from"), BACKLOG, 'the backlog is applied');
cmp_ok($shared, '<=', BACKLOG / 10, 'of a backlog, ten source transactions and more share a local one');

# The same work a few times over, mixed with transactions of many sets of changes.
my $load = start_pgbench($source, 'postgres', '-c', 2, '-R', 400, '-T', 3600, '-f', $script);
for (1 .. 5)
{
	$source->safe_psql('postgres', <<"SQL");
BEGIN;
UPDATE a SET v = -$_;
INSERT INTO log (many) SELECT true FROM generate_series(1, @{[BIG]});
UPDATE b SET v = -$_;
COMMIT;
SQL
	wait_caught_up($source, $target, 'c');
}
# The sampler may be slow.
poll($target, 'postgres', 'SELECT count(*) = 1 FROM seen WHERE id = 0');
stop_pgbench($load);
$source->safe_psql('postgres', 'INSERT INTO lone VALUES (0, now())');
$sampler->quit;

my ($halves, $states, $samples) = split /\|/, $target->safe_psql('postgres', 'SELECT * FROM sampled');
diag("$samples samples saw $states different states");
is($halves, 0, 'no transaction was ever half visible');
cmp_ok($states, '>=', STATES, 'the samples were taken while the tables changed');

wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres');
check_logs($source, $target);
done_testing();
