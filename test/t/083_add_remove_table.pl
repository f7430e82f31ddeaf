# What is proved: add_table() brings one more table, under another name, without a copy, or one that was
# left out; remove_table() takes one away and it stays away; rename_connector() changes a name and nothing
# else.  All of it beside tables that go on streaming, for publications of our own and of the user.
#
# Why it matters: a table that comes back by itself overwrites what somebody keeps there; one that goes to
# a target of another table mixes the rows of both; and ALTER PUBLICATION waits for locks at the source
# that may be held for hours, during which the stream must go on.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';

$source->safe_psql($db, <<'SQL');
CREATE TABLE one (id int PRIMARY KEY, v text);
CREATE TABLE two (id int PRIMARY KEY, v text);
CREATE TABLE "Odd.Name" (id int PRIMARY KEY, v text);
CREATE TABLE theirs1 (id int PRIMARY KEY, v text);
CREATE TABLE theirs2 (id int PRIMARY KEY, v text);
CREATE TABLE unlisted (id int PRIMARY KEY, v text);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
INSERT INTO one SELECT i, 'a' FROM generate_series(1, 100) i;
INSERT INTO two SELECT * FROM one;
INSERT INTO "Odd.Name" SELECT * FROM one;
INSERT INTO theirs1 SELECT * FROM one;
INSERT INTO theirs2 SELECT * FROM one;
CREATE PUBLICATION theirs FOR TABLE theirs1, theirs2;
SQL

