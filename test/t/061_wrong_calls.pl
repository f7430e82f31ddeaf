# What is proved: calls that cannot end well say so.  A connector is not led to its own database.  Who waits for a
# fresh look at the source is told when the connector fails, and waits no longer when it is paused.
#
# Why it matters: a call that waits for what will never come looks like a server that hangs.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';

$source->safe_psql($db, 'CREATE TABLE one (id int PRIMARY KEY)');
create_connector($target, $db, 'c', conninfo($source), tables => ['public.one']);
wait_sync($source, $target, 'c');

# --- another source ------------------------------------------------------------------------------

my ($out, $err);
my $own = quote_literal(conninfo($target));
$target->psql($db, "SELECT livesync.alter_connector('c', source => $own)", stdout => \$out, stderr => \$err);
like($err, qr/ERROR:  the source of connector "c" is this very database\n.*\nHINT:  Give the address/, 'a connector cannot be led to its own database');
like($target->safe_psql($db, q{SELECT source FROM livesync.connectors}), qr/port='@{[ $source->port ]}'/, 'and has the source that it had');

# --- a look that never comes ---------------------------------------------------------------------

my $session = session($target, $db, 'waiting');
$source->stop('fast');
poll($target, $db, q{SELECT last_error IS NOT NULL FROM livesync.connectors});
start_query($session, q{SELECT livesync.refresh_connector('c')});
wait_row($target, $db, q{SELECT 1 FROM pg_stat_activity WHERE application_name = 'waiting' AND query ~ 'refresh_connector' AND wait_event_type = 'Extension'});
$target->safe_psql($db, q{SELECT livesync.pause_connector('c')});
my $said = finish_query($session);
like($said, qr/WARNING:  connector "c" is failing\nDETAIL:  .*\nHINT:  This call goes on waiting/s, 'refresh_connector tells why it waits');
like($said, qr/ERROR:  connector "c" is paused\n.*resume_connector/, 'and ends when nobody will look any more');

$target->safe_psql($db, q{SELECT livesync.resume_connector('c')});
start_query($session, q{SELECT livesync.refresh_connector('c')});
$source->start;
unlike(finish_query($session), qr/ERROR/, 'a source that comes back is waited for');

$session->quit;
check_logs($source, $target);
done_testing();
