# Rows that move while a hypertable is copied, by several workers: they come twice, or not at all.
#
# Where the source's key lacks the time column, the two versions of a row do not meet in any unique index of the
# hypertable: both are there, at two times, until the changes that were made meanwhile are applied, and these do not
# say which times they were.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Timescale;
use Test::More;

my ($source, $target) = timescale_pair(source_conf => 'autovacuum = off', target_conf => q{livesync.chunk_size = '128kB'});

# In the later pages is room for what moves out of the first ones.
$source->safe_psql('postgres', $_) for <<'SQL', 'VACUUM metric', 'VACUUM reading';
CREATE TABLE metric (id int, at timestamptz NOT NULL, v int, pad text, PRIMARY KEY (id, at));
CREATE TABLE reading (id int PRIMARY KEY, at timestamptz NOT NULL, v int, pad text);
INSERT INTO metric SELECT i, '2026-01-01'::timestamptz + i * interval '1 hour', i, repeat('x', 200) FROM generate_series(1, 3000) i;
INSERT INTO reading TABLE metric;
DELETE FROM metric WHERE v > 2000 AND v % 5 = 0;
DELETE FROM reading WHERE v > 2000 AND v % 5 = 0;
SQL
$target->safe_psql('postgres', <<'SQL');
CREATE TABLE metric (id int, at timestamptz NOT NULL, v int, pad text, PRIMARY KEY (id, at));
CREATE TABLE reading (id int, at timestamptz NOT NULL, v int, pad text, PRIMARY KEY (id, at));
SELECT create_hypertable('metric', by_range('at', interval '10 days')), create_hypertable('reading', by_range('at', interval '10 days'));
SQL

failpoint($target, 'chunk_committed/public.reading=wait');
create_connector($target, 'postgres', 'c', conninfo($source), copy_workers => 2);
failpoint_reached($target, 'postgres', 'chunk_committed', 2);
$source->safe_psql('postgres', <<'SQL');
UPDATE metric SET v = v + 10000 WHERE id <= 100;
UPDATE reading SET at = at + interval '200 days', v = v + 10000 WHERE id <= 60;
UPDATE reading SET v = v + 10000 WHERE id BETWEEN 61 AND 100;
SQL
clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [qw(public.metric public.reading)], 'each row is there once');
rows_are_in_chunks($target, $_) for qw(public.metric public.reading);
cmp_ok($target->safe_psql('postgres', q{SELECT min(chunks_total) FROM livesync.tables}), '>', 3, 'they were copied in several chunks');
cmp_ok($target->safe_psql('postgres', q{SELECT rows_copied - (SELECT count(*) FROM reading) FROM livesync.tables WHERE source_table = 'public.reading'}),
	'>', 0, 'rows came twice');
is($target->safe_psql('postgres', q{SELECT count(*) FROM livesync.events WHERE event IN ('table_failed', 'table_restarted')}), '0', 'no table failed or started over');
check_logs($source, $target);
done_testing();
