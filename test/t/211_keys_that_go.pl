# A key that is dropped at the source and comes back, while the changes wait here or are not received yet.
#
# What waits in a spool is replayed by the key that its changes have: where they have none, rows are found as the source finds
# them, or the table is copied again, when its rows are of many moments.  Taken for keyed, such changes once read memory
# that nobody had written, and the target's server went down with the worker, again and again.
#
# With REPLICA IDENTITY FULL the changes do not even tell that there was no key, and a row beside the one that had its key would
# be written over it.  So a table whose primary key was dropped and added is copied again.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my @tables = qw(parked parked_full loading);

sub is_same
{
	my ($table, $name) = @_;
	wait_sync($source, $target, 'c');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return same_tables($source, 'postgres', $target, 'postgres', [$table], $name);
}

# What the source has sent so far is here: applied, or parked.
sub is_received
{
	my $lsn = source_lsn($source);
	return poll($target, 'postgres', "SELECT received_lsn >= '$lsn' FROM livesync.progress");
}

# Rows come while there is no key.
sub lose_key_for_a_while
{
	my ($table) = @_;
	$source->safe_psql('postgres', <<"SQL");
UPDATE $table SET v = 'before' WHERE id < 5;
ALTER TABLE $table DROP CONSTRAINT ${table}_pkey;
INSERT INTO $table SELECT i, 'without a key' FROM generate_series(1001, 1010) i;
ALTER TABLE $table ADD PRIMARY KEY (id);
UPDATE $table SET v = 'after' WHERE id % 2 = 0;
DELETE FROM $table WHERE id IN (3, 1003);
SQL
	return;
}

$source->safe_psql('postgres', "CREATE TABLE $_ (id int PRIMARY KEY, v text); INSERT INTO $_ SELECT i, 'first' FROM generate_series(1, 20) i") for @tables;
$source->safe_psql('postgres', 'ALTER TABLE parked_full REPLICA IDENTITY FULL');
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.parked', 'public.parked_full' ]);
wait_sync($source, $target, 'c');

# --- the rows are those of one moment --------------------------------------------------------
for my $table (qw(parked parked_full))
{
	$target->safe_psql('postgres', "SELECT livesync.pause_table('c', 'public.$table')");
	wait_state($target, 'postgres', 'c', "public.$table", 'paused');
	lose_key_for_a_while($table);
	is_received();
	$target->safe_psql('postgres', "SELECT livesync.resume_table('c', 'public.$table')");
	is_same("public.$table", "$table: a key that was away while the changes waited");
}
is($target->safe_psql('postgres', "SELECT count(*) FROM livesync.events WHERE event = 'table_restarted' AND source_table = 'public.parked'"), '0', 'for which nothing is copied again');

# --- the rows are still being copied -----------------------------------------------------------
failpoint($target, 'planned/public.loading=wait');
$target->safe_psql('postgres', "SELECT livesync.add_table('c', 'public.loading')");
failpoint_reached($target, 'postgres', 'planned');
lose_key_for_a_while('loading');
is_received();
clear_failpoints($target);
is_same('public.loading', 'a key that was away while the table was copied');
is($target->safe_psql('postgres', "SELECT count(*) > 0 FROM livesync.events WHERE event = 'table_restarted' AND source_table = 'public.loading'"), 't', 'which begins anew then');

# --- REPLICA IDENTITY FULL ------------------------------------------------------------------------
my %back = (
	again   => 'ADD CONSTRAINT again_key PRIMARY KEY (id)',
	another => 'ADD CONSTRAINT another_key PRIMARY KEY (k)',
	same    => undef);
for my $table (sort keys %back)
{
	$source->safe_psql('postgres', <<"SQL");
CREATE TABLE $table (id int CONSTRAINT ${table}_first PRIMARY KEY, k int NOT NULL, v text);
ALTER TABLE $table REPLICA IDENTITY FULL;
INSERT INTO $table SELECT i, i, 'first' FROM generate_series(1, 5) i;
SQL
	$target->safe_psql('postgres', "SELECT livesync.add_table('c', 'public.$table')");
}
wait_sync($source, $target, 'c');
$target->safe_psql('postgres', "SELECT livesync.refresh_connector('c')") for 1, 2;
$target->safe_psql('postgres', "SELECT livesync.pause_connector('c')");
for my $table (sort grep { defined $back{$_} } keys %back)
{
	$source->safe_psql('postgres', <<"SQL");
ALTER TABLE $table DROP CONSTRAINT ${table}_first;
INSERT INTO $table VALUES (1, 101, 'beside it');
DELETE FROM $table WHERE v = 'first' AND id = 1;
ALTER TABLE $table $back{$table};
UPDATE $table SET v = v || '!' WHERE id < 3;
SQL
}
# what looks alike
$source->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY same_first; ALTER TABLE same ALTER id TYPE bigint; UPDATE same SET v = id');
$target->safe_psql('postgres', "SELECT livesync.resume_connector('c')");
poll($target, 'postgres', "SELECT count(*) FROM livesync.events WHERE event = 'table_resynced' AND source_table = 'public.$_'", 1) for qw(again another);
is_same("public.$_", "FULL: a key that was away: $_") for sort keys %back;
$target->safe_psql('postgres', "SELECT livesync.refresh_connector('c')") for 1, 2;
is($target->safe_psql('postgres', "SELECT source_table, detail FROM livesync.events WHERE event = 'table_resync_wanted' AND source_table <> 'public.parked_full' ORDER BY 1"),
	join("\n", map { "public.$_|The primary key was dropped and added." } qw(again another)), 'only these are copied again, once');

check_logs($source, $target);
done_testing();
