# What is proved: skip_change() drops exactly the one change that makes a table fail, and the table then
# goes on with all others: those before it in the same source transaction and those after it.  It drops
# nothing when no change, another change or the table as a whole is what fails.
#
# Why it matters: it is the one call that makes source and target differ on purpose.  A change too many
# that it drops is lost, and nobody asked for that.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

# nothing is retried by itself: each failure stands until a call
my ($source, $target) = pair(target_conf => "livesync.retry_delay = '1min'");
my $db = 'postgres';

$source->safe_psql($db, <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE bag (id int, v text);
ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE other (id int PRIMARY KEY);
INSERT INTO t SELECT i, 'old' FROM generate_series(1, 20) i;
INSERT INTO bag SELECT * FROM t;
SQL

sub ask { return $target->safe_psql($db, $_[0]) }
sub skip_change { return ask("SELECT livesync.skip_change('c', '$_[0]')") }
sub skipped { return ask("SELECT skipped FROM livesync.stats WHERE source_table = '$_[0]'") }
sub last_event
{
	return ask("SELECT event || ': ' || coalesce(detail, '') FROM livesync.events WHERE source_table = '$_[0]' AND event LIKE 'change_%skipped' ORDER BY at DESC LIMIT 1");
}

sub fails
{
	my ($sql, $pattern, $name) = @_;
	my ($out, $err);
	my $status = $target->psql($db, $sql, stdout => \$out, stderr => \$err);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($status != 0 && $err =~ $pattern, "$name is refused") || diag($err);
}

create_connector($target, $db, 'c', conninfo($source), tables => [ 'public.t', 'public.bag', 'public.other' ]);
wait_sync($source, $target, 'c');
ask(q{ALTER TABLE t ADD CONSTRAINT not_bad CHECK (v !~ 'secret'), ADD CONSTRAINT not_awful CHECK (v !~ 'awful')});
ask(q{ALTER TABLE bag ADD CONSTRAINT not_bad CHECK (v !~ 'secret')});

fails("SELECT livesync.skip_change('x', 'public.t')", qr/connector "x" does not exist/, 'an unknown connector');
fails("SELECT livesync.skip_change('c', 'public.x')", qr/has no table "public.x"/,      'an unknown table');
fails("SELECT livesync.skip_change('c', 'public.t')", qr/has not failed\n.*is streaming/s, 'a table that streams');

# --- one change of a transaction of many -------------------------------------------------------

for my $table (qw(t bag))
{
	$source->safe_psql($db, <<"SQL");
BEGIN;
INSERT INTO $table VALUES (100, 'before');
UPDATE $table SET v = 'before' WHERE id = 1;
UPDATE $table SET v = 'secret' WHERE id = 2;
UPDATE $table SET v = 'after' WHERE id = 3;
DELETE FROM $table WHERE id = 4;
INSERT INTO $table VALUES (101, 'after');
INSERT INTO other SELECT count(*) + 1 FROM other;
COMMIT;
INSERT INTO $table VALUES (102, 'later');
SQL
	wait_state($target, $db, 'c', "public.$table", 'failed');
	poll($target, $db, "SELECT spooled_changes >= 7 FROM livesync.tables WHERE source_table = 'public.$table'");
	skip_change("public.$table");
	wait_state($target, $db, 'c', "public.$table", 'streaming');
	same_tables($source, $db, $target, $db, [ { source => "public.$table", target => "public.$table", where => 'id <> 2' } ],
		"$table: all but the change that failed is applied");
	is(ask("SELECT v FROM $table WHERE id = 2"), 'old', "$table: that one is not");
	is(skipped("public.$table"), 1, "$table: it is counted");
	my $key = $table eq 't' ? 'key columns: id' : '';
	like(last_event("public.$table"), qr{^change_skipped: UPDATE of the source transaction that committed at [0-9A-F]+/[0-9A-F]+.*$key}i, "$table: it is told which");
	unlike(last_event("public.$table"), qr/secret|old/, "$table: without its values");
	$source->safe_psql($db, "UPDATE $table SET v = 'good' WHERE id = 2");
}
wait_caught_up($source, $target, 'c');
same_tables($source, $db, $target, $db, [ 'public.t', 'public.other' ]);

# --- one call, one change ----------------------------------------------------------------------

$source->safe_psql($db, q{INSERT INTO t VALUES (201, 'secret')});
$source->safe_psql($db, q{INSERT INTO t VALUES (202, 'secret')});
$source->safe_psql($db, q{INSERT INTO t VALUES (203, 'fine')});
wait_state($target, $db, 'c', 'public.t', 'failed');
poll($target, $db, q{SELECT spooled_changes >= 3 FROM livesync.tables WHERE source_table = 'public.t'});

ask("BEGIN; SELECT livesync.skip_change('c', 'public.t'); ROLLBACK");
is(ask('SELECT count(*) FROM livesync.wish'), 0, 'a call that is rolled back is none');

my $first  = session($target, $db, 'first');
my $second = session($target, $db, 'second');
$first->query_safe('BEGIN');
$first->query_safe("SELECT livesync.skip_change('c', 'public.t')");
start_query($second, "SELECT livesync.skip_change('c', 'public.t')");
wait_event($target, 'second', 'Lock');
$first->query_safe('COMMIT');
like(finish_query($second), qr/has not been carried out yet/, 'two callers drop one change');
$_->quit for $first, $second;
poll($target, $db, q{SELECT count(*) = 0 FROM livesync.wish});
wait_state($target, $db, 'c', 'public.t', 'failed');
is(skipped('public.t'), 2, 'one more is dropped');
skip_change('public.t');
wait_state($target, $db, 'c', 'public.t', 'streaming');
is(ask('SELECT string_agg(id::text, $$ $$ ORDER BY id) FROM t WHERE id > 200'), '203', 'the next call drops the next');
$source->safe_psql($db, 'DELETE FROM t WHERE id IN (201, 202)');

# --- when nothing is to be dropped -------------------------------------------------------------

$source->safe_psql($db, q{INSERT INTO t VALUES (301, 'secret'); INSERT INTO t VALUES (302, 'awful')});
wait_state($target, $db, 'c', 'public.t', 'failed');
poll($target, $db, q{SELECT spooled_changes >= 2 FROM livesync.tables WHERE source_table = 'public.t'});
ask('ALTER TABLE t DROP CONSTRAINT not_bad');
skip_change('public.t');
poll($target, $db, q{SELECT last_error ~ 'not_awful' AND state = 'failed' FROM livesync.tables WHERE source_table = 'public.t'});
like(last_event('public.t'), qr/^change_not_skipped: .*another error/, 'a change with another error is left alone');
ask('ALTER TABLE t DROP CONSTRAINT not_awful');
skip_change('public.t');
wait_state($target, $db, 'c', 'public.t', 'streaming');
like(last_event('public.t'), qr/^change_not_skipped: No change fails/, 'nor is anything dropped when nothing fails');
wait_caught_up($source, $target, 'c');
same_tables($source, $db, $target, $db, ['public.t'], 'so nothing is missing');

ask('ALTER TABLE t RENAME v TO w');
$source->safe_psql($db, q{INSERT INTO t VALUES (401, 'fine')});
wait_state($target, $db, 'c', 'public.t', 'failed');
poll($target, $db, q{SELECT spooled_changes >= 1 FROM livesync.tables WHERE source_table = 'public.t'});
skip_change('public.t');
poll($target, $db, q{SELECT count(*) = 0 FROM livesync.wish});
wait_state($target, $db, 'c', 'public.t', 'failed');
like(last_event('public.t'), qr/^change_not_skipped: No single change/, 'nor when it is the table that does not fit');
ask('ALTER TABLE t RENAME w TO v');
ask("SELECT livesync.retry_table('c', 'public.t')");
wait_sync($source, $target, 'c');
same_tables($source, $db, $target, $db, ['public.t'], 'so nothing is missing then');

# --- a TRUNCATE --------------------------------------------------------------------------------

ask(<<'SQL');
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not here''; END';
CREATE TRIGGER keep BEFORE TRUNCATE ON t EXECUTE FUNCTION no();
ALTER TABLE t ENABLE ALWAYS TRIGGER keep;
SQL
my $rows = ask('SELECT count(*) FROM t');
$source->safe_psql($db, q{TRUNCATE t; INSERT INTO t VALUES (501, 'new')});
wait_state($target, $db, 'c', 'public.t', 'failed');
poll($target, $db, q{SELECT spooled_changes >= 2 FROM livesync.tables WHERE source_table = 'public.t'});
skip_change('public.t');
wait_state($target, $db, 'c', 'public.t', 'streaming');
is(ask('SELECT count(*) FROM t'), $rows + 1, 'a TRUNCATE can be dropped too');

# --- a table that failed in its copy -----------------------------------------------------------

$source->safe_psql($db, q{CREATE TABLE early (id int PRIMARY KEY, v text); INSERT INTO early VALUES (1, 'secret')});
ask(q{CREATE TABLE early (id int PRIMARY KEY, v text CHECK (v !~ 'secret'))});
create_connector($target, $db, 'd', conninfo($source), tables => ['public.early']);
wait_state($target, $db, 'd', 'public.early', 'failed');
fails("SELECT livesync.skip_change('d', 'public.early')", qr/has no change that fails\n.*while its rows were copied/s, 'a table that failed in its copy');

check_logs($source, $target);
done_testing();