sub ask { return $target->safe_psql($db, $_[0]) }
sub add { return ask('SELECT livesync.add_table(' . join(', ', @_) . ')') }
sub remove { return ask("SELECT livesync.remove_table('$_[0]', '$_[1]')") }
sub gone { return poll($target, $db, "SELECT count(*) = 0 FROM livesync.tables WHERE connector = '$_[0]' AND source_table = '$_[1]'") }
sub members { return $source->safe_psql($db, "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = '$_[0]'") }
sub listed { return ask("SELECT string_agg(source_table || '>' || target_table, ' ' ORDER BY source_table) FROM livesync.tables WHERE connector = '$_[0]'") }
sub wanted { return ask("SELECT array_to_string(wanted_tables, ' ') FROM livesync.connector WHERE name = '$_[0]'") }
sub equal
{
	my ($from, $to, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $sql = 'SELECT count(*), md5(string_agg(t::text, $$,$$ ORDER BY id)) FROM %s t';
	return is(ask(sprintf $sql, $to), $source->safe_psql($db, sprintf($sql, $from)), $name);
}

sub fails
{
	my ($sql, $pattern, $name) = @_;
	my ($out, $err);
	my $status = $target->psql($db, "SELECT livesync.$sql", stdout => \$out, stderr => \$err);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($status != 0 && $err =~ $pattern, "$name is refused") || diag($err);
}

create_connector($target, $db, 'c', conninfo($source), tables => ['public.one']);
create_connector($target, $db, 'd', conninfo($source), publications => ['theirs']);
wait_sync($source, $target, $_) for qw(c d);

# --- what is refused ---------------------------------------------------------------------------

fails("add_table('x', 'public.two')",                  qr/connector "x" does not exist/,                          'an unknown connector');
fails("add_table('c', NULL)",                          qr/"source_table" must not be NULL/,                       'no table');
fails("add_table('c', 'two')",                         qr/has no schema/,                                         'a name without a schema');
fails("add_table('c', 'public.*')",                    qr/not the name of one table/,                             'many tables');
fails("add_table('c', 'public.nowhere')",              qr/do not exist at the source: public.nowhere/,            'a table that does not exist');
fails("add_table('c', 'public.unlogged')",             qr/do not exist at the source/,                            'a table that cannot be published');
fails("add_table('c', 'public.one')",                  qr/syncs table "public.one" already\n.*public\.one/s,      'a table that is synced');
fails("add_table('c', 'public.one', 'public.other')",  qr/already\n.*remove_table/s,                              'another target for it');
fails("add_table('c', 'public.two', 'public.one')",    qr/is the target of another table\n.*Connector "c" writes table "public.one"/s, 'the target of another table');
fails("add_table('c', 'public.two', 'public.theirs1')", qr/Connector "d" writes/,                                 'the target of another connector');
fails("add_table('c', 'public.theirs1')",              qr/Connector "d" writes/,                                  'a table of another connector');
fails("add_table('c', 'public.two', 'livesync.two')",  qr/cannot hold target tables/,                             'a schema of ours as target');
fails("add_table('d', 'public.unlisted')",             qr/is not published\n.*ALTER PUBLICATION theirs ADD TABLE public.unlisted/s, 'what the user does not publish');
fails("add_table('c', 'public.two', chunk_interval => '1 day')", qr/needs a hypertable_column/,                   'an interval without a column');
fails("add_table('c', 'public.two', hypertable_column => 'v')", qr/hypertable/,                                   'a hypertable without TimescaleDB');
fails("remove_table('c', 'public.two')",               qr/has no table "public.two"/,                             'a removal of what is not synced');
fails("remove_table('x', 'public.two')",               qr/connector "x" does not exist/,                          'a removal from nowhere');
is(ask('SELECT count(*) FROM livesync.listing') . members('livesync_c'), '0one', 'nothing came of what was refused');

# --- the own publication -----------------------------------------------------------------------

ask("BEGIN; SELECT livesync.add_table('c', 'public.two'); ROLLBACK");
ask("BEGIN; SELECT livesync.add_table('c', 'public.two'); SELECT livesync.remove_table('c', 'public.two'); COMMIT");
ask("SELECT livesync.refresh_connector('c')");
is(members('livesync_c') . ' ' . listed('c'), 'one public.one>public.one', 'a call that is rolled back, or taken back, has no effect');

add("'c'", "'public.two'", "'elsewhere.zwei'");
is(ask("SELECT livesync.wait_for_sync('c', '180 s')"), 't', 'waiting for sync includes the table');
is(listed('c'), 'public.one>public.one public.two>elsewhere.zwei', 'a table is added under another name');
is(members('livesync_c'), 'one two', 'the own publication has it');
is(wanted('c'), 'public.one public.two', 'also if it must be made again');
$source->safe_psql($db, q{UPDATE two SET v = 'b' WHERE id < 10; DELETE FROM two WHERE id = 20});
wait_sync($source, $target, 'c');
equal('two', 'elsewhere.zwei', 'it is copied and streams');

add("'c'", q{'public.Odd.Name'}, q{'public.Odd too'});
wait_sync($source, $target, 'c');
equal('"Odd.Name"', '"Odd too"', 'a name that must be quoted');
remove('c', 'public.Odd.Name');
gone('c', 'public.Odd.Name');
poll($source, $db, q{SELECT count(*) = 2 FROM pg_publication_tables WHERE pubname = 'livesync_c'});
equal('"Odd.Name"', '"Odd too"', 'the target of a table that is removed stays');
poll($target, $db, q{SELECT array_to_string(wanted_tables, ' ') = 'public.one public.two' FROM livesync.connector WHERE name = 'c'});
is(ask(q{SELECT string_agg(event, ' ' ORDER BY at) FROM livesync.events WHERE source_table = 'public.Odd.Name' AND event LIKE 'table_%'}),
	'table_add_wanted table_added table_streaming table_remove_wanted table_released', 'events tell');

# without copying
$source->safe_psql($db, 'INSERT INTO "Odd.Name" VALUES (200, $$before$$)');
add("'c'", q{'public.Odd.Name'}, q{'public.Odd too'}, 'copy_data => false');
wait_sync($source, $target, 'c');
$source->safe_psql($db, 'INSERT INTO "Odd.Name" VALUES (201, $$after$$)');
wait_sync($source, $target, 'c');
is(ask('SELECT string_agg(id::text, $$ $$ ORDER BY id) FROM "Odd too" WHERE id > 100'), '201', 'without copying only later changes come');

# at once from one target to another
ask(q{BEGIN; SELECT livesync.remove_table('c', 'public.two'); SELECT livesync.add_table('c', 'public.two', 'public.deux'); COMMIT});
wait_sync($source, $target, 'c');
equal('two', 'deux', 'removed and added in one transaction it goes to another target');
$source->safe_psql($db, q{INSERT INTO two VALUES (300, 'x')});
wait_sync($source, $target, 'c');
is(ask('SELECT count(*) FROM elsewhere.zwei WHERE id = 300') . ask('SELECT count(*) FROM deux WHERE id = 300'), '01', 'and only there');

# a target that becomes free may be used by another
ask(q{SELECT livesync.remove_table('c', 'public.two'); SELECT livesync.add_table('c', 'public.unlisted', 'public.deux')});
gone('c', 'public.two');
wait_state($target, $db, 'c', 'public.unlisted', 'streaming');

# --- a lock at the source ----------------------------------------------------------------------

my $locker = session($source, $db, 'locker');
$locker->query_safe('BEGIN');
$locker->query_safe('LOCK TABLE two IN SHARE UPDATE EXCLUSIVE MODE');
add("'c'", "'public.two'");
poll($target, $db, q{SELECT waiting_for LIKE 'a lock on public.two at the source%' FROM livesync.progress WHERE connector = 'c'});
$source->safe_psql($db, q{INSERT INTO one VALUES (400, 'x')});
poll($target, $db, 'SELECT count(*) = 1 FROM one WHERE id = 400');
pass('while a lock at the source is in the way, other tables stream');
is(ask("SELECT livesync.wait_for_sync('c', '100 ms')"), 'f', 'and waiting for sync waits');
$locker->query_safe('COMMIT');
wait_sync($source, $target, 'c');
equal('two', 'two', 'then it is added');
is(ask(q{SELECT waiting_for IS NULL FROM livesync.progress WHERE connector = 'c'}), 't', 'and nothing is waited for');

# the worker dies between the source's publication and our record
failpoint($target, 'publication_altered/public.two=wait');
remove('c', 'public.two');
failpoint_reached($target, $db, 'publication_altered');
my $pid = worker_pid($target, $db, 'connector');
$pid = ask(q{SELECT pid FROM pg_stat_activity WHERE query = 'failpoint publication_altered'});
kill_process($target, $pid);
failpoint_reached($target, $db, 'publication_altered');
clear_failpoints($target);
gone('c', 'public.two');
poll($target, $db, q{SELECT array_to_string(wanted_tables, ' ') !~ 'two' FROM livesync.connector WHERE name = 'c'});
is(members('livesync_c'), 'Odd.Name one unlisted', 'a crash in the middle of a removal is mended');

# what the source refuses is told
$source->safe_psql($db, 'CREATE TABLE dropped (id int PRIMARY KEY)');
ask("SELECT livesync.pause_connector('c')");
add("'c'", "'public.dropped'");
$source->safe_psql($db, 'DROP TABLE dropped');
ask("SELECT livesync.resume_connector('c')");
poll($target, $db, q{SELECT detail ~ 'does not exist' FROM livesync.events WHERE event = 'table_not_added' AND source_table = 'public.dropped'});
is(ask("SELECT livesync.wait_for_sync('c', '180 s')"), 't', 'a table that was dropped before it could be added is waited for no more');

# --- publications of the user ------------------------------------------------------------------

remove('d', 'public.theirs2');
gone('d', 'public.theirs2');
is(members('theirs'), 'theirs1 theirs2', 'a publication of the user stays as it is');
$source->safe_psql($db, q{INSERT INTO theirs2 VALUES (500, 'x'); INSERT INTO theirs1 VALUES (500, 'x')});
wait_sync($source, $target, 'd');
ask("SELECT livesync.refresh_connector('d')");
$target->restart;
ask("SELECT livesync.refresh_connector('d')");
is(listed('d'), 'public.theirs1>public.theirs1', 'the table stays out although it is published, also after a restart');
is(ask('SELECT count(*) FROM theirs2 WHERE id = 500') . ask('SELECT count(*) FROM theirs1 WHERE id = 500'), '01', 'its changes go nowhere');
add("'d'", "'public.theirs2'", "'mine.second'");
wait_sync($source, $target, 'd');
equal('theirs2', 'mine.second', 'it is taken up again under another name');

# --- two callers at once -----------------------------------------------------------------------

my $first  = session($target, $db, 'first');
my $second = session($target, $db, 'second');
$first->query_safe('BEGIN');
$first->query_safe("SELECT livesync.add_table('c', 'public.two', 'public.zweites')");
start_query($second, "SELECT livesync.add_table('c', 'public.two', 'public.drittes')");
wait_event($target, 'second', 'Lock');
$source->safe_psql($db, q{INSERT INTO one VALUES (401, 'x')});
poll($target, $db, 'SELECT count(*) = 1 FROM one WHERE id = 401');
$first->query_safe('COMMIT');
like(finish_query($second), qr/is being added to connector "c" already|syncs table "public.two" already/, 'the second of two callers is told so');
wait_sync($source, $target, 'c');
equal('two', 'zweites', 'the first is served');

# --- another name ------------------------------------------------------------------------------

fails("rename_connector('x', 'y')",  qr/connector "x" does not exist/, 'an unknown connector');
fails("rename_connector('c', 'd')",  qr/connector "d" already exists/, 'a name that is taken');
fails("rename_connector('c', 'c')",  qr/connector "c" already exists/, 'its own name');
fails("rename_connector('c', '')",   qr/must have a name/,             'an empty name');
fails("rename_connector('c', NULL)", qr/must not be NULL/,             'no name');
ask("BEGIN; SELECT livesync.rename_connector('c', 'shop'); ROLLBACK");
my $events = ask(q{SELECT count(*) FROM livesync.events WHERE connector = 'c'});
cmp_ok($events, '>', 10, 'a rename that is rolled back has no effect');
$first->query_safe('BEGIN');
$first->query_safe("SELECT livesync.rename_connector('c', 'shop')");
start_query($second, "SELECT livesync.rename_connector('c', 'store')");
wait_event($target, 'second', 'Lock');
$first->query_safe('COMMIT');
like(finish_query($second), qr/does not exist any more/, 'the second of two who rename is told so');
poll($target, $db, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'livesync connector shop'});
wait_sync($source, $target, 'shop');
$source->safe_psql($db, q{INSERT INTO one VALUES (402, 'x')});
wait_sync($source, $target, 'shop');
same_tables($source, $db, $target, $db, ['public.one'], 'a renamed connector goes on');
is(ask(q{SELECT string_agg(name, ' ' ORDER BY name) FROM livesync.connectors}) . members('livesync_c'),
	'd shopOdd.Name one two unlisted', 'it has the new name, its publication the old one');
