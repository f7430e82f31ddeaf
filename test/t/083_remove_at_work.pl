# A table that a copy worker is busy with can be removed at once.
#
# The connector worker needs the table's row for that, and a copy worker holds it while it builds an index, or replays
# a long spool: minutes, in which nothing would be received for any other table.  So that worker is stopped.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }

at_source(<<'SQL');
CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE waits (id int PRIMARY KEY, v text);
CREATE TABLE loads (id int PRIMARY KEY, v text);
INSERT INTO waits SELECT i, 'first' FROM generate_series(1, 100) i;
INSERT INTO loads SELECT i, 'first' FROM generate_series(1, 100) i;
SQL
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.other', 'public.waits' ]);
wait_sync($source, $target, 'c');

# Held there by a failpoint, the worker stays until it is stopped.
sub is_removed_at_once
{
	my ($table, $place) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	failpoint_reached($target, 'postgres', $place);
	at_target("SELECT livesync.remove_table('c', 'public.$table')");
	poll($target, 'postgres', "SELECT count(*) = 0 FROM livesync.tables WHERE source_table = 'public.$table'");
	at_source('INSERT INTO other SELECT coalesce(max(id), 0) + 1 FROM other');
	wait_caught_up($source, $target, 'c');
	poll($target, 'postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'failpoint %'});
	pass("a table that is removed at $place: its worker is stopped");
	same_tables($source, 'postgres', $target, 'postgres', ['public.other'], 'and others stream on');
	clear_failpoints($target);
	return;
}

# --- a long spool ------------------------------------------------------------------------------

at_target("SELECT livesync.pause_table('c', 'public.waits')");
wait_state($target, 'postgres', 'c', 'public.waits', 'paused');
at_source(q{INSERT INTO waits SELECT i, 'second' FROM generate_series(1001, 9000) i});
my $lsn = source_lsn($source);
poll($source, 'postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots");
failpoint($target, 'drain_segment/public.waits=wait');
at_target("SELECT livesync.resume_table('c', 'public.waits')");
is_removed_at_once('waits', 'drain_segment');

# --- the end of a load -------------------------------------------------------------------------

for my $place ('load_finished', 'key_index_wanted', 'key_index_built')
{
	at_target('DROP TABLE IF EXISTS loads');
	failpoint($target, "$place/public.loads=wait");
	at_target("SELECT livesync.add_table('c', 'public.loads')");
	is_removed_at_once('loads', $place);
}

# --- and they come back ------------------------------------------------------------------------

at_target('DROP TABLE waits, loads');
at_target("SELECT livesync.add_table('c', 'public.$_')") for 'waits', 'loads';
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.other', 'public.waits', 'public.loads' ], 'what was removed can be added again');

check_logs($source, $target);
done_testing();
