# Changes of every kind, applied to hypertables: first to plain chunks, then to chunks in the columnstore.
#
# An UPDATE cannot lead a row to another chunk, a statement whose bounds are no constants takes whole chunks
# out of the columnstore, and rows in it have no place by which equal rows could be told apart: applied as to
# ordinary tables, such changes fail the table, undo its compression, or hit the wrong rows.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Timescale;
use Test::More;

# The limit is for the statements of others.
my ($source, $target) = timescale_pair(target_conf => 'timescaledb.max_tuples_decompressed_per_dml_transaction = 10');

# keyed: the identity has the time; moved: it has not; full: it is the whole row, and rows come more than once;
# extra: the target has a column of its own, a second dimension and columns in another order; days: dates;
# ticks: numbers as time; wide: large values that updates do not send.
$source->safe_psql('postgres', <<'SQL');
CREATE TABLE keyed (id int, at timestamptz NOT NULL, v float8, PRIMARY KEY (id, at));
CREATE TABLE moved (id int PRIMARY KEY, at timestamptz NOT NULL, v float8);
CREATE TABLE "full" (id int, at timestamp NOT NULL, v float8, note json);
ALTER TABLE "full" REPLICA IDENTITY FULL;
CREATE TABLE extra (id int, at timestamptz NOT NULL, v float8, PRIMARY KEY (id, at));
CREATE TABLE days (id int, day date, v float8, PRIMARY KEY (day, id));
CREATE TABLE ticks (id int, tick bigint, v float8, PRIMARY KEY (id, tick));
CREATE TABLE wide (id int, at timestamptz NOT NULL, v float8, body text, PRIMARY KEY (id, at));
ALTER TABLE wide ALTER body SET STORAGE EXTERNAL;
INSERT INTO keyed SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 1000) i;
INSERT INTO moved SELECT i, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 1000) i;
INSERT INTO "full" SELECT i % 5, '2026-01-01'::timestamp + i / 2 * interval '6 hour', i % 3, json_build_object('a', i % 3) FROM generate_series(1, 400) i, generate_series(1, 2);
INSERT INTO extra SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 1000) i;
INSERT INTO days SELECT i % 7, '2026-01-01'::date + i / 7, i FROM generate_series(1, 700) i;
INSERT INTO ticks SELECT i % 7, i / 7, i FROM generate_series(1, 700) i;
INSERT INTO wide SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 day', i, repeat('w' || i, 2000) FROM generate_series(1, 60) i;
SQL
$target->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
CREATE TABLE keyed (id int, at timestamptz NOT NULL, v float8, PRIMARY KEY (id, at));
CREATE TABLE moved (id int, at timestamptz NOT NULL, v float8, PRIMARY KEY (id, at));
CREATE TABLE "full" (id int, at timestamp NOT NULL, v float8, note json);
CREATE TABLE extra (mine text DEFAULT 'mine', v float8, at timestamptz NOT NULL, gone int, id int, PRIMARY KEY (id, at));
ALTER TABLE extra DROP gone;
CREATE TABLE days (id int, day date, v float8, PRIMARY KEY (day, id));
CREATE TABLE ticks (id int, tick bigint, v float8, PRIMARY KEY (id, tick));
CREATE TABLE wide (id int, at timestamptz NOT NULL, v float8, body text, PRIMARY KEY (id, at));
SELECT create_hypertable(t, by_range('at', interval '10 days')) FROM unnest('{keyed,moved,"full",extra,wide}'::regclass[]) t;
SELECT add_dimension('extra', by_hash('id', 2));
SELECT create_hypertable('days', by_range('day', interval '10 days'));
SELECT create_hypertable('ticks', by_range('tick', 20::bigint));
SQL

my @tables = qw(public.keyed public.moved public.full public.extra public.days public.ticks public.wide);
create_connector($target, 'postgres', 'c', conninfo($source));
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'copied');

# The second time the rows are in the columnstore, some of the source's rows are new, and times go on.
sub change
{
	my ($round) = @_;
	my $away = 300 * $round;
	$source->safe_psql('postgres', <<"SQL");
UPDATE keyed SET v = -v WHERE v BETWEEN 10 AND 15;
UPDATE keyed SET at = at + interval '$away days' WHERE v BETWEEN 100 AND 200;
UPDATE keyed SET id = id + 100, v = 0.5 WHERE v BETWEEN 300 AND 310;
DELETE FROM keyed WHERE v BETWEEN 400 AND 420;
UPDATE moved SET v = -v WHERE id BETWEEN 10 AND 15;
UPDATE moved SET at = at + interval '$away days' WHERE id BETWEEN 100 AND 200;
UPDATE moved SET id = id + 10000 * $round, at = at + interval '1 hour' WHERE id BETWEEN 300 AND 310;
DELETE FROM moved WHERE id BETWEEN 400 + $round * 30 AND 420 + $round * 30;
DELETE FROM "full" WHERE ctid IN (SELECT min(ctid) FROM "full" WHERE id = 1 GROUP BY at, v, note::text);
UPDATE "full" SET v = 10 * $round WHERE ctid IN (SELECT min(ctid) FROM "full" WHERE id = 2 GROUP BY at, v, note::text);
UPDATE "full" SET at = at + interval '$away days' WHERE id = 3 AND v = 1;
UPDATE extra SET at = at + interval '$away days', v = v + 0.5 WHERE v BETWEEN 100 AND 200;
UPDATE extra SET id = id + 7 WHERE v BETWEEN 300 AND 350;
UPDATE extra SET v = -v WHERE v BETWEEN 10 AND 15;
DELETE FROM extra WHERE v BETWEEN 400 AND 420;
UPDATE days SET v = -v WHERE day IN ('2026-01-05', '2026-03-05');
UPDATE days SET day = day + $away WHERE id = 3;
DELETE FROM days WHERE day = '2026-02-0$round';
UPDATE ticks SET v = -v WHERE tick BETWEEN 10 AND 12;
UPDATE ticks SET tick = tick + $away WHERE id = 3;
DELETE FROM ticks WHERE tick = 50 + $round;
UPDATE wide SET v = -v WHERE id = 1;
UPDATE wide SET at = at + interval '$away days' WHERE id = 2;
BEGIN;
INSERT INTO keyed SELECT 50, '2026-01-01'::timestamptz + i * interval '1 day' + interval '$round second', i FROM generate_series(1, 40) i;
UPDATE keyed SET at = at + interval '30 days' WHERE id = 50 AND v > 20;
DELETE FROM keyed WHERE id = 50 AND v < 5;
INSERT INTO moved SELECT 20000 * $round + i, '2026-01-01'::timestamptz + i * interval '1 day', i FROM generate_series(1, 40) i;
UPDATE moved SET at = at + interval '30 days' WHERE id > 20000 AND v > 20;
COMMIT;
SQL
	wait_caught_up($source, $target, 'c');
	return;
}

