# A source of version 17 or later that fails over takes the slot with it, when its standby is made to: the connector goes on
# with the new primary where it stood, and copies nothing again.
#
# The server copies only slots to a standby that say so.  Whoever runs servers with a managed failover expects that of every
# slot; one that was made without it is not there after the failover, and nothing can bring its changes back.  So slots
# are made so, old ones are altered, and where the slot was not on the standby the error must say what has happened.
#
# Needs a server of 17 or later, the one that is tested or another: LIVESYNC_SOURCES=$(tools/other-servers).

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Versions;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my %bin   = other_servers();
my %place = map { $_ => installation_of($bin{$_}) } grep { $_ >= 17 } keys %bin;
$place{ own_version() } = undef if own_version() >= 17;
plan skip_all => 'there is no server of version 17 or later (LIVESYNC_SOURCES)' unless %place;

my $target = target_node('target');
my $tables = [ 'public.keyed', 'public.keyless' ];
my ($primary, $standby, $db);

sub at_target { return $target->safe_psql($db, $_[0]) }
sub slot      { my ($node, $what) = @_; return $node->safe_psql('postgres', "SELECT $what FROM pg_replication_slots WHERE plugin = 'pgoutput'") }
sub same      { return same_tables($primary, 'postgres', $target, $db, $tables, $_[0]) }

sub make_standby
{
	my ($version) = @_;
	my @where = $place{$version} ? (install_path => $place{$version}) : ();
	my $node  = PostgreSQL::Test::Cluster->new("standby$version", @where);
	$primary->stop;
	mkdir $node->backup_dir;
	system('cp', '-a', $primary->data_dir, $node->backup_dir . '/all') == 0 or die 'cannot copy';
	$primary->start;
	$primary->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('standby', true)");
	$node->init_from_backup($node, 'all', has_streaming => 0);
	$node->append_conf('postgresql.conf', <<"CONF");
primary_conninfo = '@{[$primary->connstr]} dbname=postgres application_name=standby'
primary_slot_name = 'standby'
hot_standby_feedback = on
CONF
	$node->set_standby_mode;
	$node->start;
	return $node;
}

sub change
{
	my ($number) = @_;
	$primary->safe_psql('postgres', <<"SQL");
UPDATE keyed SET v = v || ' $number' WHERE id % 3 = 0;
INSERT INTO keyed SELECT i, 'new $number' FROM generate_series($number * 1000, $number * 1000 + 50) i;
DELETE FROM keyed WHERE id % 10 = $number;
UPDATE keyless SET v = v || '$number' WHERE id = 3;
INSERT INTO keyless VALUES ($number, 'x'), ($number, 'x');
SQL
	return;
}

# With sync_replication_slots a worker of the standby does this every few seconds.
sub take_over_slot
{
	# The slot must not need older rows of the catalog than the standby has.  It moves on by lists of the running transactions,
	# of which the primary writes one every 15 s by itself.
	for (1, 2)
	{
		$primary->safe_psql('postgres', 'SELECT pg_log_standby_snapshot()');
		wait_caught_up($primary, $target, 'c', target_db => $db);
	}
	return poll($standby, 'postgres', "SELECT count(*) = 1 FROM pg_sync_replication_slots(), "
		  . "LATERAL (SELECT FROM pg_replication_slots WHERE synced AND NOT temporary) s");
}

sub fail_over
{
	$primary->wait_for_catchup('standby', 'replay', source_lsn($primary));
	$primary->stop('immediate');
	$standby->promote;
	$primary = $standby;
	at_target("SELECT livesync.alter_connector('c', source => @{[quote_literal(conninfo($primary))]})");
	return;
}

sub allow_failover
{
	my ($how) = @_;
	at_target("ALTER SYSTEM SET livesync.failover_slots = $how");
	at_target('SELECT pg_reload_conf()');
	return poll($target, $db, 'SHOW livesync.failover_slots', $how);
}

