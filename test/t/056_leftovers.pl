# What is proved: no slot is left at a source without a word.  A drop whose source is away, or does not let us
# in any more, says so in the events and is tried again until it works; DROP EXTENSION and DROP DATABASE warn
# of each slot that they leave, with the statement that drops it.
#
# Why it matters: a slot that nobody knows of keeps WAL until the source's disk is full.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';

$source->safe_psql($db, <<'SQL');
CREATE ROLE sync SUPERUSER LOGIN;
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t SELECT generate_series(1, 10);
CREATE PUBLICATION theirs FOR TABLE t;
SQL

sub slots { return $source->safe_psql($db, 'SELECT count(*) FROM pg_replication_slots') }

sub warnings_of
{
	my ($in, $sql) = @_;
	my ($out, $err);
	my $status = $target->psql($in, $sql, stdout => \$out, stderr => \$err);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status, 0, "$sql succeeds");
	return $err;
}

# --- a drop whose source does not answer -------------------------------------------------------

create_connector($target, $db, 'c', conninfo($source) . ' user=sync', tables => ['public.t']);
wait_sync($source, $target, 'c');
$target->safe_psql($db, q{SELECT livesync.pause_connector('c')});
$source->stop;
$target->safe_psql($db, q{SELECT livesync.drop_connector('c', force => true)});
my $said = q{SELECT detail FROM livesync.events WHERE connector = 'c' AND event = 'source_not_cleaned' ORDER BY at DESC LIMIT 1};
poll($target, $db, qq{SELECT ($said) ~ 'Replication slot "livesync_c.*" is still there: could not connect'});
pass('a source that is away is told of');
$source->start;
poll($source, $db, 'SELECT count(*) = 0 FROM pg_replication_slots');
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.events WHERE connector = 'c' AND event = 'source_cleaned'});
is($source->safe_psql($db, 'SELECT count(*) FROM pg_publication'), 1, 'when it is back, the slot and the publication go');

create_connector($target, $db, 'd', conninfo($source) . ' user=sync', tables => ['public.t']);
wait_sync($source, $target, 'd');
$target->safe_psql($db, q{SELECT livesync.pause_connector('d')});
$source->safe_psql($db, 'ALTER ROLE sync NOLOGIN');
$target->safe_psql($db, q{SELECT livesync.drop_connector('d', force => true)});
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.events WHERE connector = 'd' AND event = 'source_not_cleaned' AND detail ~ 'not permitted to log in'});
pass('so is a source that does not let us in any more');
$target->safe_psql($db, 'UPDATE livesync.cleanup SET source = ' . quote_literal(conninfo($source)));
poll($source, $db, 'SELECT count(*) = 0 FROM pg_replication_slots');
poll($target, $db, 'SELECT count(*) = 0 FROM livesync.cleanup');
is($target->safe_psql($db, q{SELECT count(*) FROM livesync.events WHERE connector = 'd' AND event = 'source_not_cleaned'}), 1, 'once, however often it is tried');

# --- DROP EXTENSION ----------------------------------------------------------------------------

my $source_name = quote_literal(conninfo($source));
create_connector($target, $db, 'running', conninfo($source), tables => ['public.t']);
$target->safe_psql($db, 'CREATE SCHEMA paused; CREATE SCHEMA never');
create_connector($target, $db, 'paused', conninfo($source), publications => ['theirs'], target_schema => 'paused');
create_connector($target, $db, 'never', conninfo($source), publications => ['theirs'], target_schema => 'never', enabled => 'false');
wait_sync($source, $target, $_) for qw(running paused);
$target->safe_psql($db, q{SELECT livesync.pause_connector('paused')});
is(slots(), 2, 'two have slots');
my $err = warnings_of($db, 'DROP EXTENSION pg_livesync');
my @left = $err =~ /WARNING:  replication slot "(\w+)" of connector "\w+" is left at its source/g;
is_deeply([ sort @left ], [ split /\n/, $source->safe_psql($db, 'SELECT slot_name FROM pg_replication_slots ORDER BY 1') ], 'DROP EXTENSION names each slot that it leaves');
like($err, qr/DROP PUBLICATION livesync_running;/, 'and the publication');
unlike($err, qr/theirs/, 'but none of the user');
poll($source, $db, 'SELECT count(*) = 0 FROM pg_replication_slots WHERE active');
$source->safe_psql($db, $_) for $err =~ /Run at the source: (SELECT [^;]*;)/g;
is(slots(), 0, 'the statements do it');
$source->safe_psql($db, 'DROP PUBLICATION livesync_running');

# --- DROP EXTENSION beside a worker that is at work ----------------------------------------------

# It locks the extension before its tables, and so do the workers: else each could hold what the other wants.
$target->safe_psql($db, 'CREATE DATABASE busy');
$target->safe_psql('busy', 'CREATE EXTENSION pg_livesync');
failpoint($target, 'chunk_loaded=wait');
create_connector($target, 'busy', 'b', conninfo($source), tables => ['public.t']);
failpoint_reached($target, $db, 'chunk_loaded');
my $dropper = session($target, 'busy', 'dropper');
start_query($dropper, 'DROP EXTENSION pg_livesync');
wait_event($target, 'dropper', 'object');
pass('DROP EXTENSION waits for the extension, while it has none of its tables');
clear_failpoints($target);
unlike(finish_query($dropper), qr/ERROR/, 'and then goes through');
$dropper->quit;
poll($source, $db, 'SELECT count(*) = 0 FROM pg_replication_slots WHERE active');
$source->safe_psql($db, 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots; DROP PUBLICATION livesync_b');

$target->safe_psql('busy', 'CREATE EXTENSION pg_livesync; DROP SCHEMA public CASCADE');
is($target->safe_psql('busy', 'SELECT count(*) FROM livesync.connectors'), 0, 'the extension is no part of the schema public');

# --- DROP DATABASE -----------------------------------------------------------------------------

$target->safe_psql($db, 'CREATE DATABASE gone');
$target->safe_psql('gone', 'CREATE EXTENSION pg_livesync');
create_connector($target, 'gone', 'e', conninfo($source), tables => ['public.t']);
wait_sync($source, $target, 'e', target_db => 'gone');
$err = warnings_of($db, 'DROP DATABASE gone');
like($err, qr/WARNING:  replication slot "livesync_e_\w+" of connector "e" is left at its source/, 'DROP DATABASE names the slot too');
poll($source, $db, 'SELECT count(*) = 0 FROM pg_replication_slots WHERE active');
$source->safe_psql($db, $_) for $err =~ /Run at the source: (SELECT [^;]*;)/g;
is(slots(), 0, 'and the statement does it');

check_logs($source, $target);
done_testing();
