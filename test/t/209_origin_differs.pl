# What is proved: with track_commit_timestamp on at the target, an update or delete of the stream that meets a row which
# somebody else has written is counted as update_origin_differs or delete_origin_differs: found by key and without
# one, as a set and one by one, where the key changes too.  Rows of the copy, of what caught up, of the stream itself and
# those that were there before the table streamed do not count.  Without that setting nothing is counted or asked.
#
# Why it matters: the source wins, so these rows lose what was written here.  A count with false alarms in it (each
# first change of a copied row) would be of no use.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my ($source, $target) = pair(target_conf => "track_commit_timestamp = on\nlivesync.chunk_size = '8kB'\n");
my @tables = map { "public.$_" } qw(keyed keyless numbered watched parted paused resynced);

sub source { return $source->safe_psql('postgres', $_[0]); }
sub target { return $target->safe_psql('postgres', $_[0]); }
sub each_table { my ($sql) = @_; return join '; ', map { $sql =~ s/\bt\b/$_/gr } @tables }

sub counts
{
	my ($expected, $what, $where) = @_;
	$where //= 'true';
	# counters are written when the stream is idle
	poll($target, 'postgres', "SELECT sum(update_origin_differs) || ' ' || sum(delete_origin_differs) FROM livesync.stats WHERE $where", $expected);
	pass($what);
	return;
}

for my $node ($source, $target)
{
	my $always = $node == $target;
	my $number = $always ? 'n int GENERATED ALWAYS AS IDENTITY' : 'n int';
	$node->safe_psql('postgres', <<"SQL");
CREATE TABLE keyed (id int PRIMARY KEY, v text);
CREATE TABLE keyless (id int, v text);
CREATE TABLE numbered (id int, v text, $number);
CREATE TABLE watched (id int PRIMARY KEY, v text);
CREATE TABLE parted (id int PRIMARY KEY, v text)@{[ $always ? ' PARTITION BY RANGE (id)' : '' ]};
CREATE TABLE paused (id int PRIMARY KEY, v text);
CREATE TABLE resynced (id int PRIMARY KEY, v text);
CREATE TABLE filled (id int PRIMARY KEY, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
ALTER TABLE numbered REPLICA IDENTITY FULL;
INSERT INTO filled SELECT i, 'old' FROM generate_series(1, 20) i;
SQL
}
source(each_table(q{INSERT INTO t SELECT i, 'old' FROM generate_series(1, 20) i}) . '; UPDATE numbered SET n = id');
target(<<'SQL');
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (1000);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION watch();
ALTER TABLE watched ENABLE ALWAYS TRIGGER watch;
SQL

# --- nobody else -------------------------------------------------------------------------------

create_connector($target, 'postgres', 'c', conninfo($source), tables => \@tables);
create_connector($target, 'postgres', 'f', conninfo($source), tables => ['public.filled'], copy_data => 'false');
wait_sync($source, $target, 'c');
wait_sync($source, $target, 'f');
source(each_table(q{UPDATE t SET v = 'new' WHERE id <= 10; DELETE FROM t WHERE id = 20}));
source(q{UPDATE filled SET v = 'new' WHERE id = 1; DELETE FROM filled WHERE id = 20});
wait_caught_up($source, $target, 'c');
wait_caught_up($source, $target, 'f');

target(q{SELECT livesync.pause_table('c', 'public.paused')});
wait_state($target, 'postgres', 'c', 'public.paused', 'paused');
source(q{UPDATE paused SET v = 'parked' WHERE id < 15});
poll($target, 'postgres', q{SELECT spooled_changes > 0 FROM livesync.tables WHERE source_table = 'public.paused'});
target(q{SELECT livesync.resume_table('c', 'public.paused')});
wait_sync($source, $target, 'c');
# a resync mends what somebody else wrote
target(q{UPDATE resynced SET v = 'damaged' WHERE id < 15});
target(q{SELECT livesync.resync_table('c', 'public.resynced')});
poll($target, 'postgres', q{SELECT count(*) = 1 FROM livesync.events WHERE event = 'table_resynced'});
wait_sync($source, $target, 'c');
source(each_table(q{UPDATE t SET v = 'newer'; UPDATE t SET v = 'newest' WHERE id = 1; DELETE FROM t WHERE id = 19}));
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables);
poll($target, 'postgres', q{SELECT sum(deletes) = 15 FROM livesync.stats WHERE connector IN ('c', 'f')});
counts('0 0', 'rows of the copy, of the stream, of what caught up or was there before');

# --- somebody else -----------------------------------------------------------------------------

sub write_here { target(each_table(q{UPDATE t SET v = v WHERE id IN (1, 2, 3)})); return; }

my $from = -s $target->logfile;
write_here();
source(each_table(q{UPDATE t SET v = 'won' WHERE id IN (1, 2, 5); DELETE FROM t WHERE id IN (3, 6)}));
wait_caught_up($source, $target, 'c');
for my $table (@tables)
{
	my $where = "source_table = '$table'";
	counts('2 1', "$table: two rows written here are updated, one is deleted", $where);
}
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'the source wins');
source(each_table(q{UPDATE t SET v = 'again' WHERE id IN (1, 2, 5)}));
wait_caught_up($source, $target, 'c');
counts('14 7', 'a row counts once, then it is ours again');
my ($line) = slurp_file($target->logfile, $from) =~ /(LOG:\s+conflicts in table "public.keyed".*)/;
like($line // '', qr/since .* 0 update_missing, .* [12] update_origin_differs, [01] delete_origin_differs/, 'it is told in the server log');

# a set that fails is applied one by one, and counted once
target(q{UPDATE keyed SET v = v WHERE id IN (7, 8); INSERT INTO keyed VALUES (100, 'here')});
source(q{BEGIN; UPDATE keyed SET v = 'one' WHERE id = 7; INSERT INTO keyed VALUES (100, 'there'); DELETE FROM keyed WHERE id = 8; COMMIT});
wait_caught_up($source, $target, 'c');
counts('3 2', 'one by one', q{source_table = 'public.keyed' AND replayed_batches > 0});

# another key: with a row in the way, which is another conflict
target(q{ALTER TABLE keyed ADD mine text; UPDATE keyed SET mine = 'mine' WHERE id = 9; INSERT INTO keyed VALUES (109, 'here')});
source(q{UPDATE keyed SET id = 109 WHERE id = 9});
wait_caught_up($source, $target, 'c');
counts('4 2', 'a row that moves to another key', q{source_table = 'public.keyed' AND update_exists = 1});
target('ALTER TABLE keyed DROP mine');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'the source wins again');

# --- the setting is off ------------------------------------------------------------------------

$target->append_conf('postgresql.conf', 'track_commit_timestamp = off');
$target->restart;
write_here();
source(each_table(q{UPDATE t SET v = 'unknown' WHERE id IN (1, 2, 3)}) . q{; DELETE FROM keyed WHERE id = 1});
wait_caught_up($source, $target, 'c');
poll($target, 'postgres', q{SELECT sum(deletes) = 30 FROM livesync.stats WHERE connector = 'c'});
counts('16 8', 'without the setting nothing is counted');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'and all is applied');
is(target('SELECT sum(errors) FROM livesync.stats'), '0', 'without a failure of a table');

check_logs($source, $target);
done_testing();
