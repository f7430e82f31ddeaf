# What is proved: a table is copied in many chunks by several workers at once, while its rows are
# inserted and updated before, during and after, and in the end both sides are equal.  A table without
# a key (pgbench_history) is copied from one snapshot, by several workers as well.
#
# Why it matters: the copy reads each chunk in a snapshot of its own, so versions of different moments
# come together, and only the changes parked meanwhile make one state of them.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my @tables = map { "public.pgbench_$_" } qw(accounts branches history tellers);

my ($source, $target) = pair(target_conf => "livesync.chunk_size = '64kB'\n");

run_pgbench($source, 'postgres', '-i', '-q', '-s', 1);
$source->safe_psql('postgres', <<'SQL');
ALTER TABLE pgbench_history REPLICA IDENTITY FULL;
INSERT INTO pgbench_history SELECT 1, 1, n, 0, now(), 'from the beginning' FROM generate_series(1, 5000) n;
SQL
run_pgbench($source, 'postgres', '-c', 2, '-t', 500);

my $load = start_pgbench($source, 'postgres', '-c', 2, '-R', 200, '-T', 3600);

failpoint($target, 'chunk_loaded/public.pgbench_accounts=wait');
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ grep { !/history/ } @tables ], copy_workers => 4);
failpoint_reached($target, 'postgres', 'chunk_loaded', 4);

is( $target->safe_psql('postgres', <<'SQL'),
SELECT count(DISTINCT a.pid), count(DISTINCT a.chunk), min(a.activity), count(p.pid)
FROM livesync.copy_activity() a
JOIN livesync.synced_table t ON t.id = a.table_id
JOIN pg_stat_activity p ON p.pid = a.pid AND p.backend_type = 'livesync copy'
WHERE t.source_name = 'pgbench_accounts'
SQL
	'4|4|loading|4',
	'four processes copy four chunks of one table at the same time');

cmp_ok(
	$target->safe_psql('postgres',
		q{SELECT chunks_total FROM livesync.tables WHERE source_table = 'public.pgbench_accounts'}),
	'>=', 200, 'the table has hundreds of chunks');

# The load goes on while the chunks are held, so the catching up has something to do.
poll($target, 'postgres',
	q{SELECT spooled_changes > 100 FROM livesync.tables WHERE source_table = 'public.pgbench_accounts'});

# Now the snapshot of the table without a key, by several workers as well.  (Which of two tables is copied first is a matter of
# chance: who writes to them at the source is waited for.)
failpoint($target, 'chunk_loaded/public.pgbench_history=wait');
$target->safe_psql('postgres', "SELECT livesync.add_table('c', 'public.pgbench_history')");
failpoint_reached($target, 'postgres', 'chunk_loaded', 2);
is( $target->safe_psql('postgres', 'SELECT source_name, mode FROM livesync.synced_table ORDER BY 1'),
	"pgbench_accounts|keyed\npgbench_branches|keyed\npgbench_history|snapshot\npgbench_tellers|keyed",
	'the table without a key is copied from one snapshot, the others by key');
cmp_ok(
	$target->safe_psql('postgres', <<'SQL'), '>=', 2, 'several processes copy from one snapshot');
SELECT count(DISTINCT a.pid) FROM livesync.copy_activity() a
JOIN livesync.synced_table t ON t.id = a.table_id WHERE t.source_name = 'pgbench_history'
SQL

clear_failpoints($target);
wait_sync($source, $target, 'c');
my $during = $source->safe_psql('postgres', 'SELECT count(*) FROM pgbench_history');

# After: the same load goes on into tables that stream.
poll($source, 'postgres', "SELECT count(*) > $during + 100 FROM pgbench_history");
stop_pgbench($load);
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables);

is( $target->safe_psql('postgres', <<'SQL'),
SELECT count(*) FROM livesync.synced_table t
WHERE t.generation <> 1 OR t.chunks_total <> (SELECT count(done_at) FROM livesync.chunk c
	WHERE c.table_id = t.id AND c.generation = t.generation)
SQL
	'0', 'each chunk was copied, and nothing started over');

check_logs($source, $target);
done_testing();
