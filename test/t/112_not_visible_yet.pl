# A row that has to be fetched from the source counts only when the source showed it with the change that asked for it.
#
# An update may leave a value out, so the row is fetched when the value cannot be trusted here.  But a commit that
# waits for a synchronous standby is sent to us long before anybody at the source can see it.  Whoever looks there
# meanwhile finds no row under a new key and takes it for deleted, or finds the row of before and takes it for the
# newest.  No other change would ever put that right.  So it is asked again until the change is visible.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

# Nobody is called so: a commit that is synchronous waits until it is cancelled.
my ($source, $target) = pair(source_conf => <<'CONF');
synchronous_standby_names = 'nobody'
synchronous_commit = local
CONF

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }

my @tables = qw(renamed mistrusted filtered);
my %where  = (filtered => ' WHERE (id < 100)');
for my $table (@tables)
{
	my $filter = $where{$table} // '';
	at_source(<<"SQL");
CREATE TABLE $table (id int PRIMARY KEY, v text, doc text);
ALTER TABLE $table ALTER doc SET STORAGE EXTERNAL;
INSERT INTO $table SELECT i, 'first', repeat(md5(i::text), 100) FROM generate_series(1, 10) i;
CREATE PUBLICATION p_$table FOR TABLE $table$filter;
SQL
}
# A row that was there before the copy: its values are nobody's.
at_target("CREATE TABLE mistrusted (id int PRIMARY KEY, v text, doc text); INSERT INTO mistrusted VALUES (3, 'old', 'old')");

# Two tables are being copied, so that their changes are parked; the third one streams.
failpoint($target, map { "load_finished/public.$_=wait" } qw(renamed mistrusted));
create_connector($target, 'postgres', "c_$_", conninfo($source), publications => ["p_$_"], copy_workers => 1) for @tables;
failpoint_reached($target, 'postgres', 'load_finished', 2);
wait_state($target, 'postgres', 'c_filtered', 'public.filtered', 'streaming');
at_source('INSERT INTO filtered SELECT i, $$outside$$, repeat(md5(i::text), 100) FROM generate_series(101, 110) i');

# --- changes that nobody sees yet --------------------------------------------------------------

failpoint($target, (map { "load_finished/public.$_=wait" } qw(renamed mistrusted)), map { "before_flip/public.$_=wait" } @tables);
my %change = (
	renamed    => 'UPDATE renamed SET id = id + 1000 WHERE id <= 3',
	mistrusted => "UPDATE mistrusted SET v = 'second' WHERE id <= 3",
	filtered   => 'UPDATE filtered SET id = id - 50 WHERE id BETWEEN 101 AND 103');
my %writer;
for my $table (@tables)
{
	$writer{$table} = session($source, 'postgres', "writer of $table");
	$writer{$table}->query_safe('SET synchronous_commit = on');
	start_query($writer{$table}, $change{$table});
	wait_event($source, "writer of $table", 'SyncRep');
	poll($target, 'postgres', "SELECT spooled_changes >= 3 FROM livesync.tables WHERE source_table = 'public.$table'");
}
is(at_source("SELECT (SELECT count(*) FROM renamed WHERE id > 1000) + (SELECT count(*) FROM mistrusted WHERE v = 'second') + (SELECT count(*) FROM filtered WHERE id BETWEEN 51 AND 60)"),
	0, 'changes have come that the source does not show yet');

# Each table is held before it is replayed, then after that was tried.
failpoint($target, map { "before_flip/public.$_=wait" } @tables);
failpoint_reached($target, 'postgres', 'before_flip', scalar @tables);
failpoint($target, map { "after_flip/public.$_=wait" } @tables);
failpoint_reached($target, 'postgres', 'after_flip', scalar @tables);
is(at_target("SELECT string_agg(state, ' ') FROM livesync.tables"), 'catching_up catching_up catching_up', 'none streams without its rows');
clear_failpoints($target);

# --- and are seen ------------------------------------------------------------------------------

at_source("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^writer of'");
like(finish_query($writer{$_}), qr/canceling wait for synchronous replication/, "released: $_") for @tables;
wait_sync($source, $target, "c_$_") for @tables;
same_tables($source, 'postgres', $target, 'postgres', ['public.renamed'],    'rows under new keys have all their values');
same_tables($source, 'postgres', $target, 'postgres', ['public.mistrusted'], 'rows that are mistrusted are the newest');
same_tables($source, 'postgres', $target, 'postgres', [ { source => 'public.filtered', where => 'id < 100' } ], 'rows that came to match the filter are there');
is(at_target("SELECT count(*) FROM livesync.events WHERE event IN ('table_failed', 'connector_failed')"), 0, 'nothing failed meanwhile');

$_->quit for values %writer;
check_logs($source, $target);
done_testing();
