# The copy of a table begins only when everybody has ended who was writing to it when its changes
# began to be kept.
#
# A change that was made before the table was published is never sent; one that was received before the
# table had a spool is dropped.  Both are in no spool, so the chunks must see them: those transactions
# must have become visible before the first chunk is read.  Looking at commits is not enough: one that
# waits for a synchronous standby has been sent to us long before anybody at the source can see it.
# Without the wait their rows are lost, silently and for good.
#
# All of it for tables with a key (chunks) and without one (one snapshot), and with a connector that is
# running already: making its slot waits for everybody, so that at first there is nobody to wait for.

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

my @keyed   = qw(opened prepared turned acked);
my @keyless = qw(opened_full acked_full);
my $tables  = join ', ', @keyed, @keyless, 'free';

for my $node ($source, $target)
{
	my $rows = $node == $source ? 1 : 0;
	for my $name ('first', 'other', 'free', @keyed, @keyless)
	{
		my $key = $name =~ /full/ ? '' : ' PRIMARY KEY';
		$node->safe_psql('postgres', <<"SQL");
CREATE TABLE $name (id int$key, v text);
ALTER TABLE $name REPLICA IDENTITY @{[ $key ? 'DEFAULT' : 'FULL' ]};
INSERT INTO $name SELECT i, 'row ' || i FROM generate_series(1, 100 * $rows) i;
SQL
	}
}
# Another database with tables of the same oids, where nobody needs to be waited for.
$source->safe_psql('template1', 'CREATE DATABASE twin TEMPLATE postgres');
$source->safe_psql('postgres', 'CREATE PUBLICATION p FOR TABLE first');
create_connector($target, 'postgres', 'c', conninfo($source), publications => ['p'], copy_workers => 2);
wait_sync($source, $target, 'c');

# Before the tables are published: who has written to them ...
my %writer;
for my $table (@keyed, @keyless)
{
	my $s = $writer{$table} = session($source, 'postgres', "writer of $table");
	$s->query_safe("BEGIN; INSERT INTO $table VALUES (1001, 'before it was published')");
	$s->query_safe("UPDATE $table SET v = 'before' WHERE id <= 10");
}
$writer{prepared}->query_safe("PREPARE TRANSACTION 'p1'");

# ... who has written to the same oids elsewhere ...
my $elsewhere = session($source, 'twin', 'elsewhere');
$elsewhere->query_safe("BEGIN; INSERT INTO free VALUES (1001, 'elsewhere')");
is($source->safe_psql('twin', "SELECT 'free'::regclass::oid"), $source->safe_psql('postgres', "SELECT 'free'::regclass::oid"), 'two databases with the same oids');

# ... and who is open, but has not.
my $long = session($source, 'postgres', 'bystander');
$long->query_safe("BEGIN; INSERT INTO other VALUES (1001, 'unrelated')");
$long->query_safe('SELECT count(*) FROM ' . join(', ', map { "(SELECT count(*) FROM $_) x$_" } @keyed));

# A walsender may hold on to what it knew of the publication when it began, older releases do.
# The one that has the slot: another one may be about to end.
sub walsender_query { return q{SELECT pid, substring(query FROM 'LOGICAL (\S+)') FROM pg_stat_activity WHERE query ~ '^START_REPLICATION' AND pid IN (SELECT active_pid FROM pg_replication_slots)} }
my $first_walsender = wait_row($source, 'postgres', walsender_query());

$source->safe_psql('postgres', "ALTER PUBLICATION p ADD TABLE $tables");

wait_text($target, 'postgres', 'c', 'public.opened', 'pid \d+ \(writer of opened, idle in transaction since \d+ s, xid \d+\)');
wait_text($target, 'postgres', 'c', 'public.opened_full', 'writer of opened_full');
wait_text($target, 'postgres', 'c', 'public.prepared', q{prepared transaction 'p1'});
wait_text($target, 'postgres', 'c', 'public.acked', 'writer of acked');
pass('the view names the writers that a table waits for');

