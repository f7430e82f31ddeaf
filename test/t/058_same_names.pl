# What is proved: connectors of one name do not share what they make at a source, whether they are in two databases,
# made at the same moment, or made while the slot and the publication of a dropped one are still to be removed.  Each has a slot and
# a publication of its own, and the removal takes only those of the one that was dropped.
#
# Why it matters: names come from scripts, which give each database the same one, and drop and make connectors
# again.  A sweeper that knows publications by their names takes the new connector's away: its tables leave the
# publication, and what the source writes from then on is missing without an error.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_db => 'other', target_conf => "livesync.retry_delay = '1s'\n");
my $db    = 'postgres';
my $other = 'other';

$source->safe_psql($db, <<'SQL');
CREATE TABLE one (id int PRIMARY KEY);
CREATE TABLE two (id int PRIMARY KEY);
INSERT INTO one SELECT generate_series(1, 10);
INSERT INTO two SELECT generate_series(1, 20);
SQL
$target->safe_psql($db, 'CREATE EXTENSION IF NOT EXISTS pg_livesync');

sub publications { return $source->safe_psql($db, q{SELECT string_agg(pubname, ' ' ORDER BY pubname) FROM pg_publication}) }
sub slots { return $source->safe_psql($db, 'SELECT count(*) FROM pg_replication_slots') }

sub own_publication
{
	my ($in) = @_;
	return $target->safe_psql($in, q{SELECT own_publication FROM livesync.connector WHERE name = 'c'});
}

# Nothing of what the source writes now may be missing.
sub streams
{
	my ($in, $table, $name) = @_;
	$source->safe_psql($db, "INSERT INTO $table SELECT max(id) + 1 FROM $table");
	wait_sync($source, $target, 'c', target_db => $in);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return same_tables($source, $db, $target, $in, ["public.$table"], $name);
}

sub swept
{
	my ($in) = @_;
	return poll($target, $in, 'SELECT count(*) = 0 FROM livesync.cleanup');
}

# --- two databases -----------------------------------------------------------------------------

# Neither call can look at the source, so both choose the same name for their publication.
create_connector($target, $db, 'c', conninfo($source), tables => ['public.one'], enabled => 'false');
create_connector($target, $other, 'c', conninfo($source), tables => ['public.two'], enabled => 'false');
is(own_publication($db), own_publication($other), 'two connectors of one name would make the same publication');
$target->safe_psql($_, q{SELECT livesync.resume_connector('c')}) for $db, $other;
wait_sync($source, $target, 'c', target_db => $_) for $db, $other;
is(publications(), 'livesync_c livesync_c_2', 'each has one of its own');
isnt(own_publication($db), own_publication($other), 'and knows its name');
streams($db, 'one', 'the first has its table');
streams($other, 'two', 'the second has its own');

$target->safe_psql($other, q{SELECT livesync.pause_connector('c'); SELECT livesync.drop_connector('c')});
swept($other);
is(publications(), own_publication($db), 'what is dropped takes its own publication with it');
streams($db, 'one', 'and the other connector goes on');

# One that has never run has made nothing, whatever it would have called it.
create_connector($target, $other, 'c', conninfo($source), tables => ['public.two'], enabled => 'false');
$target->safe_psql($other, "UPDATE livesync.connector SET own_publication = '" . own_publication($db) . "'");
$target->safe_psql($other, q{SELECT livesync.drop_connector('c')});
swept($other);
is(publications(), own_publication($db), 'a connector that never ran takes nothing with it');
streams($db, 'one', 'nor from the one that runs');

# --- dropped and made again ----------------------------------------------------------------------

# The removal waits, as it does while a source is away.
failpoint($target, 'source_sweep=wait');
$target->safe_psql($db, q{SELECT livesync.pause_connector('c'); SELECT livesync.drop_connector('c', force => true)});
failpoint_reached($target, $db, 'source_sweep');
my $old = publications();
create_connector($target, $db, 'c', conninfo($source), tables => [ 'public.one', 'public.two' ]);
wait_sync($source, $target, 'c');
is(slots(), 2, 'a connector that is made before the old one is removed has a slot of its own');
isnt(own_publication($db), $old, 'and a publication of its own');

# As after a crash between the removal and its record: elsewhere the name is free meanwhile.
$source->safe_psql($db, "DROP PUBLICATION $old");
create_connector($target, $other, 'c', conninfo($source), tables => ['public.two'], enabled => 'false');
$target->safe_psql($other, q{SELECT livesync.resume_connector('c')});
wait_sync($source, $target, 'c', target_db => $other);
is(own_publication($other), $old, 'a connector of another database takes the name that has become free');
clear_failpoints($target);
swept($db);
is(slots(), 2, 'the old slot goes, the new ones stay');
is(publications(), join(' ', sort map { own_publication($_) } $db, $other), 'and so do the publications');
streams($db, 'one', 'nothing is missing: a table that both had');
streams($db, 'two', 'nor in one that only the new connector has');
streams($other, 'two', 'nor in the other database');
$target->safe_psql($other, q{SELECT livesync.pause_connector('c'); SELECT livesync.drop_connector('c')});
swept($other);

# --- a comment of somebody else --------------------------------------------------------------------

$source->safe_psql($db, 'COMMENT ON PUBLICATION ' . own_publication($db) . " IS 'ours now'");
my $kept = own_publication($db);
$target->safe_psql($db, q{SELECT livesync.pause_connector('c'); SELECT livesync.resume_connector('c')});
streams($db, 'one', 'a publication that lost its mark is used on');
$target->safe_psql($db, q{SELECT livesync.pause_connector('c'); SELECT livesync.drop_connector('c')});
swept($db);
is(publications(), $kept, 'but not dropped any more');
is(slots(), 0, 'no slot is left');
$source->safe_psql($db, "DROP PUBLICATION $kept");

# --- the longest name ------------------------------------------------------------------------------

my $long = 'n' x 40;
create_connector($target, $db, $long, conninfo($source), tables => ['public.one']);
wait_sync($source, $target, $long);
is($source->safe_psql($db, 'SELECT count(*) FROM pg_replication_slots WHERE length(slot_name) < 64'), 1,
	'a name of forty characters is short enough for its slot');
$target->safe_psql($db, "SELECT livesync.pause_connector('$long'); SELECT livesync.drop_connector('$long')");
swept($db);

check_logs($source, $target);
done_testing();
