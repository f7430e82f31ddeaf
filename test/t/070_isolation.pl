# One table in trouble never stops the others: a lock on its target sets it apart until the lock is
# free, a change that cannot be written fails it alone, and two source tables never share a target.
use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

$source->safe_psql('postgres', q{
	CREATE TABLE locked (id int PRIMARY KEY, n int);
	CREATE TABLE bad (id int PRIMARY KEY, v text);
	CREATE TABLE good (id int PRIMARY KEY, n int);
	INSERT INTO locked SELECT i, 0 FROM generate_series(1, 100) i;
	CREATE PUBLICATION p FOR TABLE locked, bad, good;
});
$target->append_conf('postgresql.conf', "livesync.lock_timeout = '200ms'");
$target->reload;
create_connector($target, 'postgres', 'c', conninfo($source), publications => ['p']);
wait_sync($source, $target, 'c');

# a lock on one target
my $session = session($target, 'postgres', 'blocker');
$session->query_safe('BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE');
$source->safe_psql('postgres', q{
	UPDATE locked SET n = n + 1;
	INSERT INTO good VALUES (1, 1);
});
poll($target, 'postgres', 'SELECT count(*) FROM good', '1');
pass('a change behind the locked table is applied');
wait_text($target, 'postgres', 'c', 'public.locked', '^a lock on the target table: pid \d+ \(blocker, idle in transaction since \d+ s\)$');
is($target->safe_psql('postgres', "SELECT state FROM livesync.tables WHERE source_table = 'public.locked'"), 'catching_up', 'the view says whose lock the table waits for');
is($target->safe_psql('postgres', "SELECT livesync.wait_for_lsn('c', NULL, '300ms')"),
	'f', 'the position does not claim what is not applied');
$source->safe_psql('postgres', 'TRUNCATE locked; INSERT INTO locked VALUES (7, 7)');
$session->query_safe('COMMIT');
wait_caught_up($source, $target, 'c');

# a lock on a row, and somebody who only reads
my $reader = session($target, 'postgres', 'reader');
$reader->query_safe('BEGIN; SELECT count(*) FROM locked');
$session->query_safe('BEGIN; SELECT FROM locked WHERE id = 7 FOR UPDATE');
$source->safe_psql('postgres', 'UPDATE locked SET n = 8 WHERE id = 7');
wait_text($target, 'postgres', 'c', 'public.locked', '^a lock on the target table: pid \d+ \(blocker, [^()]*\)$');
pass('only who holds it is named');
$session->query_safe('COMMIT');
$_->quit for $session, $reader;
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.locked', 'public.good']);
is($target->safe_psql('postgres', "SELECT count(*) FROM livesync.events WHERE event ~ 'failed'"),
	'0', 'a lock is no failure');

# a change that cannot be written
$target->safe_psql('postgres', q{ALTER TABLE bad ADD CONSTRAINT short CHECK (length(v) < 5)});
$source->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO good VALUES (2, 2);
	INSERT INTO bad VALUES (1, 'far too long');
	INSERT INTO good VALUES (3, 3);
	COMMIT;
	INSERT INTO good VALUES (4, 4);
});
poll($target, 'postgres', 'SELECT count(*) FROM good', '4');
pass('the other table of the same transaction goes on');
my ($error, $hint) = split /\|/,
  $target->safe_psql('postgres',
	"SELECT coalesce(last_error, detail), hint FROM livesync.events e LEFT JOIN livesync.tables t USING (source_table)
	 WHERE e.source_table = 'public.bad' AND event = 'table_failed' ORDER BY e.at LIMIT 1");
like($error, qr/violates check constraint "short"/, 'the failure is told');
unlike($error, qr/far too long/, 'without the values');
$target->safe_psql('postgres', 'ALTER TABLE bad DROP CONSTRAINT short');
poll($target, 'postgres', "SELECT state FROM livesync.tables WHERE source_table = 'public.bad'",
	'streaming');
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.bad', 'public.good']);

# two source tables, one target
$source->safe_psql('postgres', q{
	CREATE SCHEMA a; CREATE SCHEMA b;
	CREATE TABLE a.t (id int PRIMARY KEY); CREATE TABLE b.t (id int PRIMARY KEY);
	INSERT INTO a.t VALUES (1);
	CREATE PUBLICATION q FOR TABLE a.t, b.t;
});
create_connector($target, 'postgres', 'd', conninfo($source), publications => ['q'], target_schema => 'one');
poll($target, 'postgres',
	"SELECT string_agg(source_table || ' ' || state, ', ' ORDER BY source_table) FROM livesync.tables WHERE connector = 'd'",
	'a.t streaming, b.t failed');
like((failure_of($target, 'postgres', 'd', 'b.t'))[0],
	qr/another table has the target "one.t" \(Connector "d" writes table "a.t" to it/, 'a shared target is refused');

# one table, two connectors: the first one has it
create_connector($target, 'postgres', 'e', conninfo($source), publications => ['q']);
wait_state($target, 'postgres', 'e', 'b.t', 'streaming');
create_connector($target, 'postgres', 'f', conninfo($source), publications => ['q']);
is(join('|', failure_of($target, 'postgres', 'f', 'a.t')),
	'another table has the target "a.t" (Connector "e" writes table "a.t" to it.)|Take one of them out by livesync.remove_table(), '
	  . 'or sync it to another target or by a connector with another target_schema.', 'a table in two connectors is refused');
$target->safe_psql('postgres', "SELECT livesync.remove_table('e', 'a.t')");
poll($target, 'postgres', "SELECT count(*) = 0 FROM livesync.tables WHERE connector = 'e' AND source_table = 'a.t'");
retry_table($target, 'postgres', 'f', 'a.t');
wait_state($target, 'postgres', 'f', 'a.t', 'streaming');
pass('and copied by the second one when the first has let it go');

# What an error tells is read by more people than the rows may be: no constraint tells the row that violates it.
$source->safe_psql('postgres', 'CREATE TABLE reserved (id int PRIMARY KEY, room text); CREATE PUBLICATION r FOR TABLE reserved');
create_connector($target, 'postgres', 'g', conninfo($source), publications => ['r']);
wait_sync($source, $target, 'g');
$target->safe_psql('postgres', 'ALTER TABLE reserved ADD EXCLUDE (room WITH =)');
$source->safe_psql('postgres', "INSERT INTO reserved VALUES (1, 'Blaubart'), (2, 'Blaubart')");
wait_row($target, 'postgres', "SELECT 1 FROM livesync.events WHERE connector = 'g' AND event = 'table_failed'");
like((failure_of($target, 'postgres', 'g', 'public.reserved'))[0], qr/violates exclusion constraint/, 'a row that another one excludes');
is($target->safe_psql('postgres', "SELECT count(*) FROM livesync.events WHERE detail ~ 'Blaubart'"), '0', 'is not told with its values');

check_logs($source, $target);
done_testing();
