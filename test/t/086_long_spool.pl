# What is parked for long is replayed in a time that grows with its length only, also while old snapshots keep what was
# replayed before from being cleaned up.
#
# A queue in a table gets slower with each row that leaves it: whoever looks for the next one from the beginning
# passes all those that are dead, and an open transaction of anybody keeps them.  A table that was paused for a
# day would take another day to come back.  So the spool's segments are read one behind the other, and go together.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(append_to_file);
use Test::More;

# Each transaction of the source becomes a segment of its own.
my $segments = 2000;
my ($source, $target) = pair(target_conf => "livesync.batch_delay = 0\nautovacuum = off");

sub at_target { return $target->safe_psql('postgres', $_[0]) }

$source->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 100) i');
create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.t']);
wait_sync($source, $target, 'c');

my $script = PostgreSQL::Test::Utils::tempdir() . '/update.sql';
append_to_file($script, "\\set i random(1, 100)\nUPDATE t SET n = n + 1 WHERE id = :i;\n");

my $reader = session($target, 'postgres', 'reader');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t');

# The workers tell both together.
my $deleted = q{SELECT n_tup_del FROM pg_stat_all_tables WHERE relid = 'livesync.spool'::regclass};
my $touched = q{SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read FROM pg_statio_all_tables WHERE relid = 'livesync.spool'::regclass};
for my $time ('once', 'and again, behind what is dead')
{
	at_target("SELECT livesync.pause_table('c', 'public.t')");
	wait_state($target, 'postgres', 'c', 'public.t', 'paused');
	run_pgbench($source, 'postgres', '-n', '-c', 2, '-t', $segments / 2, '-f', $script);
	poll($target, 'postgres', "SELECT spooled_changes >= $segments FROM livesync.tables");
	my $parked = at_target('SELECT count(*) FROM livesync.spool');
	cmp_ok($parked, '>=', $segments, 'a long spool');

	my $gone   = at_target($deleted);
	my $before = at_target($touched);
	at_target("SELECT livesync.resume_table('c', 'public.t')");
	poll($target, 'postgres', "SELECT ($deleted) >= $gone + $parked");
	my $each = (at_target($touched) - $before) / $parked;
	cmp_ok($each, '<', 20, "it is replayed $time: $each pages are touched for each segment");
	wait_sync($source, $target, 'c');
}
$reader->query_safe('COMMIT');
$reader->quit;
same_tables($source, 'postgres', $target, 'postgres', ['public.t']);

check_logs($source, $target);
done_testing();
