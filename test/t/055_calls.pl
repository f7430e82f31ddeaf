# What is proved, for each call that changes something: an unknown name, a missing one, a caller without the
# right and a call in the wrong state are refused, with words that say what and what to do; refused and
# rolled back calls leave no trace; and of two callers at once the second waits for the first, and then
# does what it would have done after it.
#
# Why it matters: calls come from scripts that retry, from several people at once, and in transactions that
# roll back.  A call that half works, or works although its transaction did not, breaks what nobody looks at.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.retry_delay = '1min'\n");
my $db = 'postgres';

$source->safe_psql($db, <<'SQL');
CREATE TABLE one (id int PRIMARY KEY, v text);
CREATE TABLE two (id int PRIMARY KEY, v text);
CREATE TABLE more (id int PRIMARY KEY, v text);
CREATE TABLE bad (id int PRIMARY KEY, v text);
INSERT INTO one SELECT i, 'a' FROM generate_series(1, 100) i;
INSERT INTO two SELECT * FROM one;
INSERT INTO bad SELECT * FROM one;
CREATE PUBLICATION theirs FOR TABLE two;
SQL
$target->safe_psql($db, <<'SQL');
CREATE ROLE plain;
CREATE ROLE caller;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA livesync TO caller;
CREATE TABLE bad (id int PRIMARY KEY, v text CHECK (v <> 'bad'));
SQL

my $conninfo = quote_literal(conninfo($source));

sub ask { return $target->safe_psql($db, $_[0]) }

sub error_of
{
	my ($sql) = @_;
	my ($out, $err);
	my $status = $target->psql($db, $sql, stdout => \$out, stderr => \$err);
	return $status != 0 ? $err : '';
}

sub fails
{
	my ($sql, $pattern, $name) = @_;
	my $err = error_of($sql);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($err =~ $pattern, $name) || diag("it said: $err");
}

create_connector($target, $db, 'c', conninfo($source), tables => [ 'public.one', 'public.bad' ]);
create_connector($target, $db, 'd', conninfo($source), publications => ['theirs']);
wait_sync($source, $target, $_) for qw(c d);

# Everything that calls may change: what is recorded, what runs, what is at the source.  But for what a failed table does by itself
# once a minute, and a worker that comes back before the source has noticed that the one before is gone.
sub state_of_all
{
	return ask(<<'SQL') . $source->safe_psql($db, <<'SQL2');
SELECT (SELECT string_agg(c::text, '|' ORDER BY id) FROM livesync.connector c),
	(SELECT string_agg((t.id, t.state, t.target_schema, t.target_name, t.released)::text, '|' ORDER BY id) FROM livesync.synced_table t),
	(SELECT count(*) FROM livesync.wish), (SELECT string_agg(l::text, '|') FROM livesync.listing l),
	(SELECT count(*) FROM livesync.cleanup), (SELECT string_agg(e::text, '|' ORDER BY id) FROM livesync.event e WHERE NOT (event = 'table_failed' AND source_table = 'public.bad' OR event = 'connector_failed' AND detail ~ 'is active for PID')),
	(SELECT count(*) FROM livesync.connector_activity() WHERE pid IS NOT NULL)
SQL
SELECT (SELECT string_agg((pubname, tablename)::text, '|' ORDER BY 1, 2) FROM (SELECT pubname, tablename FROM pg_publication_tables ORDER BY 1, 2) p),
	(SELECT count(*) FROM pg_replication_slots)
SQL2
}

# --- names, and rights -------------------------------------------------------------------------

# The arguments of a call that would work, after the name of the connector.
my %connector_calls = (
	alter_connector   => 'copy_workers => 3',
	rename_connector  => q{new_name => 'z'},
	pause_connector   => '',
	resume_connector  => '',
	drop_connector    => '',
	refresh_connector => '',
	wait_for_sync     => q{timeout => '1 s'},
	wait_for_lsn      => q{timeout => '1 s'},
	sync_sequences    => '',
);
my %table_calls = (
	add_table     => 'public.more',
	remove_table  => 'public.one',
	pause_table   => 'public.one',
	resume_table  => 'public.one',
	retry_table   => 'public.bad',
	skip_change   => 'public.bad',
	compare_table => 'public.one',
	resync_table  => 'public.one',
);
my %there = map { $_ => 1 } split /\n/, ask(q{SELECT proname FROM pg_proc WHERE pronamespace = 'livesync'::regnamespace});
delete $table_calls{resync_table} unless $there{resync_table};

sub call
{
	my ($function, $connector, $argument) = @_;
	return "SELECT livesync.$function(" . join(', ', grep { $_ ne '' } $connector, $argument) . ')';
}

