# What is proved: a root that is published under its own name is copied whole although a partition of it was detached, written to
# and attached again while the copy began: between the position from which its changes are kept and the look at its partitions.
#
# Why it matters: the copy has the rows of now, but the spool has changes of before the partition was away, and none of
# those that were made meanwhile.  Replayed, the former values are put over the later ones and deleted rows come back;
# every later look at the partitions finds them as they were when the copy was planned, and nothing ever says so.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';

sub change { return $source->safe_psql($db, join('; ', @_)) }
sub ask { return $target->safe_psql($db, $_[0]) }
sub restarts { return ask("SELECT string_agg(detail, ' ') FROM livesync.events WHERE source_table = 'public.$_[0]' AND event = 'table_restarted'") }

sub make_root
{
	my ($table, $key) = @_;
	return ("CREATE TABLE $table (id int NOT NULL, v text) PARTITION BY RANGE (id)",
		$key ? "ALTER TABLE $table ADD PRIMARY KEY (id)" : "ALTER TABLE $table REPLICA IDENTITY FULL");
}

sub attach { return "ALTER TABLE $_[0] ATTACH PARTITION $_[1] FOR VALUES FROM (0) TO (1000)" }

# What the stream tells, what it does not tell, and what it tells again: each to other rows, and to rows of before.
sub away
{
	my ($table, $part) = @_;
	return ("UPDATE $table SET v = 'before' WHERE id <= 40", "INSERT INTO $table SELECT i, 'before' FROM generate_series(101, 110) i",
		"ALTER TABLE $table DETACH PARTITION $part",
		"UPDATE $part SET v = 'away' WHERE id % 2 = 0", "DELETE FROM $part WHERE id % 5 = 0", "INSERT INTO $part SELECT i, 'away' FROM generate_series(201, 210) i",
		attach($table, $part),
		"UPDATE $table SET v = 'after' WHERE id % 7 = 0", "DELETE FROM $table WHERE id = 3");
}

for my $table (qw(root behind again keyless))
{
	my $full = $table eq 'keyless';
	change(make_root($table, !$full),
		"CREATE TABLE ${table}_1 PARTITION OF $table FOR VALUES FROM (0) TO (1000)",
		$full ? "ALTER TABLE ${table}_1 REPLICA IDENTITY FULL" : (),
		"INSERT INTO $table SELECT i, 'first' FROM generate_series(1, 100) i");
}
change(make_root('bare', 1), 'CREATE TABLE bare_1 (id int NOT NULL, v text)', q{INSERT INTO bare_1 SELECT i, 'first' FROM generate_series(1, 100) i});
change('CREATE TABLE busy (id int PRIMARY KEY, n int)', 'INSERT INTO busy VALUES (1, 0)');
change("CREATE PUBLICATION p FOR TABLE root, keyless, bare WITH (publish_via_partition_root = true)",
	"CREATE PUBLICATION q FOR TABLE again WITH (publish_via_partition_root = true)",
	"CREATE PUBLICATION r FOR TABLE behind, busy WITH (publish_via_partition_root = true)");

# --- while a first copy waits for the writers of before ----------------------------------------

failpoint($target, 'gate_passed=wait');
create_connector($target, $db, 'c', conninfo($source), publications => ['p']);
wait_state($target, $db, 'c', "public.$_", 'copying') for qw(root keyless bare);
failpoint_reached($target, $db, 'gate_passed');
change(away("$_", "${_}_1")) for qw(root keyless);
# one that came first, and went, and came again: its link was never seen
change(attach('bare', 'bare_1'), away('bare', 'bare_1'));
clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, $db, $target, $db, ["public.$_"], "a partition that was away while a copy began: $_") for qw(root keyless bare);
is(restarts($_), "A partition was attached at the source during the copy: public.${_}_1.", "it started over, once: $_") for qw(root keyless bare);

# --- while a table is copied again -------------------------------------------------------------

create_connector($target, $db, 'd', conninfo($source), publications => ['q']);
wait_sync($source, $target, 'd');
failpoint($target, 'gate_passed/public.again=wait');
ask(q{SELECT livesync.resync_table('d', 'public.again')});
failpoint_reached($target, $db, 'gate_passed');
change(away('again', 'again_1'));
clear_failpoints($target);
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.events WHERE source_table = 'public.again' AND event = 'table_resynced'});
wait_sync($source, $target, 'd');
same_tables($source, $db, $target, $db, ['public.again'], 'a partition that was away while the table was copied again');

# --- before the copy begins, when the stream is behind -----------------------------------------

# The copy could begin at a position of before it all, when all of it has happened: enough comes first for a look at the source
# to be over.
failpoint($target, 'slot_created=wait');
create_connector($target, $db, 'e', conninfo($source), publications => ['r']);
failpoint_reached($target, $db, 'slot_created');
change('DO $$ BEGIN FOR i IN 1 .. 30000 LOOP UPDATE busy SET n = i; COMMIT; END LOOP; END $$', away('behind', 'behind_1'));
clear_failpoints($target);
wait_sync($source, $target, 'e');
same_tables($source, $db, $target, $db, [qw(public.behind public.busy)], 'a partition that was away before the copy began, in what the stream still had to bring');
is(restarts('behind'), '', 'what the stream has passed costs no other beginning');

check_logs($source, $target);
done_testing();
