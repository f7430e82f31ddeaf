# The copy of a table waits for locks on that table only.
#
# Each chunk looks at the publication while it holds its table.  If it waited there for another table
# that somebody has locked, then that somebody, wanting this table next, would get a deadlock error
# because of us; and one table under VACUUM FULL would stop the copies of all others.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(source_conf => "deadlock_timeout = 100ms");

for my $node ($source, $target)
{
	$node->safe_psql('postgres', 'CREATE TABLE copied (id int PRIMARY KEY); CREATE TABLE snapshot (id int); CREATE TABLE filtered (id int PRIMARY KEY)');
}
$source->safe_psql('postgres', <<'SQL');
ALTER TABLE snapshot REPLICA IDENTITY FULL;
INSERT INTO copied SELECT generate_series(1, 100);
INSERT INTO snapshot SELECT generate_series(1, 100);
INSERT INTO filtered SELECT generate_series(1, 100);
CREATE PUBLICATION p FOR TABLE filtered WHERE (id > 50);
SQL

create_connector($target, 'postgres', 'c', conninfo($source), publications => ['p']);
wait_sync($source, $target, 'c');

# The new tables are known, and their first chunk is not yet begun.
failpoint($target, 'gate_passed=wait');
$source->safe_psql('postgres', 'ALTER PUBLICATION p ADD TABLE copied, snapshot');
failpoint_reached($target, 'postgres', 'gate_passed');

my $user = session($source, 'postgres', 'user');
$user->query_safe('BEGIN; LOCK TABLE filtered IN ACCESS EXCLUSIVE MODE');
clear_failpoints($target);
wait_state($target, 'postgres', 'c', "public.$_", 'streaming') for qw(copied snapshot);
pass('tables are copied while another one is locked');
is($target->safe_psql('postgres', "SELECT source_table, event, detail FROM livesync.events WHERE event IN ('table_failed', 'table_restarted')"),
	'', 'none failed or started over');
$user->query_safe('COMMIT');

wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.copied', 'public.snapshot', { source => 'public.filtered', where => 'id > 50' } ]);
check_logs($source, $target);
done_testing();
