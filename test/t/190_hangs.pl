# What must come up, come to an end, or go on by itself.
#
#   - After a start of the server the connectors of every database come up, also when nobody has
#     connected before: the launcher belongs to no database and must not need what only a session of one
#     leaves behind (the relation cache's file).
#   - A table that every transaction writes to gets to streaming: its spool is never empty at rest.
#   - A connector that the source waits for at each commit (synchronous_standby_names) does not wait for itself.
#   - Errors that pass (deadlock, cancel, a terminated worker or session) fail no table.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.batch_rows = 1000\ndeadlock_timeout = '200ms'\nlivesync.lock_timeout = '10min'");

sub failed_tables
{
	my ($db) = @_;
	return $target->safe_psql($db, "SELECT count(*) FROM livesync.events WHERE event = 'table_failed'");
}

# --- after a start of the server -------------------------------------------------------------

my @dbs = qw(one two three);
for my $db (@dbs)
{
	$target->safe_psql('postgres', "CREATE DATABASE $db");
	$target->safe_psql($db, 'CREATE EXTENSION pg_livesync');
	$source->safe_psql('postgres', "CREATE TABLE t_$db (id int PRIMARY KEY, n int DEFAULT 0); INSERT INTO t_$db VALUES (1), (2), (3)");
	create_connector($target, $db, "c_$db", conninfo($source), tables => ["public.t_$db"]);
}
$target->safe_psql('postgres', 'CREATE DATABASE none ALLOW_CONNECTIONS false');
wait_sync($source, $target, "c_$_", target_db => $_) for @dbs;

for my $how ('', 'without the cache of shared relations', 'without any cache of relations')
{
	$target->stop;
	my $data = $target->data_dir;
	unlink "$data/global/pg_internal.init" if $how ne '';
	unlink glob "$data/base/*/pg_internal.init" if $how =~ /any/;
	$target->start;
	# Nobody connects before all have been applied at the source's word: the slots say so.
	$source->safe_psql('postgres', join ';', map { "UPDATE t_$_ SET n = n + 1" } @dbs);
	my $lsn = source_lsn($source);
	poll($source, 'postgres', "SELECT count(*) = 3 FROM pg_replication_slots WHERE active AND confirmed_flush_lsn >= '$lsn'");
	ok(1, "the connectors of all databases come up after a start $how");
	same_tables($source, 'postgres', $target, $_, ["public.t_$_"]) for @dbs;
}
unlike(PostgreSQL::Test::Utils::slurp_file($target->logfile), qr/without having selected a database/, 'nothing is looked for outside of a database');

# --- a table that is always written to -------------------------------------------------------

$source->safe_psql('postgres', 'CREATE TABLE hot (id int PRIMARY KEY, n int DEFAULT 0); INSERT INTO hot SELECT generate_series(1, 20)');
my $writer = session($source, 'postgres', 'writer');
start_query($writer, 'DO $$ BEGIN FOR i IN 1 .. 10000000 LOOP UPDATE hot SET n = n + 1 WHERE id = 1 + i % 20; COMMIT; END LOOP; END $$');
create_connector($target, 'postgres', 'c_hot', conninfo($source), tables => ['public.hot']);
wait_state($target, 'postgres', 'c_hot', 'public.hot', 'streaming');
is($source->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writer' AND state = 'active'"), 1,
	'a table streams while it is written to all the time');
$source->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'writer'");
finish_query($writer);
wait_sync($source, $target, 'c_hot');
same_tables($source, 'postgres', $target, 'postgres', ['public.hot']);

# --- errors that pass ------------------------------------------------------------------------

# Three tables, written one after the other in one transaction: the apply holds a row of the first, waits
# for somebody at the second, and when it goes on finds one at the third who waits for the first.
my @three = qw(d1 d2 d3);
$source->safe_psql('postgres', "CREATE TABLE $_ (id int PRIMARY KEY, n int DEFAULT 0); INSERT INTO $_ VALUES (1), (2)") for @three;
create_connector($target, 'postgres', 'c_dead', conninfo($source), tables => [ map { "public.$_" } @three ]);
wait_sync($source, $target, 'c_dead');
$target->safe_psql('postgres', 'ALTER SYSTEM SET livesync.batch_rows = 1');
$target->reload;
my $second = session($target, 'postgres', 'second');
my $third  = session($target, 'postgres', 'third');
$second->query_safe('BEGIN; SELECT 1 FROM d2 WHERE id = 1 FOR UPDATE');
$third->query_safe("SET deadlock_timeout = '1h'; BEGIN; SELECT 1 FROM d3 WHERE id = 1 FOR UPDATE");
my $failures = $target->safe_psql('postgres', "SELECT count(*) FROM livesync.events WHERE event = 'connector_failed'");
$source->safe_psql('postgres', 'BEGIN; ' . join('; ', map { "UPDATE $_ SET n = n + 1 WHERE id = 1" } @three) . '; COMMIT');
my $waits = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND %s};
poll($target, 'postgres', sprintf($waits, "backend_type = 'livesync connector'"));
start_query($third, 'SELECT 1 FROM d1 WHERE id = 1 FOR UPDATE');
wait_event($target, 'third', 'Lock');
$second->query_safe('COMMIT');
like(finish_query($third), qr/^1$/, 'the apply has lost a deadlock');
$third->query_safe('COMMIT');
wait_caught_up($source, $target, 'c_dead');
same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } @three ], 'it tries again');
like($target->safe_psql('postgres', "SELECT string_agg(detail, ';') FROM livesync.events WHERE event IN ('connector_failed', 'table_failed')"),
	qr/deadlock detected/, 'which was a deadlock');
