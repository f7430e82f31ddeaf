# A position that does not fit the other side is refused loudly; nothing is streamed over a gap.
#
# After a restore or a failover one side may have forgotten its last changes.  The server would not
# complain: asked for a position before the slot's it silently starts at the slot's, and asked for one
# behind its own end it waits until its WAL gets there.  Either way changes would be missing for good.
# What has been confirmed must therefore never be ahead of what is safe here, also when nothing but a
# keepalive was confirmed: or a mere crash would look like a loss.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_db => 'app', target_conf => 'wal_writer_delay = 2s');
my $dir = PostgreSQL::Test::Utils::tempdir();

$source->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i FROM generate_series(1, 100) i; CREATE TABLE unpublished (id int)');
create_connector($target, 'app', 'c', conninfo($source), tables => ['public.t']);
wait_sync($source, $target, 'c', target_db => 'app');
my $slot = $target->safe_psql('app', 'SELECT slot_name FROM livesync.connectors');

sub confirmed { return $source->safe_psql('postgres', "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '$slot'") }

sub wait_confirmed
{
	my $lsn = source_lsn($source);
	return poll($source, 'postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = '$slot'");
}

sub copy_data
{
	my ($from, $to) = @_;
	system('cp', '-a', $from, $to) == 0 or die "cannot copy $from";
	return;
}

sub move_data
{
	my ($from, $to) = @_;
	system('rm', '-rf', $to) == 0 or die;
	rename($from, $to) or die "cannot move $from";
	return;
}

# It is refused each time it tries; the error says what, the hint says the way out.
sub refused
{
	my ($error, $name) = @_;
	poll($target, 'app', "SELECT last_error ~ " . quote_literal($error) . " FROM livesync.connectors WHERE name = 'c'");
	my $before = confirmed_or_none();
	my $seen = $target->safe_psql('app', "SELECT count(*) FROM livesync.events WHERE event = 'connector_failed'");
	poll($target, 'app', "SELECT count(*) > $seen FROM livesync.events WHERE event = 'connector_failed'");
	is($target->safe_psql('app', "SELECT status, last_error ~ " . quote_literal($error) . " FROM livesync.connectors"),
		'failing|t', $name);
	is(confirmed_or_none(), $before, 'nothing is streamed');
	return;
}

sub confirmed_or_none { return $source->safe_psql('postgres', "SELECT coalesce(max(confirmed_flush_lsn)::text, 'none') FROM pg_replication_slots") }

sub goes_on
{
	my ($name) = @_;
	$source->safe_psql('postgres', "UPDATE t SET v = coalesce(v, '') || 'x' WHERE id % 3 = 0");
	wait_caught_up($source, $target, 'c', target_db => 'app');
	same_tables($source, 'postgres', $target, 'app', ['public.t'], $name);
	return;
}

# --- a crash is no loss ----------------------------------------------------------------------

# Nothing of this is published: what is confirmed comes from keepalives alone.  The target's WAL is
# flushed rarely, so that a position confirmed too early is lost with the crash.
$source->safe_psql('postgres', 'INSERT INTO unpublished SELECT generate_series(1, 1000)');
wait_confirmed();
$target->stop('immediate');
$target->start;
$target->safe_psql('postgres', q{ALTER SYSTEM SET wal_writer_delay = '200ms'});
$target->reload;
goes_on('after a crash of the target it goes on, also behind a position confirmed when idle');
$source->safe_psql('postgres', 'INSERT INTO unpublished SELECT generate_series(1, 1000)');
wait_confirmed();
$source->stop('immediate');
$source->start;
goes_on('after a crash of the source too');

# --- a copy of the database ------------------------------------------------------------------

$target->safe_psql('app', "SELECT livesync.pause_connector('c')");
poll($target, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'app'");
$target->safe_psql('postgres', 'CREATE DATABASE clone TEMPLATE app');
$target->safe_psql('clone', "SELECT livesync.resume_connector('c')");
poll($target, 'clone', q{SELECT last_error ~ 'replication origin ".*" does not exist' FROM livesync.connectors});
pass('the connector of a cloned database is refused');
slots_are_free($source);
pass('it has not taken the slot');
my $published = "SELECT count(*) FROM pg_publication WHERE pubname = 'livesync_c'";
$target->safe_psql('clone', "SELECT livesync.pause_connector('c')");
$target->safe_psql('clone', "SELECT livesync.drop_connector('c')");
poll($target, 'clone', 'SELECT count(*) = 0 FROM livesync.cleanup');
is($source->safe_psql('postgres', "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '$slot'") . $source->safe_psql('postgres', $published),
	'11', 'dropped, it leaves slot and publication to the original');
$target->safe_psql('app', "SELECT livesync.resume_connector('c')");
goes_on('the original goes on');

# --- another server --------------------------------------------------------------------------

wait_confirmed();
$source->stop;
move_data($source->data_dir, "$dir/source");
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init(allows_streaming => 'logical');
move_data($other->data_dir, $source->data_dir);
system('cp', "$dir/source/postgresql.conf", $source->data_dir . '/postgresql.conf');
$source->start;
$source->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY, v text)');
refused('another server', 'another server behind the address is refused');
is($source->safe_psql('postgres', $published), 0, 'and nothing is made there');
$source->stop('immediate');
move_data("$dir/source", $source->data_dir);
$source->start;
poll($target, 'app', "SELECT status = 'streaming' FROM livesync.connectors");
goes_on('with the old server it goes on by itself');

# --- the target is restored ------------------------------------------------------------------

wait_confirmed();
$target->stop;
copy_data($target->data_dir, "$dir/target");
$target->start;
$source->safe_psql('postgres', "UPDATE t SET v = 'lost at the target' WHERE id <= 10");
wait_caught_up($source, $target, 'c', target_db => 'app');
wait_confirmed();
$target->stop;
move_data($target->data_dir, "$dir/target_new");
move_data("$dir/target", $target->data_dir);
$target->start;
refused('target lost changes', 'a target that was restored is refused');
is($target->safe_psql('app', "SELECT hint ~ 'create the connector again' FROM livesync.connectors"), 't', 'with a hint');
$source->safe_psql('postgres', 'INSERT INTO t VALUES (1001)');
is($target->safe_psql('app', "SELECT count(*) FROM t WHERE id = 1001 OR v = 'lost at the target'"), 0, 'no change has come after the gap');
$target->stop;
move_data("$dir/target_new", $target->data_dir);
$target->start;
goes_on('the state that was not restored goes on');

# --- the source is restored ------------------------------------------------------------------

wait_confirmed();
$source->stop;
copy_data($source->data_dir, "$dir/source");
$source->start;
poll($target, 'app', "SELECT status = 'streaming' FROM livesync.connectors");
$source->safe_psql('postgres', "INSERT INTO t SELECT i, repeat('lost at the source', 10) FROM generate_series(2001, 4000) i");
wait_caught_up($source, $target, 'c', target_db => 'app');
$source->stop('immediate');
move_data("$dir/source", $source->data_dir);
$source->start;
refused('source lost changes', 'a source that was restored is refused');
is($target->safe_psql('app', "SELECT hint ~ 'create the connector again' FROM livesync.connectors"), 't', 'with a hint');

check_logs($source, $target);
done_testing();
