# Targets that are made otherwise than their source, each in one way; and what a target's own replicas and plans see of
# our writing.
#
# Somebody else made these tables: with columns of their own, in another order, with constraints that are checked late,
# cut into partitions by a column that is no key at the source.  Servers that replicate from the target must be able to
# tell what came from elsewhere (or two that replicate to each other pass rows on for ever).  Autovacuum must learn of the
# rows that we leave dead.  And statements are planned once, not for each batch.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(append_to_file slurp_file);
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.poll_interval = '1h'\nautovacuum = off");

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }

# name => source, target
my %tables = (
	columns => [
		'id int PRIMARY KEY, a text, b int, c numeric',
		"made timestamptz NOT NULL DEFAULT now(), c numeric, b bigint, note text DEFAULT 'here', a varchar(50), id bigint PRIMARY KEY, twice bigint GENERATED ALWAYS AS (b * 2) STORED"
	],
	identity => [ 'id int PRIMARY KEY, a text, b int', 'id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text, b int GENERATED ALWAYS AS IDENTITY' ],
	checked  => [ 'id int PRIMARY KEY, a text, b int', q{id int PRIMARY KEY, a short CHECK (a <> ''), b positive NOT NULL DEFAULT 7} ],
	late     => [ 'id int PRIMARY KEY, a text, b int', 'id int PRIMARY KEY, a text, b int UNIQUE DEFERRABLE INITIALLY DEFERRED, FOREIGN KEY (b) REFERENCES nothing DEFERRABLE INITIALLY DEFERRED' ],
	parts    => [ 'id int PRIMARY KEY, a text, b int', 'id int NOT NULL, a text, b int, PRIMARY KEY (id, b)) PARTITION BY LIST (b' ],
	referred => [ 'id int PRIMARY KEY, a text, b int', 'id int PRIMARY KEY, a text, b int' ],
);
at_target(<<'SQL');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 50);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE nothing (id int PRIMARY KEY);
SQL
for my $name (sort keys %tables)
{
	at_source("CREATE TABLE $name ($tables{$name}[0]); INSERT INTO $name (id, a, b) SELECT i, 'first', i FROM generate_series(1, 20) i");
	at_target("CREATE TABLE $name ($tables{$name}[1])");
}
at_target(<<'SQL');
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1, 2, 3, 4, 5);
CREATE TABLE parts_2 PARTITION OF parts DEFAULT;
CREATE TABLE referring (id int REFERENCES referred);
SQL
at_target("SELECT pg_create_logical_replication_slot('passed_on', 'test_decoding')");

create_connector($target, 'postgres', 'c', conninfo($source), tables => [ map { "public.$_" } sort keys %tables ]);
wait_sync($source, $target, 'c');

# --- changes of all kinds ----------------------------------------------------------------------

for my $name (sort keys %tables)
{
	at_source(<<"SQL");
BEGIN;
INSERT INTO $name (id, a, b) SELECT i, 'new', i FROM generate_series(21, 30) i;
UPDATE $name SET a = 'moved', b = b + 1000 WHERE id BETWEEN 3 AND 7;
UPDATE $name SET b = 2 WHERE id = 25;
DELETE FROM $name WHERE id % 10 = 8;
UPDATE $name SET id = id + 100 WHERE id IN (9, 10, 29);
COMMIT;
UPDATE $name SET b = 3 WHERE id = 12;
DELETE FROM $name WHERE id = 13;
SQL
}
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ["public.$_"], "changes of all kinds: $_") for sort keys %tables;
is(at_target('SELECT count(*) FROM columns WHERE twice IS DISTINCT FROM b * 2 OR note IS NULL OR made IS NULL'), '0', 'columns that only the target has are filled by it');
is(at_target('SELECT count(*) FROM parts_1 WHERE b > 5'), '0', 'each row is in its partition');
is(at_target('SELECT count(*) FROM parts_1 WHERE id IN (12, 25)'), '2', 'also those that moved');

# --- a TRUNCATE that the target refuses --------------------------------------------------------

# A table that is not synced refers to it.
at_target('INSERT INTO referring VALUES (1)');
at_source("TRUNCATE referred, columns; INSERT INTO referred VALUES (1, 'again', 1)");
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.referred', 'public.columns' ], 'a TRUNCATE of a table that another refers to');
is(at_target(q{SELECT string_agg(detail, '; ') FROM livesync.events WHERE event = 'table_failed'}), '', 'no table failed');

# --- what servers behind the target see --------------------------------------------------------

is( at_target(q{SELECT count(*) FROM pg_logical_slot_peek_changes('passed_on', NULL, NULL, 'only-local', '1') WHERE data ~ '^table public.(columns|identity|checked|late|parts)'}),
	'0', 'nothing of what was copied or applied looks as if it were from here');
cmp_ok(at_target(q{SELECT count(*) FROM pg_logical_slot_peek_changes('passed_on', NULL, NULL) WHERE data ~ '^table public.(columns|identity|checked|late|parts)'}),
	'>', 200, 'though all of it is there');
at_target("SELECT pg_drop_replication_slot('passed_on')");

# --- what autovacuum goes by -------------------------------------------------------------------

# It knows of dead rows only what the worker tells, which never ends.
at_source('CREATE TABLE counted (id int PRIMARY KEY, n int); INSERT INTO counted SELECT generate_series(1, 100)');
create_connector($target, 'postgres', 'counted', conninfo($source), tables => ['public.counted']);
wait_sync($source, $target, 'counted');
for ('UPDATE counted SET n = 1', 'DELETE FROM counted WHERE id > 90')
{
	at_source($_);
	wait_caught_up($source, $target, 'counted');
}
poll($target, 'postgres', q{SELECT n_tup_upd || ' ' || n_tup_del FROM pg_stat_user_tables WHERE relname = 'counted'}, '100 10');
pass('rows that were changed are counted in the server\'s statistics');

# --- plans -------------------------------------------------------------------------------------

# Each planning is told in the log.
my $script = PostgreSQL::Test::Utils::tempdir() . '/insert.sql';
append_to_file($script, "INSERT INTO checked SELECT max(id) + 1, 'x', 1 FROM checked;\n");
my $batches = q{SELECT batches FROM livesync.stats WHERE source_table = 'public.checked'};
run_pgbench($source, 'postgres', '-c', 1, '-t', 5, '-f', $script);
at_target("ALTER SYSTEM SET log_planner_stats = on");
$target->reload;
# Counts come a moment after the rows.
my $inserts = 15;
my $counted = "SELECT inserts >= %d FROM livesync.stats WHERE source_table = 'public.checked'";
poll($target, 'postgres', sprintf $counted, $inserts);
my $before = at_target($batches);
my $sets   = 0;
my $pid    = worker_pid($target, 'postgres', 'connector');
my $offset = -s $target->logfile;
# A worker that is late makes fewer sets of as many changes.
for (1 .. 20)
{
	run_pgbench($source, 'postgres', '-c', 1, '-t', 100, '-f', $script);
	wait_caught_up($source, $target, 'c');
	poll($target, 'postgres', sprintf $counted, $inserts += 100);
	$sets = at_target($batches) - $before;
	last if $sets >= 100;
}
my $plannings = () = slurp_file($target->logfile, $offset) =~ /\[$pid\][^\n]*PLANNER STATISTICS/g;
diag("$plannings plannings for $sets sets of changes");
cmp_ok($plannings, '<', $sets / 2, 'a statement is planned for many sets of changes');
at_target('ALTER SYSTEM RESET log_planner_stats');
$target->reload;

same_tables($source, 'postgres', $target, 'postgres', ['public.checked']);
check_logs($source, $target);
done_testing();
