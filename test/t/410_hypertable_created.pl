# The connector creates hypertables, as add_table() wants them: by a column, with an interval.
#
# A row of a hypertable that is written past TimescaleDB ends in the root table and is never seen again,
# without an error: so after the copy and after streaming no row may be there.  A unique index of a
# hypertable must contain the time column; where the source's key does not, the key index gets it.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Timescale;
use Test::More;

my ($source, $target) = timescale_pair();
my @tables = qw(public.metric public.reading public.daily);

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE first (id int PRIMARY KEY);
CREATE TABLE metric (id int, at timestamptz NOT NULL, v float8, PRIMARY KEY (id, at));
CREATE TABLE reading (id int PRIMARY KEY, at timestamp, v text);
CREATE TABLE daily (day date NOT NULL, v int);
ALTER TABLE daily REPLICA IDENTITY FULL;
INSERT INTO metric SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 1000) i;
INSERT INTO reading SELECT i, '2026-01-01'::timestamp + i * interval '1 hour', 'r' || i FROM generate_series(1, 1000) i;
INSERT INTO daily SELECT '2026-01-01'::date + i / 2, i FROM generate_series(1, 200) i;
SQL

create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.first']);
$target->safe_psql('postgres', <<'SQL');
SELECT livesync.add_table('c', 'public.metric', hypertable_column => 'at', chunk_interval => '10 days');
SELECT livesync.add_table('c', 'public.reading', hypertable_column => 'at');
SELECT livesync.add_table('c', 'public.daily', hypertable_column => 'day');
SQL
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'copied');
rows_are_in_chunks($target, $_) for @tables;

is( $target->safe_psql('postgres', q{SELECT hypertable_name, column_name, time_interval FROM timescaledb_information.dimensions ORDER BY 1}),
	"daily|day|7 days\nmetric|at|10 days\nreading|at|7 days",
	'the hypertables are by the columns wanted, with the interval wanted or the default');
is( $target->safe_psql('postgres', q{SELECT pg_get_indexdef(indexrelid) ~ '\(id, at\)' FROM pg_index WHERE indrelid = 'reading'::regclass AND indisprimary}),
	't', 'a key without the time column got it');
is( $target->safe_psql('postgres', q{SELECT string_agg(source_table, ',') FROM livesync.events WHERE event = 'key_without_time'}),
	'public.reading', 'and that is said');

$source->safe_psql('postgres', <<'SQL');
INSERT INTO metric SELECT 9, '2026-06-01'::timestamptz + i * interval '1 day', i FROM generate_series(1, 50) i;
DELETE FROM metric WHERE id = 3;
INSERT INTO reading SELECT i, '2027-01-01'::timestamp, 'r' || i FROM generate_series(1001, 1100) i;
DELETE FROM reading WHERE id % 11 = 0;
SQL
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'after changes');
rows_are_in_chunks($target, $_) for @tables;
$_->safe_psql('postgres', 'CREATE TABLE later (id int, at timestamptz NOT NULL)') for $source, $target;
$source->safe_psql('postgres', 'ALTER TABLE later ADD PRIMARY KEY (id)');
$target->safe_psql('postgres', q{SELECT create_hypertable('later', by_range('at'))});
is( $target->safe_psql('postgres', 'SELECT hint FROM livesync.check_source(' . quote_literal(conninfo($source)) . q{, tables => '{public.later}') WHERE detail ~ 'hypertable'}),
	'Better give the source table a unique index on its key and "at", and REPLICA IDENTITY USING INDEX.',
	'check_source says what a key without the time costs');
check_logs($source, $target);
done_testing();
