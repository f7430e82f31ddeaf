# How fast a table is copied can be changed while it is: more workers, fewer, and a limit of their rate.
#
# Who must be careful with a source wants to try a little at first and may have to slow down at once;
# both without losing what was copied.  And the times that the ledger and the views give of chunks
# are those of the chunks, not of the worker that copied them.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.chunk_size = '64kB'\nmax_worker_processes = 16");

$source->safe_psql('postgres', "CREATE TABLE t (id int PRIMARY KEY, pad text); INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 20000) i");

failpoint($target, 'chunk_committed=wait');
create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.t'], copy_workers => 4);
failpoint_reached($target, 'postgres', 'chunk_committed', 4);

# Fewer: those that are too many end when they have done what they were at.
$target->safe_psql('postgres', "SELECT livesync.alter_connector('c', copy_workers => 1)");
$target->safe_psql('postgres', "SELECT livesync.refresh_connector('c')");
failpoint($target, 'chunk_loaded=wait');
poll($target, 'postgres', 'SELECT count(*) FROM livesync.copy_activity()', 1);
failpoint_reached($target, 'postgres', 'chunk_loaded', 1);
is($target->safe_psql('postgres', 'SELECT chunks_done FROM livesync.tables'), 4, 'four chunks are done and one is under way');

# More: they begin at once.
$target->safe_psql('postgres', "SELECT livesync.alter_connector('c', copy_workers => 3)");
failpoint_reached($target, 'postgres', 'chunk_loaded', 3);
is($target->safe_psql('postgres', 'SELECT count(*) FROM livesync.copy_activity()'), 3, 'three copy now');

# A limit for all of them together.
$target->safe_psql('postgres', "ALTER SYSTEM SET livesync.copy_rate = '32kB'");
$target->reload;
clear_failpoints($target);
poll($target, 'postgres', "SELECT waiting_for FROM livesync.tables", 'the limit livesync.copy_rate');
pass('the view says what it waits for');
# Chunks that had begun before do not know the limit yet.
my $known = $target->safe_psql('postgres', 'SELECT chunks_done + 3 FROM livesync.tables');
poll($target, 'postgres', "SELECT chunks_done >= $known + 3 FROM livesync.tables");
my $rate = $target->safe_psql('postgres', <<"SQL");
SELECT sum(bytes) FILTER (WHERE place > $known) / 1024.0 / extract(epoch FROM max(done_at) - max(done_at) FILTER (WHERE place = $known))
FROM (SELECT *, row_number() OVER (ORDER BY done_at) AS place FROM livesync.chunk WHERE done_at IS NOT NULL) c
SQL
cmp_ok($rate, '<', 64, "it came at $rate kB in a second");
$target->safe_psql('postgres', 'ALTER SYSTEM RESET livesync.copy_rate');
$target->reload;
poll($target, 'postgres', 'SELECT livesync.wait_for_sync(timeout => \'1 s\')');
is($target->safe_psql('postgres', "SELECT count(*) > 20 FROM livesync.chunk WHERE started_at > (SELECT min(done_at) FROM livesync.chunk)"), 't', 'each chunk has its own beginning');

clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.t']);
check_logs($source, $target);
done_testing();
