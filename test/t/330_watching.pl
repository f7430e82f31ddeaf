# Who listens on channel livesync learns of every change of state; the history is bounded; a slot that is about to be
# lost is told before, and the way out of a lost one works when it is followed.
#
# A notification belongs to the transaction that changed the state: sent before, it would announce what may never
# happen, and sent later it may be forgotten by a crash.  A payload that were too long would make that very
# transaction fail.  A lost slot means that changes are missing for good; streaming on in silence, or advice that
# does not work, would be worse than the loss.

use strict;
use warnings;

use lib 'test/perl';
use JSON::PP;
use LiveSync;
use Test::More;
use Time::HiRes qw(usleep);

my ($source, $target) = pair(
	source_init => ['--wal-segsize=1'],
	source_conf => "max_wal_size = 4MB\nmin_wal_size = 2MB\nwal_keep_size = 0\nautovacuum = off");

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }

at_source('CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO a SELECT i FROM generate_series(1, 100) i');

# --- notifications ---------------------------------------------------------------------------

my $listener = session($target, 'postgres', 'listener');
my $seen     = '';

$listener->query_safe('LISTEN livesync');

# Payloads that came since the last call, decoded.
sub notices
{
	my $output = $listener->query("SELECT 'polled'");
	my @payloads = $output =~ /with payload "(.*)" received from server process/g;
	$seen .= join "\n", @payloads, '';
	return map { decode_json($_) } @payloads;
}

