# A table that the source rewrites while it is copied (ALTER TABLE, VACUUM FULL, CLUSTER) loses no rows.
#
# COPY takes its snapshot before its lock.  A chunk that had to wait for a rewrite would look with a
# snapshot from before at a table from after it: it gets no rows and no error, and when it is the last
# chunk nobody notices.  So a chunk locks first and then looks whether the table is the one that was
# planned.  An imported snapshot has the same hole: there the lock is taken before the snapshot is, and
# held until the last chunk has been read.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(
	source_conf => 'autovacuum = off',
	target_conf => "livesync.chunk_size = '8kB'");

my $waits_for_lock = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name ~ '^livesync_c_%s_'};

sub why_restarted
{
	my ($table) = @_;
	return $target->safe_psql('postgres',
		"SELECT string_agg(detail, ';' ORDER BY at) FROM livesync.events WHERE event = 'table_restarted' AND source_table = 'public.$table'");
}

for my $table (qw(altered vacuumed clustered full_before full_after other))
{
	my $key = $table =~ /full/ ? '' : ' PRIMARY KEY';
	for my $node ($source, $target)
	{
		$node->safe_psql('postgres', "CREATE TABLE $table (id int$key, n int, pad text DEFAULT repeat('x', 400));"
			  . "ALTER TABLE $table REPLICA IDENTITY " . ($key ? 'DEFAULT' : 'FULL'));
	}
	my $rows = $table eq 'altered' ? 10 : 100;
	$source->safe_psql('postgres', "INSERT INTO $table SELECT i, i FROM generate_series(1, $rows) i");
}
$_->safe_psql('postgres', <<'SQL') for $source, $target;
CREATE TABLE parts (id int PRIMARY KEY, n int, pad text DEFAULT repeat('x', 400)) PARTITION BY RANGE (id);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts2 (id int PRIMARY KEY, n int, pad text DEFAULT repeat('x', 400));
SQL
$source->safe_psql('postgres', 'INSERT INTO parts SELECT i, i FROM generate_series(1, 50) i; INSERT INTO parts2 SELECT i, i FROM generate_series(101, 150) i');
$target->safe_psql('postgres', 'ALTER TABLE parts ATTACH PARTITION parts2 FOR VALUES FROM (100) TO (200)');

create_connector($target, 'postgres', 'c_other', conninfo($source), tables => ['public.other']);
wait_sync($source, $target, 'c_other');

sub connector
{
	my ($table) = @_;
	create_connector($target, 'postgres', "c_$table", conninfo($source), tables => ["public.$table"], copy_workers => 1);
	return;
}

sub ends_equal
{
	my ($table) = @_;
	wait_sync($source, $target, "c_$table");
	$source->safe_psql('postgres', "UPDATE $table SET n = n + 1000 WHERE id % 5 = 0; DELETE FROM $table WHERE id % 11 = 0");
	wait_caught_up($source, $target, "c_$table");
	return same_tables($source, 'postgres', $target, 'postgres', ["public.$table"]);
}

# --- between two chunks ----------------------------------------------------------------------

failpoint($target, map { "chunk_committed/public.$_=wait" } qw(vacuumed clustered parts));
connector($_) for qw(vacuumed clustered parts);
failpoint_reached($target, 'postgres', 'chunk_committed', 3);
$source->safe_psql('postgres', "UPDATE $_ SET n = -n WHERE id % 3 = 0") for qw(vacuumed clustered);
$source->safe_psql('postgres', 'VACUUM FULL vacuumed');
$source->safe_psql('postgres', 'CLUSTER clustered USING clustered_pkey');
$source->safe_psql('postgres', "UPDATE $_ SET n = 2 * n WHERE id % 7 = 0") for qw(vacuumed clustered);
$source->safe_psql('postgres', 'ALTER TABLE parts ATTACH PARTITION parts2 FOR VALUES FROM (100) TO (200)');
clear_failpoints($target);
ends_equal($_) for qw(vacuumed clustered parts);
like(why_restarted($_), qr/rewrote/, "an event says why: $_") for qw(vacuumed clustered);
like(why_restarted('parts'), qr/partition was attached/, 'a partition with rows that was attached is copied');

# --- a chunk that waits, the only one --------------------------------------------------------

failpoint($target, 'planned/public.altered=wait');
connector('altered');
failpoint_reached($target, 'postgres', 'planned');
my $s = session($source, 'postgres', 'rewriter');
$s->query_safe('BEGIN; ALTER TABLE altered ALTER n TYPE bigint');
clear_failpoints($target);
poll($source, 'postgres', sprintf($waits_for_lock, 'altered'));
$source->safe_psql('postgres', 'UPDATE other SET n = n + 1');
wait_caught_up($source, $target, 'c_other');
wait_caught_up($source, $target, 'c_altered');
pass('the stream goes on while the chunk waits for the lock');
$s->query_safe('INSERT INTO altered VALUES (11, 11); COMMIT');
ends_equal('altered');
like(why_restarted('altered'), qr/rewrote/, 'an event says why: altered');

# --- one snapshot ----------------------------------------------------------------------------

# The export waits for the lock of the rewrite: the stream must not.
failpoint($target, 'gate_passed/public.full_before=wait');
connector('full_before');
failpoint_reached($target, 'postgres', 'gate_passed');
$source->safe_psql('postgres', 'UPDATE full_before SET n = n + 1 WHERE id < 10');
wait_caught_up($source, $target, 'c_full_before');
pass('the stream goes on while a plan is being made');
$s->query_safe('BEGIN; ALTER TABLE full_before ALTER n TYPE bigint');
clear_failpoints($target);
poll($source, 'postgres', sprintf($waits_for_lock, 'full_before'));
wait_caught_up($source, $target, 'c_full_before');
pass('the stream goes on while the export waits for the lock');
$s->query_safe('INSERT INTO full_before VALUES (101, 101); COMMIT');
ends_equal('full_before');

# Between export and import the rewrite has to wait, here until the copy has ended or given way.
failpoint($target, 'planned/public.full_after=wait');
connector('full_after');
failpoint_reached($target, 'postgres', 'planned');
start_query($s, 'ALTER TABLE full_after ALTER n TYPE bigint');
wait_event($source, 'rewriter', 'Lock');
clear_failpoints($target);
is(finish_query($s), '', 'a rewrite waits for the lock of the snapshot, and gets its turn');
ends_equal('full_after');
like(why_restarted('full_after'), qr/gave way/, 'an event says why: full_after');

$s->quit;
check_logs($source, $target);
done_testing();