cmp_ok(ask(q{SELECT count(*) FROM livesync.events WHERE connector = 'shop'}), '>', $events, 'its events have the new name');
is(ask(q{SELECT count(*) FROM livesync.events WHERE connector = 'c'}), '0', 'all of them');
$target->safe_psql($db, 'CREATE SCHEMA again');
create_connector($target, $db, 'c', conninfo($source), tables => ['public.unlisted'], target_schema => 'again');
wait_sync($source, $target, 'c');
is(members('livesync_c'), 'Odd.Name one two unlisted', 'a new connector of the old name leaves the publication alone');
is(listed('c') . ' ' . members('livesync_c_2'), 'public.unlisted>again.unlisted unlisted', 'and has its own');

# somebody else's publication of that name is not taken over either
$source->safe_psql($db, 'CREATE PUBLICATION livesync_e FOR TABLE two');
$target->safe_psql($db, 'CREATE SCHEMA e');
create_connector($target, $db, 'e', conninfo($source), tables => ['public.one'], target_schema => 'e');
wait_sync($source, $target, 'e');
is(listed('e') . ' ' . members('livesync_e'), 'public.one>e.one two', 'a publication that is there already is not taken over');

# --- names chosen before anything is copied ----------------------------------------------------

create_connector($target, $db, 'f', conninfo($source), publications => ['theirs'], enabled => 'false');
create_connector($target, $db, 'g', conninfo($source), tables => [ 'public.one', 'public.two' ], target_schema => 'g', enabled => 'false');
add("'f'", "'public.theirs1'", "'f.first'");
add("'f'", "'public.theirs2'", "'f.second'");
add("'g'", "'public.two'", "'g.deux'");
ask("SELECT livesync.resume_connector('$_')") for qw(f g);
wait_sync($source, $target, $_) for qw(f g);
is(listed('f'), 'public.theirs1>f.first public.theirs2>f.second', 'targets chosen before the start: publications of the user');
is(listed('g'), 'public.one>g.one public.two>g.deux',             'the own publication');
equal('theirs2', 'f.second', 'they are copied there');