wait_state($target, 'postgres', 'c', 'public.free', 'streaming');
is($target->safe_psql('postgres', 'SELECT count(*) FROM free'), 100,
	'a table without writers is copied while others wait, and while an unrelated transaction is open');
my ($pid, $from) = split /\|/, wait_row($source, 'postgres', walsender_query());
isnt("$pid|$from", $first_walsender, 'its changes come from a new walsender');
is($target->safe_psql('postgres', "SELECT '$from' >= admit_lsn FROM livesync.synced_table WHERE source_name = 'free'"), 't',
	'which began when the table was published already');
is($target->safe_psql('postgres', "SELECT string_agg(DISTINCT state, ',') FROM livesync.tables WHERE source_table NOT IN ('public.first', 'public.free')"),
	'queued', 'the others have not begun');

# The writer goes on writing when the table is published already.
for my $table (qw(opened opened_full))
{
	$writer{$table}->query_safe("INSERT INTO $table VALUES (1002, 'after it was published')");
	$writer{$table}->query_safe("UPDATE $table SET v = 'after' WHERE id BETWEEN 11 AND 20");
	$writer{$table}->query_safe('COMMIT');
}
# A listed writer turns into a prepared transaction.
$writer{turned}->query_safe("PREPARE TRANSACTION 'p2'");
wait_text($target, 'postgres', 'c', 'public.turned', q{prepared transaction 'p2'});
wait_state($target, 'postgres', 'c', "public.$_", 'streaming') for qw(opened opened_full);
wait_text($target, 'postgres', 'c', 'public.turned', q{prepared transaction 'p2'});
$source->safe_psql('postgres', "COMMIT PREPARED 'p2'");
$source->safe_psql('postgres', "COMMIT PREPARED 'p1'");
wait_state($target, 'postgres', 'c', "public.$_", 'streaming') for qw(turned prepared);

# Others come after the table was published, so they are not waited for at first.  Their commits are
# sent to us, and dropped because the table has no spool yet; but they stay invisible.
my %acked;
for my $table (qw(acked acked_full))
{
	my $s = $acked{$table} = session($source, 'postgres', "invisible $table");
	$s->query_safe('SET synchronous_commit = on');
	$s->query_safe("BEGIN; INSERT INTO $table VALUES (1003, 'invisible')");
	$s->query_safe("UPDATE $table SET v = 'invisible' WHERE id BETWEEN 21 AND 30");
	$s->query_safe("DELETE FROM $table WHERE id > 90 AND id < 1000");
	start_query($s, 'COMMIT');
	wait_event($source, "invisible $table", 'SyncRep');
}
wait_caught_up($source, $target, 'c');
$writer{$_}->query_safe('ROLLBACK') for qw(acked acked_full);
wait_text($target, 'postgres', 'c', "public.$_", "invisible $_") for qw(acked acked_full);
pass('a commit that waits for a synchronous standby is waited for');
is($target->safe_psql('postgres', 'SELECT (SELECT count(*) FROM acked) + (SELECT count(*) FROM acked_full)'),
	0, 'nothing is copied before');

$source->safe_psql('postgres',
	"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^invisible'");
like(finish_query($acked{$_}), qr/canceling wait for synchronous replication/, "released: $_")
  for qw(acked acked_full);

wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres',
	[ map { "public.$_" } 'first', 'free', @keyed, @keyless ]);
is($source->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bystander' AND state = 'idle in transaction'"),
	1, 'the unrelated transaction is still open');

# They stream as well.
$source->safe_psql('postgres', join '; ', map { "UPDATE $_ SET v = v || '!' WHERE id % 7 = 0" } @keyed, @keyless);
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } @keyed, @keyless ]);

$_->quit for $long, $elsewhere, values %writer, values %acked;
check_logs($source, $target);
done_testing();