is(failed_tables('postgres'), 0, 'it fails no table');
$target->safe_psql('postgres', 'ALTER SYSTEM RESET livesync.batch_rows');
$target->reload;

# Cancelled and terminated: while it applies, while it copies, at the source.
$source->safe_psql('postgres', "CREATE TABLE cancelled (id int PRIMARY KEY, n int DEFAULT 0, pad text DEFAULT repeat('x', 200)); INSERT INTO cancelled SELECT generate_series(1, 200)");
my $held = 'chunk_locked';
failpoint($target, "$held/public.cancelled=wait");
create_connector($target, 'postgres', 'c_cancelled', conninfo($source), tables => ['public.cancelled'], copy_workers => 1);
for my $end (qw(pg_cancel_backend pg_terminate_backend))
{
	my $pid = wait_row($target, 'postgres', "SELECT pid FROM pg_stat_activity WHERE query = 'failpoint $held'");
	$target->safe_psql('postgres', "SELECT $end($pid)");
	poll($target, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'failpoint $held' AND pid <> $pid");
	is(failed_tables('postgres'), 0, "$end of a copy worker fails no table");
}
$source->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^livesync_c_cancelled_'");
clear_failpoints($target);
wait_sync($source, $target, 'c_cancelled');
same_tables($source, 'postgres', $target, 'postgres', ['public.cancelled']);

$second->query_safe('BEGIN; LOCK TABLE cancelled IN SHARE MODE');
for my $end (qw(pg_cancel_backend pg_terminate_backend))
{
	$source->safe_psql('postgres', 'UPDATE cancelled SET n = n + 1');
	my $connector = q{FROM livesync.connector_activity() a JOIN livesync.connector c ON c.id = a.connector_id WHERE c.name = 'c_cancelled'};
	poll($target, 'postgres', "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND pid = (SELECT a.pid $connector)");
	$target->safe_psql('postgres', "SELECT $end(a.pid) $connector");
	is(failed_tables('postgres'), 0, "$end of the connector worker fails no table");
}
$second->query_safe('COMMIT');
wait_caught_up($source, $target, 'c_cancelled');
same_tables($source, 'postgres', $target, 'postgres', ['public.cancelled']);
is(failed_tables('postgres'), 0, 'nor did anything later');

# --- the source waits for the connector ------------------------------------------------------

# From here on no commit at the source returns before the connector 'standby' has it; before there is one
# only those of the test itself, which say otherwise, do.
$source->safe_psql('postgres', "CREATE TABLE s1 (id int PRIMARY KEY, n int DEFAULT 0); INSERT INTO s1 VALUES (1); CREATE TABLE s2 (id int PRIMARY KEY, n int DEFAULT 0); INSERT INTO s2 VALUES (1)");
$source->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
$source->reload;
poll($source, 'postgres', "SELECT current_setting('synchronous_standby_names') = 'standby'");
create_connector($target, 'postgres', 'c_sync', conninfo($source) . ' application_name=standby', tables => ['public.s1']);
wait_sync($source, $target, 'c_sync');
pass('a connector that the source waits for is created, with a publication of its own');
$source->safe_psql('postgres', "UPDATE s1 SET n = 1");
is($target->safe_psql('postgres', 'SELECT n FROM s1'), 1, 'a commit returns, and is applied then');

my $owner = session($source, 'postgres', 'owner');
start_query($owner, 'ALTER PUBLICATION livesync_c_sync ADD TABLE s2');
is(finish_query($owner), '', 'a table is added');
wait_state($target, 'postgres', 'c_sync', 'public.s2', 'streaming');
# A writer of a table that is being added: it waits for us, and the gate for it.
$source->safe_psql('postgres', 'CREATE TABLE s3 (id int PRIMARY KEY, n int DEFAULT 0); INSERT INTO s3 VALUES (1)');
$owner->query_safe('BEGIN; UPDATE s3 SET n = 1');
$source->safe_psql('postgres', 'ALTER PUBLICATION livesync_c_sync ADD TABLE s3');
wait_text($target, 'postgres', 'c_sync', 'public.s3', 'owner');
$owner->query_safe('COMMIT');
wait_state($target, 'postgres', 'c_sync', 'public.s3', 'streaming');
pass('a commit that the gate waits for is confirmed meanwhile');

$target->safe_psql('postgres', "SELECT livesync.pause_connector('c_sync')");
start_query($owner, 'UPDATE s1 SET n = 2');
wait_event($source, 'owner', 'SyncRep');
$target->safe_psql('postgres', "SELECT livesync.resume_connector('c_sync')");
is(finish_query($owner), '', 'a commit waits while the connector is paused, and returns when it is resumed');
same_tables($source, 'postgres', $target, 'postgres', [qw(public.s1 public.s2 public.s3)]);

$_->quit for $writer, $second, $third, $owner;
check_logs($source, $target);
done_testing();
