# A copy worker that was held up must not write what it read long ago.
#
# A chunk has been read, its connection stalls, and meanwhile the table starts over: it left the
# publication and came back, is published in another way, was rewritten.  Rows have changed and gone in
# between, without events.  When the worker goes on, its old rows must not come over, or beside, the new
# ones.  Nor may everybody wait for it.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(
	source_conf => 'autovacuum = off',
	target_conf => "livesync.chunk_size = '8kB'");

# Without an index at the target nothing but the workers' own care keeps old rows out.
my @tables = qw(reentered reentered_bare refiltered rewritten rewritten_bare);
for my $table (@tables)
{
	$source->safe_psql('postgres', "CREATE TABLE $table (id int PRIMARY KEY, v text, pad text DEFAULT repeat('x', 400));"
		  . "INSERT INTO $table SELECT i, 'old' FROM generate_series(1, 60) i");
	$target->safe_psql('postgres', "CREATE TABLE $table (id int, v text, pad text" . ($table =~ /bare/ ? ')' : ', PRIMARY KEY (id))'));
	$source->safe_psql('postgres', "CREATE PUBLICATION p_$table FOR TABLE $table");
}
$source->safe_psql('postgres', "CREATE TABLE other (id int PRIMARY KEY); ALTER PUBLICATION p_$_ ADD TABLE other") for 'reentered';

sub start_and_hold
{
	my ($place, @held) = @_;
	failpoint($target, map { "$place/public.$_=wait" } @held);
	create_connector($target, 'postgres', "c_$_", conninfo($source), publications => ["p_$_"], copy_workers => 2) for @held;
	for my $table (@held)
	{
		poll($target, 'postgres', "SELECT count(*) > 0 FROM livesync.copy_activity() a JOIN livesync.synced_table t ON t.id = a.table_id "
			  . "JOIN pg_stat_activity s ON s.pid = a.pid WHERE t.source_name = '$table' AND s.query = 'failpoint $place'");
	}
	return;
}

# No event tells of these.
sub change_unseen
{
	my ($table) = @_;
	$source->safe_psql('postgres', "UPDATE $table SET v = 'new' WHERE id % 2 = 0; DELETE FROM $table WHERE id % 3 = 0; INSERT INTO $table VALUES (1001, 'new')");
	return;
}

# --- the table leaves and comes back, once the worker has read, once it has written -----------

for my $place (qw(chunk_locked chunk_loaded))
{
	my @now = $place eq 'chunk_locked' ? qw(reentered refiltered) : qw(reentered_bare);
	start_and_hold($place, @now);
	for my $table (@now)
	{
		$source->safe_psql('postgres', $table eq 'refiltered'
			? "ALTER PUBLICATION p_$table SET TABLE $table (id, v)"
			: "ALTER PUBLICATION p_$table DROP TABLE $table");
		poll($target, 'postgres', $table eq 'refiltered'
			? "SELECT count(*) > 0 FROM livesync.events WHERE event = 'table_restarted' AND connector = 'c_$table'"
			: "SELECT count(*) = 0 FROM livesync.tables WHERE source_table = 'public.$table'");
		pass("nobody waits for a worker held at $place: $table");
		change_unseen($table);
		$source->safe_psql('postgres', "ALTER PUBLICATION p_$table ADD TABLE $table") if $table ne 'refiltered';
	}
	clear_failpoints($target);
	for my $table (@now)
	{
		poll($target, 'postgres', "SELECT count(*) > 0 FROM livesync.tables WHERE source_table = 'public.$table'");
		wait_sync($source, $target, "c_$table");
		same_tables($source, 'postgres', $target, 'postgres',
			[ { source => "public.$table", $table eq 'refiltered' ? (columns => [ 'id', 'v' ]) : () } ]);
	}
}

# --- another worker starts the table over -----------------------------------------------------

# Two workers have written a chunk each when the table is rewritten.  One of them dies; who takes over
# its chunk finds the table rewritten, and the other one is still there.
start_and_hold('chunk_loaded', qw(rewritten rewritten_bare));
failpoint_reached($target, 'postgres', 'chunk_loaded', 4);
change_unseen($_) for qw(rewritten rewritten_bare);
$source->safe_psql('postgres', 'VACUUM FULL rewritten');
$source->safe_psql('postgres', 'VACUUM FULL rewritten_bare');
my $victims = $target->safe_psql('postgres', 'SELECT count(pg_terminate_backend(pid)) FROM (SELECT min(pid) AS pid FROM livesync.copy_activity() GROUP BY connector_id HAVING count(*) > 1) x');
is($victims, 2, 'a worker of each has died');
poll($target, 'postgres', q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'livesync copy' AND wait_event_type = 'Lock'});
pass('who starts the table over waits for who is writing');
$source->safe_psql('postgres', 'INSERT INTO other VALUES (1)');
wait_caught_up($source, $target, "c_$_") for qw(reentered rewritten rewritten_bare);
clear_failpoints($target);
for my $table (qw(rewritten rewritten_bare))
{
	wait_sync($source, $target, "c_$table");
	same_tables($source, 'postgres', $target, 'postgres', ["public.$table"]);
}

# --- and they stream -------------------------------------------------------------------------

$source->safe_psql('postgres', "UPDATE $_ SET v = v || '!' WHERE id % 5 = 0; DELETE FROM $_ WHERE id % 7 = 0") for @tables;
wait_caught_up($source, $target, "c_$_") for @tables;
same_tables($source, 'postgres', $target, 'postgres',
	[ map { { source => "public.$_", columns => [ 'id', 'v' ] } } @tables ]);

check_logs($source, $target);
done_testing();
