# Tables without a key are copied by one snapshot; each change is in it, or is applied after it, never both.
#
# Rows cannot be told apart here, so nothing would put right a change that is applied to rows which hold
# it already, or a row that comes twice.  Changes are kept from before the snapshot on, and those of
# transactions that the snapshot saw are skipped.  When the connection that holds the snapshot is lost, the
# parts that are still to be read would be of another time: the table starts over, emptied.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(
	source_conf => "autovacuum = off\nlogical_decoding_work_mem = 64kB",
	target_conf => "livesync.chunk_size = '8kB'");

# Rows are doubles of each other: what is applied twice, or to the wrong number of rows, is seen.
my @tables = qw(changed lost lost_at_once);
for my $table (@tables)
{
	for my $node ($source, $target)
	{
		$node->safe_psql('postgres', "CREATE TABLE $table (k int, v text, n numeric, pad text DEFAULT repeat('x', 300)); ALTER TABLE $table REPLICA IDENTITY FULL");
	}
	$source->safe_psql('postgres', "INSERT INTO $table SELECT i % 50, CASE WHEN i % 3 > 0 THEN 'v' END, i % 2 FROM generate_series(1, 200) i");
}
$source->safe_psql('postgres', 'CREATE TABLE other (id int PRIMARY KEY)');

# Inserts, updates and deletes of one of several equal rows, in a savepoint and not; each with rows of its own.
sub change
{
	my ($s, $table, $number) = @_;
	my $of = "(SELECT min(ctid) FROM $table WHERE k = %s)";
	my $sql = "INSERT INTO $table VALUES (%d, 'new', 1.0), (%d, 'new', 1.00), (1, 'v', 1);"
	  . "UPDATE $table SET v = 'u$number' WHERE ctid = $of;"
	  . "DELETE FROM $table WHERE ctid = $of;"
	  . "SAVEPOINT s; UPDATE $table SET n = n + 1 WHERE k = %d; RELEASE s; SAVEPOINT s; DELETE FROM $table WHERE k = %d; ROLLBACK TO s;";
	return $s->query_safe(sprintf($sql, 100 + $number, 100 + $number, $number, $number, 10 + $number, 10 + $number));
}

my $s = session($source, 'postgres', 'changes');
my $x = session($source, 'postgres', 'long');

sub commit_change
{
	$s->query_safe('BEGIN');
	change($s, @_);
	$s->query_safe('COMMIT');
	return;
}

# --- changes around the snapshot -------------------------------------------------------------

# The spool has begun, the snapshot is still to be taken.
failpoint($target, 'gate_passed/public.changed=wait', 'planned/public.changed=wait', 'chunk_committed/public.changed=wait');
create_connector($target, 'postgres', 'c_changed', conninfo($source), tables => ['public.changed'], copy_workers => 1);
failpoint_reached($target, 'postgres', 'gate_passed');
commit_change('changed', 1);
# One has begun before the snapshot, and ends after it; large enough to be sent in pieces.  The snapshot tells of it
# by the id of the whole, not by that of its savepoints.
$x->query_safe('BEGIN; INSERT INTO other VALUES (1)');
change($x, 'changed', 2);
$x->query_safe(q{INSERT INTO changed SELECT 200 + i % 5, 'large', 1 FROM generate_series(1, 500) i});
wait_caught_up($source, $target, 'c_changed');
is($target->safe_psql('postgres', "SELECT spooled_changes > 0 FROM livesync.tables WHERE source_table = 'public.changed'"),
	't', 'a change that the snapshot will see is kept');

failpoint($target, 'planned/public.changed=wait', 'chunk_committed/public.changed=wait');
failpoint_reached($target, 'postgres', 'planned');
is($target->safe_psql('postgres', "SELECT mode, exported IS NOT NULL FROM livesync.synced_table WHERE source_name = 'changed'"),
	'snapshot|t', 'the snapshot is there');
commit_change('changed', 3);
$x->query_safe('COMMIT');

failpoint($target, 'chunk_committed/public.changed=wait');
failpoint_reached($target, 'postgres', 'chunk_committed');
commit_change('changed', 4);
$source->safe_psql('postgres', 'UPDATE changed SET v = NULL WHERE k IN (20, 21)');

clear_failpoints($target);
wait_sync($source, $target, 'c_changed');
same_tables($source, 'postgres', $target, 'postgres', ['public.changed'],
	'each change is in the snapshot or applied after it');
is($target->safe_psql('postgres', "SELECT count(*) FROM livesync.events WHERE event IN ('table_restarted', 'table_failed')"), 0,
	'in one go');
is($target->safe_psql('postgres', "SELECT update_missing, delete_missing, insert_exists FROM livesync.stats WHERE source_table = 'public.changed'"), '0|0|0',
	'without conflicts');
poll($source, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name ~ '^livesync'");
pass('the snapshot is let go');
poll($source, 'postgres', 'SELECT sum(stream_txns) > 0 FROM pg_stat_replication_slots');

# --- its connection is lost ------------------------------------------------------------------

# Once in the middle of the copy, once before the first part is read.
failpoint($target, 'chunk_committed/public.lost=wait', 'planned/public.lost_at_once=wait');
create_connector($target, 'postgres', "c_$_", conninfo($source), tables => ["public.$_"], copy_workers => 1) for qw(lost lost_at_once);
failpoint_reached($target, 'postgres', 'chunk_committed');
failpoint_reached($target, 'postgres', 'planned');
is($source->safe_psql('postgres', "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name ~ '^livesync_c_lost'"),
	2, 'the connections that hold the snapshots are cut');
commit_change($_, 1) for qw(lost lost_at_once);
$source->safe_psql('postgres', "DELETE FROM $_ WHERE k = 30") for qw(lost lost_at_once);
clear_failpoints($target);
for my $table (qw(lost lost_at_once))
{
	wait_sync($source, $target, "c_$table");
	same_tables($source, 'postgres', $target, 'postgres', ["public.$table"], "the table starts over, emptied: $table");
	like($target->safe_psql('postgres', "SELECT detail FROM livesync.events WHERE event = 'table_restarted' AND source_table = 'public.$table'"),
		qr/snapshot of the copy was lost/, 'an event says why');
}

commit_change($_, 5) for @tables;
wait_caught_up($source, $target, "c_$_") for @tables;
same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } @tables ]);

$_->quit for $s, $x;
check_logs($source, $target);
done_testing();
