# A hypertable is wanted, and TimescaleDB is not in the database, or the table cannot become one.
#
# The table must say so and how to go on, the others must stream, and once it is mended a retry must do:
# a target that is silently a plain table instead would be found out when it has grown too big to change.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE metric (id int, at timestamptz NOT NULL, v float8, PRIMARY KEY (id, at));
CREATE TABLE plain (id int PRIMARY KEY);
INSERT INTO metric SELECT i, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 50) i;
INSERT INTO plain VALUES (1);
SQL

# The table plain is there already, and is no hypertable.
$target->safe_psql('postgres', 'CREATE TABLE plain (id int PRIMARY KEY)');
$target->safe_psql('postgres', q{ALTER TABLE livesync.synced_table ALTER hypertable_column SET DEFAULT 'at'});
create_connector($target, 'postgres', 'c', conninfo($source));
wait_state($target, 'postgres', 'c', "public.$_", 'failed') for qw(metric plain);

like($target->safe_psql('postgres', q{SELECT last_error, hint FROM livesync.tables WHERE source_table = 'public.metric'}),
	qr/shall be a hypertable, but the extension timescaledb is not in this database\|Call CREATE EXTENSION timescaledb/,
	'the missing extension is named');
is($target->safe_psql('postgres', q{SELECT to_regclass('public.metric')}), '', 'and no plain table was left behind');
like($target->safe_psql('postgres', q{SELECT last_error, hint FROM livesync.tables WHERE source_table = 'public.plain'}),
	qr/exists and is not a hypertable\|Make it one by create_hypertable/,
	'a table that is there is not made another one');

$target->safe_psql('postgres', 'UPDATE livesync.synced_table SET hypertable_column = NULL');
retry_table($target, 'postgres', 'c', "public.$_") for qw(metric plain);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [qw(public.metric public.plain)]);
check_logs($source, $target);
done_testing();