my $before = state_of_all();
for my $function (sort keys %connector_calls)
{
	my $argument = $connector_calls{$function};
	fails(call($function, q{'nobody'}, $argument), qr/ERROR:  connector "nobody" does not exist\n.*HINT:/s, "$function: an unknown connector");
	fails(call($function, 'NULL', $argument), qr/must not be NULL|must have a name|must be given/, "$function: no name") if $function ne 'wait_for_sync';
	fails('SET ROLE plain; ' . call($function, q{'c'}, $argument), qr/permission denied for function $function/, "$function: without the right to call");
	fails('SET ROLE caller; ' . call($function, q{'c'}, $argument), qr/must be owner of connector "c"/, "$function: somebody else's connector");
}
for my $function (sort keys %table_calls)
{
	my $argument = "'$table_calls{$function}'";
	fails(call($function, q{'nobody'}, $argument), qr/ERROR:  connector "nobody" does not exist/, "$function: an unknown connector");
	fails(call($function, 'NULL', $argument), qr/"connector" must not be NULL/, "$function: no connector");
	fails(call($function, q{'c'}, 'NULL'), qr/"source_table" must not be NULL/, "$function: no table");
	fails(call($function, q{'c'}, q{'public.nowhere'}), qr/has no table "public.nowhere"|do not exist at the source: public.nowhere/, "$function: an unknown table");
	fails('SET ROLE plain; ' . call($function, q{'c'}, $argument), qr/permission denied for function $function/, "$function: without the right to call");
	fails('SET ROLE caller; ' . call($function, q{'c'}, $argument), qr/must be owner of connector "c"/, "$function: somebody else's connector");
}
fails("SET ROLE plain; SELECT livesync.create_connector('e', $conninfo)", qr/permission denied for function create_connector/, 'create_connector: without the right to call');
fails("SELECT livesync.create_connector('c', $conninfo)", qr/connector "c" already exists/, 'create_connector: twice');

# --- the wrong state ---------------------------------------------------------------------------

fails(q{SELECT livesync.drop_connector('c')}, qr/connector "c" is not paused\n.*pause_connector/s, 'drop_connector: what runs');
fails(q{SELECT livesync.rename_connector('c', 'd')}, qr/connector "d" already exists/, 'rename_connector: to a name that is taken');
fails(q{SELECT livesync.alter_connector('c', copy_workers => 0)}, qr/copy_workers must be at least 1/, 'alter_connector: no workers');
fails(q{SELECT livesync.alter_connector('c', publications => '{nowhere}')}, qr/nowhere/, 'alter_connector: a publication that does not exist');
fails(q{SELECT livesync.alter_connector('c', source => 'host=/nowhere')}, qr/could not connect to the source/, 'alter_connector: a source that does not answer');
fails(q{SELECT livesync.resume_table('c', 'public.one')}, qr/is not paused\n.*is streaming/s, 'resume_table: what streams');
fails(q{SELECT livesync.retry_table('c', 'public.one')}, qr/has not failed\n.*is streaming/s, 'retry_table: what streams');
fails(q{SELECT livesync.skip_change('c', 'public.one')}, qr/has not failed\n.*is streaming/s, 'skip_change: what streams');
fails(q{SELECT livesync.add_table('c', 'public.one')}, qr/syncs table "public.one" already/, 'add_table: twice');
fails(q{SELECT livesync.rename_connector('c', '')}, qr/must have a name/, 'rename_connector: to no name');
fails(q{SELECT livesync.remove_table('c', 'public.more')}, qr/has no table "public.more"/, 'remove_table: what is not synced');
fails(q{SELECT livesync.alter_connector('c', schema_changes => 'perhaps')}, qr/must be follow or stop/, 'alter_connector: an unknown policy');
is(state_of_all(), $before, 'what is refused leaves no trace');

# --- rolled back -------------------------------------------------------------------------------

$source->safe_psql($db, q{INSERT INTO bad VALUES (200, 'bad'), (201, 'good')});
wait_state($target, $db, 'c', 'public.bad', 'failed');
ask("SELECT livesync.refresh_connector('c')");

# Some stop processes while they last, which the state shows only for a moment; and the failed table may be trying again.
sub settled_state
{
	wait_state($target, $db, 'c', 'public.bad', 'failed');
	poll($target, $db, 'SELECT count(*) = 2 FROM livesync.connector_activity() WHERE pid IS NOT NULL');
	return state_of_all();
}
$before = settled_state();
for my $call (
	"create_connector('e', $conninfo, tables => '{public.more}')",
	q{alter_connector('c', copy_workers => 3)},
	q{alter_connector('d', publications => '{theirs,livesync_c}')},
	q{alter_connector('c', schema_changes => 'stop')},
	"alter_connector('c', source => " . quote_literal(conninfo($source) . ' connect_timeout=9') . ')',
	q{rename_connector('c', 'z')},
	q{pause_connector('c')},
	q{add_table('c', 'public.more')},
	q{remove_table('c', 'public.one')},
	q{pause_table('c', 'public.one')},
	q{retry_table('c', 'public.bad')},
	q{skip_change('c', 'public.bad')},
	$there{resync_table} ? q{resync_table('c', 'public.one')} : ())
{
	my ($function) = $call =~ /^(\w+)/;
	ask("BEGIN; SELECT livesync.$call; ROLLBACK");
	is(settled_state(), $before, "$function: no effect when it is rolled back");
}
ask("BEGIN; SELECT livesync.pause_connector('c'); SELECT livesync.drop_connector('c'); ROLLBACK");
is(settled_state(), $before, 'drop_connector: no effect when it is rolled back');
$source->safe_psql($db, q{INSERT INTO one VALUES (200, 'x')});
wait_caught_up($source, $target, 'd');
poll($target, $db, 'SELECT count(*) = 1 FROM one WHERE id = 200');
pass('and after all of that the connectors stream');