# --- tables without a key ----------------------------------------------------------------------

# They work, but whoever adds one should know what that means.
$source->safe_psql($db, <<'SQL');
CREATE TABLE bare (v text);
CREATE TABLE "by Row" (v text);
ALTER TABLE "by Row" REPLICA IDENTITY FULL;
CREATE TABLE keyed_full (id int PRIMARY KEY, v text);
ALTER TABLE keyed_full REPLICA IDENTITY FULL;
SQL
sub warned
{
	my ($table) = @_;
	my ($out, $err);
	$target->psql($db, "SELECT livesync.add_table('c', '$table')", stdout => \$out, stderr => \$err, on_error_die => 1);
	return $err;
}
like(warned('public.bare'), qr/WARNING:  table "public\.bare" has no replica identity\n.*refuses them.*\n.*ALTER TABLE public\.bare ADD PRIMARY KEY/, 'no key: the source will refuse updates');
like(warned('public.by Row'), qr/WARNING:  table "public\.by Row" has no key at the source\n.*one snapshot.*by all their columns.*\n.*ALTER TABLE public\."by Row" ADD PRIMARY KEY/, 'no key but FULL: what it costs');
is(warned('public.keyed_full'), '', 'with a key there is nothing to say');
$source->safe_psql($db, q{INSERT INTO "by Row" VALUES ('a'), ('a'), ('b')});
wait_sync($source, $target, 'c');
$source->safe_psql($db, q{DELETE FROM "by Row" WHERE v = 'b'});
wait_sync($source, $target, 'c');
same_tables($source, $db, $target, $db, [ { source => '"by Row"', target => 'again."by Row"' } ], 'it is synced all the same');

$_->quit for $locker, $first, $second;
check_logs($source, $target);
done_testing();
