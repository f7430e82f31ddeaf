# What happens to a hypertable at the target while its changes stream: an ordinary table becomes one, chunks go into
# the columnstore and out of it, chunks are dropped, somebody writes a row of his own.
#
# A worker that goes on with its old idea of the table writes into the root, where no query finds the rows, or brings
# back what a retention policy has dropped.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Timescale;
use Test::More;

my ($source, $target) = timescale_pair();

for my $node ($source, $target)
{
	$node->safe_psql('postgres', <<'SQL');
CREATE TABLE metric (id int, at timestamptz NOT NULL, v int, PRIMARY KEY (id, at));
CREATE TABLE moved (id int PRIMARY KEY, at timestamptz NOT NULL, v int);
CREATE TABLE old (id int, at timestamptz NOT NULL, v int, PRIMARY KEY (id, at));
SQL
}
$source->safe_psql('postgres', <<'SQL');
INSERT INTO metric SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 1000) i;
INSERT INTO moved SELECT i, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 1000) i;
INSERT INTO old SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 1000) i;
SQL
$target->safe_psql('postgres', q{SELECT create_hypertable('old', by_range('at', interval '10 days'))});
create_connector($target, 'postgres', 'c', conninfo($source));
wait_sync($source, $target, 'c');

# Transactions that never end: new rows, changed values, changed times, deletes.
PostgreSQL::Test::Utils::append_to_file("$ENV{TESTDATADIR}/440.sql", <<'SQL');
\set id random(1, 1000)
\set day random(1, 40)
BEGIN;
INSERT INTO metric VALUES (random() * 100, '2026-01-01'::timestamptz + :day * interval '1 day' + random() * interval '1 day', :id) ON CONFLICT DO NOTHING;
UPDATE metric SET v = v + 1 WHERE id = :id % 5 AND at = '2026-01-01'::timestamptz + :id * interval '1 hour';
DELETE FROM metric WHERE v = :id AND id > 4;
UPDATE moved SET at = at + :day * interval '1 day', v = v + 1 WHERE id = :id;
INSERT INTO moved SELECT max(id) + 1, '2026-03-01', :id FROM moved;
DELETE FROM moved WHERE id = :id + 500;
END;
SQL
my $load = start_pgbench($source, 'postgres', '-f', "$ENV{TESTDATADIR}/440.sql", '-R', '100', '-T', '600');

# A step of somebody else: with changes before and after it.
sub meanwhile
{
	my (@statements) = @_;
	$target->safe_psql('postgres', "SET client_min_messages = error; $_") for @statements;
	wait_caught_up($source, $target, 'c');
	return;
}

# As policies do it: each chunk in a transaction of its own, and what TimescaleDB gives up now it does at the next run.
sub each_chunk
{
	my ($call, $table) = @_;
	return <<"SQL";
DO \$\$
DECLARE c regclass;
BEGIN
	FOR c IN SELECT show_chunks('$table') LOOP
		BEGIN PERFORM $call(c, true); EXCEPTION WHEN OTHERS THEN RAISE LOG 'given up: %', SQLERRM; END;
		COMMIT;
	END LOOP;
END \$\$
SQL
}

meanwhile(q{SELECT create_hypertable('metric', by_range('at', interval '10 days'), migrate_data => true)});
meanwhile(
	'ALTER TABLE moved DROP CONSTRAINT moved_pkey, ADD PRIMARY KEY (id, at)',
	q{SELECT create_hypertable('moved', by_range('at', interval '10 days'), migrate_data => true)});
meanwhile(
	q{ALTER TABLE metric SET (timescaledb.compress, timescaledb.compress_segmentby = 'id', timescaledb.compress_orderby = 'at')},
	each_chunk('compress_chunk', 'metric'));
meanwhile(
	q{ALTER TABLE moved SET (timescaledb.compress, timescaledb.compress_orderby = 'at')},
	each_chunk('compress_chunk', 'moved'));
meanwhile(each_chunk('compress_chunk', 'metric'));
meanwhile(each_chunk('decompress_chunk', 'metric'));
stop_pgbench($load);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [qw(public.metric public.moved)], 'after all that');
rows_are_in_chunks($target, $_) for qw(public.metric public.moved);
is( $target->safe_psql('postgres', 'SELECT source_table, insert_exists, update_missing, delete_missing FROM livesync.stats WHERE insert_exists + update_missing + delete_missing > 0'),
	'', 'and no row was missing where it should be');

# A retention policy: what it dropped does not come back.
$target->safe_psql('postgres', q{SELECT drop_chunks('old', '2026-01-20'::timestamptz)});
my $kept = $target->safe_psql('postgres', 'SELECT count(*), min(at) FROM old');
$source->safe_psql('postgres', <<'SQL');
UPDATE old SET v = v + 1 WHERE v BETWEEN 11 AND 20;
DELETE FROM old WHERE v BETWEEN 101 AND 105;
UPDATE old SET v = v + 1 WHERE v = 990;
SQL
wait_caught_up($source, $target, 'c');
is($target->safe_psql('postgres', 'SELECT count(*), min(at) FROM old'), $kept, 'dropped chunks stay dropped');
# Counts come a moment after the rows.
poll($target, 'postgres', q{SELECT update_missing, delete_missing, errors FROM livesync.stats WHERE source_table = 'public.old'}, '10|5|0');
pass('changes of dropped rows are counted, and no error');

# A set that fails is applied one by one: a row of ours is in the way, in the columnstore.
$target->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
INSERT INTO old VALUES (77, '2026-02-01', -1);
ALTER TABLE old SET (timescaledb.compress, timescaledb.compress_segmentby = 'id', timescaledb.compress_orderby = 'at');
SELECT count(compress_chunk(c)) FROM show_chunks('old') c;
SQL
$source->safe_psql('postgres', q{INSERT INTO old SELECT 77, '2026-02-01'::timestamptz + i * interval '1 hour', i FROM generate_series(0, 9) i});
wait_caught_up($source, $target, 'c');
poll($target, 'postgres', q{SELECT insert_exists, replayed_batches, errors FROM livesync.stats WHERE source_table = 'public.old'}, '1|1|0');
pass('a row in the way is overwritten, by the changes one by one');
same_tables($source, 'postgres', $target, 'postgres', [ { source => 'public.old', where => q{at >= '2026-02-01'} } ], 'and the rest is there');
check_logs($source, $target);
done_testing();