# "what state" of each, in their order; what: a table or the connector
sub states { return map { ($_->{source_table} // $_->{connector}) . ' ' . $_->{state} } grep { defined $_->{state} } @_ }

# Up to one with that state, or those, in any order.  What a worker has committed can be seen a moment before it is told.
sub notices_up_to
{
	my (@awaited) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	my @notices;
	while (1)
	{
		push @notices, notices();
		my %is_told = map { $_ => 1 } states(@notices);
		return @notices if !(grep { !$is_told{$_} } @awaited) || time > $end;
		usleep(20_000);
	}
	return;
}

create_connector($target, 'postgres', 'c', conninfo($source) . ' password=verysecret', tables => [ 'public.a', 'public.b' ]);
wait_sync($source, $target, 'c');
my @notices = notices_up_to('public.a streaming', 'public.b streaming', 'c streaming');
my @states  = states(@notices);
is(join(', ', grep { /^public.a / } @states), 'public.a queued, public.a copying, public.a catching_up, public.a streaming', 'each state of a table is told, once');
is(join(', ', grep { /^c / } @states), 'c starting, c copying, c streaming', 'and each of the connector');
is_deeply([ sort keys %{ $notices[0] } ], [qw(at connector detail event source_table state)], 'a payload has the keys that are documented');
is(scalar(grep { ($_->{event} // '') eq 'slot_created' && $_->{connector} eq 'c' } @notices), 1, 'events are told too');
is(at_target("SELECT livesync.wait_for_sync('c', '180 s')") . join(',', notices()), 't', 'and nothing else');

$target->safe_psql('postgres', "BEGIN; SELECT livesync.pause_connector('c'); ROLLBACK");
wait_caught_up($source, $target, 'c');
is(scalar(grep { /paused/ } states(notices())), 0, 'a call that is rolled back tells nothing');
at_target("SELECT livesync.pause_connector('c')");
is(join(',', states(notices_up_to('c paused'))), 'c paused', 'a pause is told');
at_target("SELECT livesync.resume_connector('c')");
is(join(',', states(notices_up_to('c streaming'))), 'c streaming', 'and its end');

at_target("ALTER TABLE a ADD CHECK (v <> 'bad')");
at_source("UPDATE a SET v = 'bad' WHERE id = 1");
wait_state($target, 'postgres', 'c', 'public.a', 'failed');
my ($failed) = grep { ($_->{state} // '') eq 'failed' } notices_up_to('public.a failed');
is($failed->{source_table}, 'public.a', 'a failure is told');
like($failed->{detail}, qr/violates check constraint/, 'with its reason');
at_target('ALTER TABLE a DROP CONSTRAINT a_v_check');
retry_table($target, 'postgres', 'c', 'public.a');
wait_sync($source, $target, 'c');
notices_up_to('public.a streaming');

my $control = 'repeat(chr(1), %d)';
at_target(sprintf("INSERT INTO livesync.event (connector, source_table, event, detail) VALUES ($control, $control, 'x', $control)", 40, 127, 100000));
my ($long) = grep { ($_->{event} // '') eq 'x' } notices();
is(length($long->{detail}), 1000, 'a detail is cut so that no payload can be too long');
unlike($seen, qr/verysecret/, 'no payload has a secret');

# --- a bounded history -----------------------------------------------------------------------

at_target("SELECT livesync.pause_connector('c')");
at_target("INSERT INTO livesync.event (connector, event) SELECT 'c', 'number ' || i FROM generate_series(1, 500) i");
$target->safe_psql('postgres', "ALTER SYSTEM SET livesync.max_events = 100");
$target->reload;
at_target("SELECT livesync.resume_connector('c')");
poll($target, 'postgres', 'SELECT count(*) BETWEEN 50 AND 110 FROM livesync.events');
is(at_target("SELECT count(*) FROM livesync.events WHERE event = 'number 1'") . at_target("SELECT count(*) FROM livesync.events WHERE event = 'number 500'"),
	'01', 'the oldest events are removed, the newest stay');
undef $listener;

# --- a slot in danger ------------------------------------------------------------------------

sub slot_events { return at_target("SELECT count(*) FROM livesync.events WHERE event = '$_[0]'") }
sub write_wal { return at_source("DO \$\$ BEGIN FOR i IN 1..$_[0] LOOP PERFORM pg_logical_emit_message(false, 'x', repeat('x', 1000000)); END LOOP; END \$\$; CHECKPOINT") }

is(at_target('SELECT slot_wal_status, slot_safe_bytes IS NULL FROM livesync.progress'), 'reserved|t', 'the slot is shown as the source sees it, without a limit');
at_source("ALTER SYSTEM SET max_slot_wal_keep_size = '20MB'");
$source->reload;
poll($target, 'postgres', 'SELECT slot_safe_bytes > 0 FROM livesync.progress');

# A transaction that stays open holds the slot back, whatever is confirmed.
my $open = session($source, 'postgres', 'open');
$open->query_safe('BEGIN; INSERT INTO b VALUES (1)');
write_wal(17);
poll($target, 'postgres', q{SELECT count(*) = 1 FROM livesync.events WHERE event = 'slot_in_danger'});
like(at_target("SELECT detail FROM livesync.events WHERE event = 'slot_in_danger'"), qr/^The source keeps 1\d MB of WAL .*raise max_slot_wal_keep_size/, 'a warning says that the slot is in danger, and what to do');
like(at_target('SELECT slot_retained_bytes FROM livesync.progress'), qr/^1\d{7}$/, 'what it retains is shown');
cut_connections($source);
poll($target, 'postgres', "SELECT count(*) > 0 FROM livesync.events WHERE event = 'connector_failed'");
poll($target, 'postgres', "SELECT status = 'streaming' FROM livesync.progress");
is(slot_events('slot_in_danger'), 1, 'it is told once, also when the worker starts again');
$open->query_safe('COMMIT');
at_source('CHECKPOINT');
wait_caught_up($source, $target, 'c');
write_wal(1);
poll($target, 'postgres', q{SELECT count(*) = 1 FROM livesync.events WHERE event = 'slot_safe'});
pass('that it is safe again is told');

# --- and lost --------------------------------------------------------------------------------

$open->query_safe('BEGIN; INSERT INTO b VALUES (2)');
write_wal(30);
$open->query_safe('COMMIT');
poll($target, 'postgres', q{SELECT status = 'failing' AND last_error ~ 'has lost WAL' FROM livesync.connectors});
is(at_target('SELECT status, slot_wal_status, last_error ~ $$wal_status of the slot is lost$$ FROM livesync.progress JOIN livesync.connectors USING (status)'),
	'failing|lost|t', 'a lost slot makes the connector fail, and is shown');
like(at_target('SELECT hint FROM livesync.connectors'), qr/pause_connector\(\) and livesync.drop_connector\(\).*empty the target tables and create the connector again/, 'the hint says the way out');

# what the hint says, word by word
sub start_over
{
	at_target("SELECT livesync.pause_connector('c')");
	at_target("SELECT livesync.drop_connector('c')");
	at_target('TRUNCATE a, b');
	create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.a', 'public.b' ]);
	wait_sync($source, $target, 'c');
	at_source("INSERT INTO a SELECT max(id) + 1 FROM a; DELETE FROM b");
	wait_caught_up($source, $target, 'c');
	return same_tables($source, 'postgres', $target, 'postgres', [ 'public.a', 'public.b' ], $_[0]);
}

at_source('DELETE FROM a WHERE id = 50');
start_over('the way out of a lost slot works');
poll($target, 'postgres', 'SELECT count(*) = 0 FROM livesync.cleanup');
is(at_source('SELECT count(*) FROM pg_replication_slots'), 1, 'the lost slot is removed');

# Somebody drops it while the connector is away.
at_target("SELECT livesync.pause_connector('c')");
slots_are_free($source);
at_source('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
at_source('DELETE FROM a WHERE id = 60');
at_target("SELECT livesync.resume_connector('c')");
poll($target, 'postgres', q{SELECT status = 'failing' AND last_error ~ 'does not exist at the source' AND hint ~ 'missing for good' FROM livesync.connectors});
pass('so does one that somebody dropped');
start_over('and its way out works');

check_logs($source, $target);
done_testing();