# --- two callers at once -----------------------------------------------------------------------

my $first  = session($target, $db, 'first');
my $second = session($target, $db, 'second');

# Both in a transaction; the second must wait for the first.
sub at_once
{
	my ($call, $other, $expected, $name) = @_;
	$first->query_safe('BEGIN');
	$first->query_safe("SELECT livesync.$call");
	start_query($second, "SELECT livesync.$other");
	wait_event($target, 'second', 'Lock');
	$first->query_safe('COMMIT');
	my $said = finish_query($second);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($said =~ $expected, $name) || diag("it said: $said");
}

my $fine = qr/\A(?:(?!ERROR).)*\z/s;
at_once("create_connector('e', $conninfo, tables => '{public.more}')", "create_connector('e', $conninfo, tables => '{public.more}')",
	qr/duplicate key|already exists/, 'create_connector: one of two is refused');
wait_sync($source, $target, 'e');
at_once(q{alter_connector('e', copy_workers => 3)}, q{alter_connector('e', copy_workers => 5)}, $fine, 'alter_connector: both, one after the other');
is(ask(q{SELECT copy_workers FROM livesync.connectors WHERE name = 'e'}), 5, 'the last one counts');
at_once(q{retry_table('c', 'public.bad')}, q{retry_table('c', 'public.bad')}, qr/has not failed|\A(?:(?!ERROR).)*\z/s, 'retry_table: the second finds it tried, or failed again');
wait_state($target, $db, 'c', 'public.bad', 'failed');
at_once(q{skip_change('c', 'public.bad')}, q{skip_change('c', 'public.bad')}, qr/has not been carried out yet|has not failed/, 'skip_change: one change is dropped, not two');
wait_state($target, $db, 'c', 'public.bad', 'streaming');
is(ask('SELECT string_agg(id::text, $$ $$) FROM bad WHERE id >= 200'), '201', 'the one that failed');
# Else it might be copied before the second one looks.
failpoint($target, 'chunk_loaded/public.two=wait');
at_once(q{resync_table('d', 'public.two')}, q{resync_table('d', 'public.two')}, qr/is being copied again already/, 'resync_table: once');
clear_failpoints($target);
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.events WHERE event = 'table_resynced' AND source_table = 'public.two'});
at_once(q{pause_table('c', 'public.one')}, q{pause_table('c', 'public.one')}, qr/has not been carried out yet|cannot be paused now/, 'pause_table: once');
wait_state($target, $db, 'c', 'public.one', 'paused');
ask(q{BEGIN; SELECT livesync.resume_table('c', 'public.one'); ROLLBACK});
wait_state($target, $db, 'c', 'public.one', 'paused');
ask(q{SELECT livesync.refresh_connector('c')});
is(ask(q{SELECT state FROM livesync.tables WHERE source_table = 'public.one'}), 'paused', 'resume_table: no effect when it is rolled back');
at_once(q{resume_table('c', 'public.one')}, q{resume_table('c', 'public.one')}, qr/is not paused/, 'resume_table: once');
wait_state($target, $db, 'c', 'public.one', 'streaming');
at_once(q{remove_table('c', 'public.one')}, q{remove_table('c', 'public.one')}, $fine, 'remove_table: the same twice');
poll($target, $db, q{SELECT count(*) = 0 FROM livesync.tables WHERE source_table = 'public.one'});
at_once(q{pause_connector('e')}, q{pause_connector('e')}, $fine, 'pause_connector: the same twice');
fails(q{SELECT livesync.refresh_connector('e')}, qr/connector "e" is paused\n.*resume_connector/s, 'refresh_connector: what is paused');
ask(q{BEGIN; SELECT livesync.resume_connector('e'); ROLLBACK});
is(ask(q{SELECT status FROM livesync.connectors WHERE name = 'e'}), 'paused', 'resume_connector: no effect when it is rolled back');
at_once(q{resume_connector('e')}, q{resume_connector('e')}, $fine, 'resume_connector: the same twice');
wait_sync($source, $target, 'e');
ask(q{SELECT livesync.pause_connector('e')});
at_once(q{drop_connector('e')}, q{drop_connector('e')}, qr/does not exist/, 'drop_connector: once');
poll($source, $db, q{SELECT count(*) = 0 FROM pg_publication WHERE pubname = 'livesync_e'});
poll($target, $db, 'SELECT count(*) = 0 FROM livesync.cleanup');
is($source->safe_psql($db, 'SELECT count(*) FROM pg_replication_slots'), 2, 'and cleaned up once');

$_->quit for $first, $second;
check_logs($source, $target);
done_testing();
