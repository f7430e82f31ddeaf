# The copy into hypertables that are not just empty tables: with chunks in the columnstore, with rows that come
# twice, with a continuous aggregate, with a trigger.
#
# TimescaleDB tells a continuous aggregate which ranges changed where it plans a statement or handles a COPY, and
# not at all in a COPY into a table with a BEFORE ROW trigger: the aggregate would stay as it was before the sync.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Timescale;
use Test::More;

my ($source, $target) = timescale_pair();
needs_told_aggregates($target);
my @tables = qw(public.plain public.triggered public.keyless public.filled);

for my $node ($source, $target)
{
	$node->safe_psql('postgres', <<'SQL');
CREATE TABLE plain (id int, at timestamptz NOT NULL, v int, PRIMARY KEY (id, at));
CREATE TABLE triggered (id int, at timestamptz NOT NULL, v int, PRIMARY KEY (id, at));
CREATE TABLE keyless (id int, at timestamptz NOT NULL, v int);
CREATE TABLE filled (id int, at timestamptz NOT NULL, v int, PRIMARY KEY (id, at));
SQL
}
$source->safe_psql('postgres', <<'SQL');
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO plain SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 2000) i;
INSERT INTO triggered TABLE plain;
INSERT INTO keyless TABLE plain;
INSERT INTO filled TABLE plain;
SQL

# Each has an aggregate that was refreshed before the sync; filled has old rows, in the columnstore.
sub make_aggregate
{
	my ($table) = @_;
	$target->safe_psql('postgres', $_) for "CREATE MATERIALIZED VIEW ${table}_daily WITH (timescaledb.continuous, timescaledb.materialized_only = true)
		AS SELECT time_bucket('1 day', at) AS day, count(*), sum(v) FROM $table GROUP BY 1 WITH NO DATA",
	  "CREATE MATERIALIZED VIEW ${table}_live WITH (timescaledb.continuous, timescaledb.materialized_only = false)
		AS SELECT time_bucket('1 day', at) AS day, count(*), sum(v) FROM $table GROUP BY 1 WITH NO DATA";
	return;
}

sub refresh
{
	my ($table) = @_;
	$target->safe_psql('postgres', "CALL refresh_continuous_aggregate('${table}_$_', NULL, '2028-01-01')") for qw(daily live);
	return;
}

# As a policy does it: only what was said to have changed is computed anew.
sub aggregates_are_right
{
	my ($table, $when) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	refresh($table);
	my $right = $source->safe_psql('postgres', qq{SELECT md5(string_agg(x::text, ' ' ORDER BY x)) FROM (SELECT at::date AS day, count(*), sum(v) FROM $table GROUP BY 1) x});
	for my $kind (qw(daily live))
	{
		is($target->safe_psql('postgres', qq{SELECT md5(string_agg(x::text, ' ' ORDER BY x)) FROM (SELECT day::date, count, sum FROM ${table}_$kind) x}),
			$right, "the aggregate ${table}_$kind is right $when");
	}
	return;
}

$target->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
SELECT create_hypertable(t, by_range('at', interval '10 days')) FROM unnest('{plain,triggered,keyless,filled}'::regclass[]) t;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER nothing BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION nothing();
INSERT INTO filled SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', -i FROM generate_series(1, 500) i;
ALTER TABLE filled SET (timescaledb.compress, timescaledb.compress_segmentby = 'id', timescaledb.compress_orderby = 'at');
SELECT count(compress_chunk(c)) FROM show_chunks('filled') c;
SQL
for my $table (qw(plain triggered keyless filled))
{
	make_aggregate($table);
	refresh($table);
}

create_connector($target, 'postgres', 'c', conninfo($source), copy_workers => 2);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'copied');
for my $table (qw(plain triggered keyless filled))
{
	rows_are_in_chunks($target, "public.$table");
	aggregates_are_right($table, 'after the copy');
}
is($target->safe_psql('postgres', q{SELECT count(*) FROM livesync.events WHERE event IN ('table_failed', 'table_restarted')}), '0', 'no table failed or started over');

# Changes of ranges that the aggregates have computed, and of ranges behind them.
$source->safe_psql('postgres', <<"SQL") for qw(plain triggered keyless filled);
INSERT INTO $_ SELECT 7, '2026-01-01'::timestamptz + i * interval '1 day', i FROM generate_series(1, 400) i;
UPDATE $_ SET v = v + 1000 WHERE v BETWEEN 500 AND 520;
UPDATE $_ SET at = at + interval '100 days' WHERE v BETWEEN 900 AND 910;
DELETE FROM $_ WHERE v BETWEEN 100 AND 110;
SQL
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'after changes');
aggregates_are_right($_, 'after changes') for qw(plain triggered keyless filled);

$source->safe_psql('postgres', 'TRUNCATE plain; INSERT INTO plain TABLE filled');
wait_caught_up($source, $target, 'c');
aggregates_are_right('plain', 'after TRUNCATE');

check_logs($source, $target);
done_testing();
