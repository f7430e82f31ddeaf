# The indexes of a table that we create are built after its rows are loaded: the key's one first, over rows
# of different moments; the others when the rows are those of one moment; then only it streams.
#
# Without the key's index nothing tells rows that the load brings twice, because they moved between two
# chunks.  All but one of each key must go before the index can be built, and whichever stays, the
# changes parked meanwhile must lead it to its last state.  A crash at any point must leave exactly what
# is missing to be built: nothing twice, nothing forgotten.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(
	source_conf => 'autovacuum = off',
	target_conf => "livesync.chunk_size = '8kB'\nmax_worker_processes = 16");

my $indexes = <<'SQL';
SELECT tablename, indexname, replace(indexdef, 'app.', 'public.') FROM pg_indexes WHERE schemaname IN ('public', 'app') ORDER BY 1, 2
SQL
my $constraints = <<'SQL';
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype IN ('p', 'u', 'x') AND connamespace = 'public'::regnamespace ORDER BY 1, 2
SQL

sub events
{
	my ($event) = @_;
	return $target->safe_psql('postgres', "SELECT source_table, detail FROM livesync.events WHERE event = '$event' ORDER BY at");
}

# --- rows that come twice, under any kind of index --------------------------------------------

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int, u int NOT NULL, a text, pad text DEFAULT repeat('x', 400), r int4range,
	CONSTRAINT "t's key" PRIMARY KEY (id) INCLUDE (u),
	CONSTRAINT t_u UNIQUE (u) DEFERRABLE INITIALLY DEFERRED,
	CONSTRAINT t_r EXCLUDE USING gist (r WITH &&));
CREATE INDEX "T lower" ON t (lower(a) DESC NULLS LAST, (id % 10)) WHERE id > 5;
CREATE UNIQUE INDEX t_fill ON t (u, id) WITH (fillfactor = 50);
CREATE UNIQUE INDEX t_part ON t ((a || 'x')) WHERE id < 1000;
INSERT INTO t (id, u, a, r) SELECT i, i, 'a' || i, int4range(i * 10, i * 10 + 5) FROM generate_series(1, 100) i;
DELETE FROM t WHERE id BETWEEN 70 AND 75;
VACUUM t;
SQL

failpoint($target, 'chunk_committed=wait');
create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.t'], copy_workers => 1);
failpoint_reached($target, 'postgres', 'chunk_committed');
is($target->safe_psql('postgres', "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'"), 0, 'no index while loading');