change(1);
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'after changes');
rows_are_in_chunks($target, $_) for 'public.keyed', 'public.moved', 'public."full"', 'public.extra';

$target->safe_psql('postgres', <<'SQL');
UPDATE extra SET mine = 'kept';
SET client_min_messages = error;
ALTER TABLE keyed SET (timescaledb.compress, timescaledb.compress_segmentby = 'id', timescaledb.compress_orderby = 'at');
ALTER TABLE moved SET (timescaledb.compress, timescaledb.compress_orderby = 'at');
ALTER TABLE "full" SET (timescaledb.compress, timescaledb.compress_segmentby = 'id', timescaledb.compress_orderby = 'at');
ALTER TABLE extra SET (timescaledb.compress, timescaledb.compress_segmentby = 'id', timescaledb.compress_orderby = 'at');
ALTER TABLE days SET (timescaledb.compress, timescaledb.compress_segmentby = 'id', timescaledb.compress_orderby = 'day');
ALTER TABLE ticks SET (timescaledb.compress, timescaledb.compress_segmentby = 'id', timescaledb.compress_orderby = 'tick');
ALTER TABLE wide SET (timescaledb.compress, timescaledb.compress_segmentby = 'id', timescaledb.compress_orderby = 'at');
SELECT count(compress_chunk(format('%I.%I', chunk_schema, chunk_name))) FROM timescaledb_information.chunks WHERE hypertable_schema = 'public';
SQL
my $all = $target->safe_psql('postgres', 'SELECT count(*) FROM timescaledb_information.chunks');

# One old row: what is not concerned stays in the columnstore.
sub partial_chunks
{
	my ($table) = @_;
	return $target->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM _timescaledb_catalog.chunk c JOIN _timescaledb_catalog.hypertable h ON h.id = c.hypertable_id
WHERE h.table_name = '$table' AND c.status & 8 <> 0
SQL
}
for my $table (qw(keyed moved full))
{
	$source->safe_psql('postgres', qq{UPDATE "$table" SET v = 77 WHERE ctid = (SELECT min(ctid) FROM "$table" WHERE at > '2026-01-15')});
	wait_caught_up($source, $target, 'c');
	is(partial_chunks($table), '1', "an update of one row of $table took rows of one chunk out of the columnstore");
}

change(2);
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'after changes of rows in the columnstore');
is($target->safe_psql('postgres', 'SELECT count(DISTINCT mine) FROM extra'), '1', "rows that went to another chunk kept the target's own column");
cmp_ok(compressed_chunks($target, 'public.keyed'), '>', 0, 'chunks are still in the columnstore');

# All rows are compared with a new copy, where they are.
$target->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
SELECT count(compress_chunk(c, true)) FROM show_chunks('keyed') c;
SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
UPDATE keyed SET v = v + 1 WHERE at BETWEEN '2026-01-05' AND '2026-01-06';
DELETE FROM keyed WHERE at BETWEEN '2026-01-07' AND '2026-01-08';
INSERT INTO keyed VALUES (1000, '2026-01-09', 0);
SQL
$target->safe_psql('postgres', q{SELECT livesync.resync_table('c', 'public.keyed')});
poll($target, 'postgres', q{SELECT count(*) FROM livesync.events WHERE event = 'table_resynced'}, '1');
same_tables($source, 'postgres', $target, 'postgres', ['public.keyed'], 'copied again');

# 0 and -0 are equal, but not the same: where no row is the same, an equal one is taken.
$target->safe_psql('postgres', 'SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0; UPDATE "full" SET v = -v WHERE v = 0 AND id = 4');
$source->safe_psql('postgres', 'UPDATE "full" SET v = 5 WHERE v = 0 AND ctid IN (SELECT max(ctid) FROM "full" GROUP BY id, at, v, note::text)');
$source->safe_psql('postgres', 'DELETE FROM "full" WHERE v = 0');
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.full'], 'rows that were only equal');

$source->safe_psql('postgres', 'TRUNCATE keyed, moved, "full", days');
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'after TRUNCATE');

is( $target->safe_psql('postgres', <<'SQL'), '', 'no change missed its row or had to be applied alone');
SELECT source_table, insert_exists, update_missing, delete_missing, replayed_batches, errors FROM livesync.stats
WHERE insert_exists + update_missing + delete_missing + replayed_batches + errors > 0
SQL
check_logs($source, $target);
done_testing();
