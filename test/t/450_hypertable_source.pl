# Hypertables at the source are refused, and what is TimescaleDB's own there is left alone.
#
# The root of a hypertable can be published and never has a row: a copy would end well, without rows.  Its chunks are
# in a publication of all tables, too; made at the target, they would look like chunks there.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Timescale;
use Test::More;

my ($source, $target) = pair();
add_timescaledb($source, 'postgres', 'timescaledb');

$source->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
CREATE TABLE metric (id int, at timestamptz NOT NULL, PRIMARY KEY (id, at));
CREATE TABLE later (id int, at timestamptz NOT NULL, PRIMARY KEY (id, at));
CREATE TABLE plain (id int, at timestamptz NOT NULL, PRIMARY KEY (id, at));
SELECT create_hypertable('metric', by_range('at')), create_hypertable('later', by_range('at'));
INSERT INTO metric SELECT i, '2026-01-01'::timestamptz + i * interval '1 day' FROM generate_series(1, 30) i;
INSERT INTO plain SELECT i, '2026-01-01' FROM generate_series(1, 30) i;
SQL

is($target->safe_psql('postgres', 'SELECT source_table, kind, problems[1] FROM livesync.source_tables(' . quote_literal(conninfo($source)) . q{) WHERE source_table <> 'public.later'}),
	"public.metric|hypertable|not an ordinary table but a kind that cannot be published: hypertable\npublic.plain|table|",
	'source_tables says which tables are hypertables, and does not list their chunks');

create_connector($target, 'postgres', 'c', conninfo($source));
wait_state($target, 'postgres', 'c', 'public.plain', 'streaming');
wait_state($target, 'postgres', 'c', "public.$_", 'failed') for qw(metric later);
like($target->safe_psql('postgres', 'SELECT last_error, hint FROM livesync.tables WHERE source_table = $$public.metric$$'),
	qr/table "public.metric" is a hypertable at the source .*\|Take it out of the publication/, 'and why is said');
is($target->safe_psql('postgres', 'SELECT string_agg(source_table, $$ $$ ORDER BY source_table) FROM livesync.tables'),
	'public.later public.metric public.plain', 'nothing of its own is among the tables');
is($target->safe_psql('postgres', q{SELECT count(*) FROM pg_namespace WHERE nspname ~ '^_timescaledb'}), '0', 'or was made here');

# Changes of chunks come in the stream and belong to nobody.
$source->safe_psql('postgres', q{INSERT INTO metric SELECT i, now() FROM generate_series(100, 110) i; INSERT INTO plain VALUES (100, now())});
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.plain']);

check_logs($source, $target);
done_testing();