for my $version (sort keys %place)
{
	$db = "from_$version";
	$target->safe_psql('postgres', "CREATE DATABASE $db");
	at_target('CREATE EXTENSION pg_livesync');
	$primary = source_node("primary$version", $place{$version} ? (install_path => $place{$version}) : ());
	$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE keyed (id int PRIMARY KEY, v text);
CREATE TABLE keyless (id int, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyed SELECT i, 'first' FROM generate_series(1, 500) i;
INSERT INTO keyless SELECT i % 7, 'first' FROM generate_series(1, 50) i;
SQL
	$standby = make_standby($version);

	# --- the slot says that standbys may have it -----------------------------------------------
	allow_failover('off');
	create_connector($target, $db, 'c', conninfo($primary));
	wait_sync($primary, $target, 'c', target_db => $db);
	is(slot($primary, 'failover'), 'f', "$version: with livesync.failover_slots off it is a slot of one server");
	allow_failover('on');
	cut_connections($primary);
	poll($primary, 'postgres', "SELECT failover AND active FROM pg_replication_slots WHERE plugin = 'pgoutput'");
	is(at_target("SELECT string_agg(event, ' ') FROM livesync.events WHERE event LIKE 'slot_failover%'"), 'slot_failover_on', 'it is altered by the next connection, which is told');
	change(1);
	wait_caught_up($primary, $target, 'c', target_db => $db);

	# --- it fails over -------------------------------------------------------------------------
	take_over_slot();
	change(2);
	wait_caught_up($primary, $target, 'c', target_db => $db);
	change(3);
	my $slot = slot($primary, 'slot_name');
	fail_over();
	change(4);
	wait_caught_up($primary, $target, 'c', target_db => $db);
	same("$version: all is there after the failover");
	is(slot($primary, "slot_name || ' ' || failover || ' ' || active"), "$slot true true", 'through the slot that the standby had taken over');
	is(at_target(q{SELECT count(*) FROM livesync.events WHERE event = 'copy_started'}), '2', 'nothing was copied again');
	is(at_target(q{SELECT count(*) FROM livesync.events WHERE event = 'table_failed'}), '0', 'no table failed');

	# --- the standby has not taken it over -----------------------------------------------------
	# as if it had not been told to: a promoted server without the slot
	at_target("SELECT livesync.pause_connector('c')");
	poll($primary, 'postgres', "SELECT NOT active FROM pg_replication_slots WHERE slot_name = '$slot'");
	$primary->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
	my $timeline = at_target('SELECT source_timeline FROM livesync.connector');
	is($timeline, '2', 'the connector knows the new timeline');
	$primary->stop;
	$primary->set_standby_mode;
	$primary->append_conf('postgresql.conf', "primary_conninfo = ''");
	$primary->start;
	$primary->promote;
	at_target("SELECT livesync.resume_connector('c')");
	like(wait_row($target, $db, "SELECT hint FROM livesync.connectors WHERE last_error LIKE '%$slot\" does not exist at the source%from timeline 2 to 3%'"), qr/create the connector again.*sync_replication_slots.*synchronized_standby_slots/, 'a slot that stayed behind is told as such, with what to do');

	# a new one is made so from its beginning
	at_target("SELECT livesync.pause_connector('c')");
	at_target("SELECT livesync.drop_connector('c'); TRUNCATE keyed, keyless");
	create_connector($target, $db, 'c', conninfo($primary));
	wait_sync($primary, $target, 'c', target_db => $db);
	is(slot($primary, 'failover'), 't', 'a new slot is one that fails over');
	is(at_target("SELECT count(*) FROM livesync.events WHERE event LIKE 'slot_failover%'"), '1', 'from its beginning');
	change(5);
	wait_caught_up($primary, $target, 'c', target_db => $db);
	same("$version: and streams");
	at_target("SELECT livesync.pause_connector('c')");
	check_logs($primary);
	$primary->stop;
}

check_logs($target);
done_testing();