# Rows of the first chunk move to where rows 70 to 75 were, and come a second time.  Keys move on to other
# rows, and so do the values of the other unique indexes, so that chunks bring rows that cannot be together.
$source->safe_psql('postgres', <<'SQL');
UPDATE t SET a = 'moved' || id WHERE id IN (2, 3, 4);
DELETE FROM t WHERE id = 1;
UPDATE t SET id = 1 WHERE id = 100;
BEGIN; UPDATE t SET u = 1000, r = NULL WHERE id = 5; UPDATE t SET u = 5, r = int4range(50, 55), a = 'b' WHERE id = 90; UPDATE t SET u = 90, a = 'a90' WHERE id = 5; COMMIT;
SQL
failpoint($target, 'key_index_wanted=wait');
failpoint_reached($target, 'postgres', 'key_index_wanted');
my $twice = $target->safe_psql('postgres', 'SELECT count(*) FROM (SELECT FROM t GROUP BY id HAVING count(*) > 1) x');
cmp_ok($twice, '>=', 2, "$twice keys are there twice");
like($target->safe_psql('postgres', "SELECT waiting_for FROM livesync.tables"), qr/^building index t's key/, 'the view says what is done');
is($target->safe_psql('postgres', "SELECT state FROM livesync.tables"), 'copying', 'the table is still copying');
failpoint($target, 'index_wanted=wait');
failpoint_reached($target, 'postgres', 'index_wanted');
is($target->safe_psql('postgres', "SELECT state, array_agg(indexname) FROM livesync.tables, pg_indexes WHERE schemaname = 'public' GROUP BY 1"),
	q(catching_up|{"t's key"}), 'catching up needs the key only');
$source->safe_psql('postgres', "UPDATE t SET a = a || '!' WHERE id % 3 = 0; UPDATE t SET id = id + 500 WHERE id % 7 = 0");
clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.t']);
is($target->safe_psql('postgres', $indexes), $source->safe_psql('postgres', $indexes), 'the same indexes');
is($target->safe_psql('postgres', $constraints), $source->safe_psql('postgres', $constraints), 'the same constraints');
is($target->safe_psql('postgres', 'SELECT count(*) FROM livesync.pending_index'), 0, 'nothing is left to do');
is($target->safe_psql('postgres', "SELECT count(*) FROM livesync.events WHERE event IN ('index_skipped', 'table_failed', 'table_restarted')"),
	0, 'nothing went wrong');

# --- crashes ---------------------------------------------------------------------------------

my @points = qw(load_finished key_index_wanted key_index_built index_wanted index_built);
for my $point (@points)
{
	$source->safe_psql('postgres', "CREATE TABLE at_$point (id int PRIMARY KEY, v int UNIQUE, w int, pad text DEFAULT repeat('x', 400));"
		. "CREATE INDEX ON at_$point (w); INSERT INTO at_$point SELECT i, i, i FROM generate_series(1, 60) i");
}
my $load = start_pgbench($source, 'postgres', '-n', '-R', 50, '-T', 3600, '-f', do {
	my $file = "${PostgreSQL::Test::Utils::tmp_check}/load.sql";
	PostgreSQL::Test::Utils::append_to_file($file,
		"\\set i random(1, 60)\n" . join('', map { "UPDATE at_$_ SET id = id + 60, w = w + 1 WHERE id % 60 = :i % 60;\n" } @points)
		. join('', map { "UPDATE at_$_ SET w = w + 1 WHERE id % 60 = (:i + 7) % 60;\n" } @points));
	$file;
});
for my $point (@points)
{
	failpoint($target, "$point/public.at_$point=wait");
	create_connector($target, 'postgres', "c_$point", conninfo($source), tables => ["public.at_$point"], copy_workers => 2);
	failpoint_reached($target, 'postgres', $point);
	flush_wal($target);
	kill_process($target, worker_pid($target, 'postgres', 'copy'));
	clear_failpoints($target);
	poll($target, 'postgres', "SELECT livesync.wait_for_sync('c_$point', '60 s')");
}
stop_pgbench($load);
for my $point (@points)
{
	wait_caught_up($source, $target, "c_$point");
	same_tables($source, 'postgres', $target, 'postgres', ["public.at_$point"], "the same after a crash at $point");
}
is($target->safe_psql('postgres', $indexes), $source->safe_psql('postgres', $indexes), 'after crashes: the same indexes');
is($target->safe_psql('postgres', $constraints), $source->safe_psql('postgres', $constraints), 'after crashes: the same constraints');

# --- what cannot be built, and who is in the way ---------------------------------------------

$source->safe_psql('postgres', <<'SQL');
CREATE FUNCTION only_here(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE COLLATION mine (provider = libc, locale = 'C');
CREATE TABLE odd (id int PRIMARY KEY, a text, b int, secret int);
CREATE INDEX odd_function ON odd (only_here(b));
CREATE INDEX odd_collation ON odd (a COLLATE mine);
CREATE INDEX odd_secret ON odd (b) WHERE secret > 0;
CREATE INDEX odd_fine ON odd (b);
INSERT INTO odd SELECT i, i, i, i FROM generate_series(1, 50) i;
CREATE PUBLICATION p FOR TABLE odd (id, a, b);
CREATE TABLE slow (id int PRIMARY KEY);
INSERT INTO slow SELECT generate_series(1, 50);
SQL
create_connector($target, 'postgres', 'odd', conninfo($source), publications => ['p']);
wait_sync($source, $target, 'odd');
is($target->safe_psql('postgres', "SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE tablename = 'odd'"), 'odd_fine,odd_pkey', 'what can be built is');
like(events('index_skipped'), qr/"odd_secret" has columns that are not published/, 'why: a column');
like(events('index_skipped'), qr/"odd_function": function public.only_here\(integer\) does not exist/, 'why: a function');
like(events('index_skipped'), qr/"odd_collation": collation/, 'why: a collation');

# A name that is in use; and a session that reads: the index is built beside it, its constraint comes when it is gone.
$target->safe_psql('postgres', 'CREATE TABLE other (id int); CREATE INDEX slow_pkey ON other (id)');
failpoint($target, 'key_index_wanted=wait');
create_connector($target, 'postgres', 'slow', conninfo($source), tables => ['public.slow']);
failpoint_reached($target, 'postgres', 'key_index_wanted');
my $reader = session($target, 'postgres', 'reader');
$reader->query_safe('BEGIN; SELECT count(*) FROM slow');
clear_failpoints($target);
wait_sync($source, $target, 'slow');
is($target->safe_psql('postgres', "SELECT is_built FROM livesync.pending_index"), 't', 'it streams, its constraint is still to come');
$reader->query_safe('COMMIT');
poll($target, 'postgres', "SELECT count(*) = 0 FROM livesync.pending_index");
is($target->safe_psql('postgres', "SELECT conname, contype FROM pg_constraint WHERE conrelid = 'slow'::regclass AND contype <> 'n'"), 'slow_idx|p', 'the reader is gone, the constraint is there');
$reader->quit;

# --- another key while the rows are loaded -----------------------------------------------------

# The copy begins again.  An index of the former key could not be built: its values are not unique any more.
$source->safe_psql('postgres', 'CREATE TABLE rekeyed (id int PRIMARY KEY, n int NOT NULL, v int UNIQUE); INSERT INTO rekeyed SELECT i, i, i FROM generate_series(1, 10) i');
failpoint($target, 'load_finished/public.rekeyed=wait');
create_connector($target, 'postgres', 'rekeyed', conninfo($source), tables => ['public.rekeyed']);
failpoint_reached($target, 'postgres', 'load_finished');
$source->safe_psql('postgres', 'ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey, ADD PRIMARY KEY (n), DROP CONSTRAINT rekeyed_v_key; INSERT INTO rekeyed VALUES (1, 11, 1)');
poll($target, 'postgres', "SELECT count(*) > 0 FROM livesync.events WHERE event = 'table_restarted' AND source_table = 'public.rekeyed'");
clear_failpoints($target);
wait_sync($source, $target, 'rekeyed');
same_tables($source, 'postgres', $target, 'postgres', ['public.rekeyed'], 'another key while the rows are loaded');
is($target->safe_psql('postgres', "SELECT string_agg(indexdef, ',') FROM pg_indexes WHERE tablename = 'rekeyed'"), 'CREATE UNIQUE INDEX rekeyed_pkey ON public.rekeyed USING btree (n)', 'it gets the indexes of now');

# Somebody drops the target in the middle: it is made again, with its indexes.
$source->safe_psql('postgres', 'CREATE TABLE made_again (id int PRIMARY KEY); INSERT INTO made_again SELECT i FROM generate_series(1, 10) i');
failpoint($target, 'load_finished/public.made_again=wait');
create_connector($target, 'postgres', 'made_again', conninfo($source), tables => ['public.made_again']);
failpoint_reached($target, 'postgres', 'load_finished');
$target->safe_psql('postgres', "SELECT livesync.pause_connector('made_again')");
$target->safe_psql('postgres', 'DROP TABLE made_again');
$source->safe_psql('postgres', 'ALTER TABLE made_again ADD v int');
clear_failpoints($target);
$target->safe_psql('postgres', "SELECT livesync.resume_connector('made_again')");
wait_sync($source, $target, 'made_again');
is($target->safe_psql('postgres', "SELECT string_agg(indexname, ',') FROM pg_indexes WHERE tablename = 'made_again'"), 'made_again_pkey', 'a target that was dropped in the middle is made again');

# --- without rows, and with the key only ------------------------------------------------------

$target->safe_psql('postgres', "ALTER SYSTEM SET livesync.create_indexes = off");
$target->reload;
$source->safe_psql('postgres', 'CREATE TABLE bare (id int PRIMARY KEY, v int NOT NULL UNIQUE, w int); CREATE INDEX ON bare (w); CREATE TABLE ident (id int PRIMARY KEY, v int NOT NULL UNIQUE);'
	. 'ALTER TABLE ident REPLICA IDENTITY USING INDEX ident_v_key; INSERT INTO bare SELECT i, i, i FROM generate_series(1, 10) i; INSERT INTO ident SELECT i, i FROM generate_series(1, 10) i');
create_connector($target, 'postgres', 'bare', conninfo($source), tables => ['public.bare', 'public.ident']);
wait_sync($source, $target, 'bare');
is($target->safe_psql('postgres', "SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE tablename = 'bare'"), 'bare_pkey', 'the key only');
is($target->safe_psql('postgres', "SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE tablename = 'ident'"), 'ident_pkey,ident_v_key', 'the index that finds rows, too');
$target->safe_psql('postgres', "ALTER SYSTEM RESET livesync.create_indexes");
$target->reload;
$source->safe_psql('postgres', 'CREATE TABLE empty (id int PRIMARY KEY, v int UNIQUE, w int); CREATE INDEX ON empty (w)');
create_connector($target, 'postgres', 'empty', conninfo($source), tables => ['public.empty'], copy_data => 'false');
wait_sync($source, $target, 'empty');
is($target->safe_psql('postgres', "SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE tablename = 'empty'"), 'empty_pkey,empty_v_key,empty_w_idx', 'without a copy: all at once');

check_logs($source, $target);
done_testing();
