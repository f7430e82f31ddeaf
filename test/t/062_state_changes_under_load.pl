# A table's state is changed by the connector worker between two source transactions, and the change decides where the
# very next message goes: nowhere (queued), to the spool (copying), to the target (streaming).  A worker that receives one
# message with what it knew before loses it for good, without an error: a spool of a table that streams is never read, and
# what is discarded after the copy began may be in no chunk.
#
# Here the worker is held right after each of these commits while the source goes on committing, so that the first
# messages after it are certain to be there.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

# A parked change that is left when its table streams is lost, whatever the rows look like: a later change of the same
# row would hide it.
sub nothing_is_left
{
	my ($what) = @_;
	is( $target->safe_psql('postgres', <<'SQL'), '0', "no change is left behind in a spool: $what");
SELECT count(*) FROM livesync.spool s JOIN livesync.synced_table t ON t.id = s.table_id WHERE t.state = 'streaming'
SQL
	return;
}

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE keyed (id int PRIMARY KEY, v text);
CREATE TABLE keyless (id int, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyed SELECT i, 'old' FROM generate_series(1, 100) i;
INSERT INTO keyless SELECT i, 'old' FROM generate_series(1, 100) i;
SQL

for my $table (qw(keyed keyless))
{
	failpoint($target, "after_flip/public.$table=wait");
	create_connector($target, 'postgres', $table, conninfo($source), tables => ["public.$table"]);
	failpoint_reached($target, 'postgres', 'after_flip');
	wait_state($target, 'postgres', $table, "public.$table", 'streaming');
	$source->safe_psql('postgres', <<"SQL");
INSERT INTO $table SELECT i, 'after' FROM generate_series(101, 110) i;
UPDATE $table SET v = 'after' WHERE id <= 10;
DELETE FROM $table WHERE id BETWEEN 11 AND 20;
SQL
	clear_failpoints($target);
	wait_sync($source, $target, $table);
	same_tables($source, 'postgres', $target, 'postgres', ["public.$table"],
		"$table: changes that came right after the flip are applied");
	nothing_is_left($table);
}

check_logs($source, $target);
done_testing();
