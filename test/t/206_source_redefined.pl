# A table whose definition changes at the source in ways that the stream does not tell, or tells only half.
#
# What finds a row is the source's key.  A key that is dropped leaves rows which it would not tell apart any more; with
# another key a row that is fetched again must be asked for by that one.  Taken for the old key, changes hit
# several rows, and a row that is asked for is not found and taken for deleted, both without an error.
#
# And columns that keep name and type may have other values in all rows, which no change brings: names that were
# exchanged, a column that was dropped and added, ALTER TYPE with an expression.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

sub is_same
{
	my ($name, @tables) = @_;
	wait_sync($source, $target, 'c');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return same_tables($source, 'postgres', $target, 'postgres', \@tables, $name);
}

# Two looks at the source, of which the second surely began after the setting was read, and then none by itself.
sub look_no_more
{
	$target->safe_psql('postgres', $_)
	  for q{ALTER SYSTEM SET livesync.poll_interval = '1h'}, 'SELECT pg_reload_conf()', ("SELECT livesync.refresh_connector('c')") x 2;
	return;
}

sub look_again
{
	$target->safe_psql('postgres', $_)
	  for 'ALTER SYSTEM RESET livesync.poll_interval', 'SELECT pg_reload_conf()', "SELECT livesync.refresh_connector('c')";
	return;
}

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE dropped (id int PRIMARY KEY, v text);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE composite (k pair PRIMARY KEY, large text);
ALTER TABLE composite ALTER large SET STORAGE EXTERNAL;
CREATE TABLE exchanged (id int PRIMARY KEY, k int NOT NULL, large text);
ALTER TABLE exchanged ALTER large SET STORAGE EXTERNAL;
INSERT INTO dropped SELECT i, 'first' FROM generate_series(1, 20) i;
INSERT INTO composite SELECT ROW(i, 'x')::pair, repeat('0123456789', 500) || i FROM generate_series(1, 20) i;
INSERT INTO exchanged SELECT i, i + 1000, repeat('0123456789', 500) || i FROM generate_series(1, 20) i;
SQL
$target->safe_psql('postgres', 'CREATE TYPE pair AS (a int, b text)');
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.dropped', 'public.exchanged', 'public.composite' ]);
wait_sync($source, $target, 'c');

# --- a key that is dropped -------------------------------------------------------------------
$target->safe_psql('postgres', 'ALTER TABLE dropped DROP CONSTRAINT dropped_pkey');
$source->safe_psql('postgres', <<'SQL');
BEGIN;
ALTER TABLE dropped DROP CONSTRAINT dropped_pkey;
ALTER TABLE dropped REPLICA IDENTITY FULL;
INSERT INTO dropped SELECT i, 'second' FROM generate_series(1, 10) i;
COMMIT;
UPDATE dropped SET v = 'changed' WHERE v = 'second' AND id < 5;
DELETE FROM dropped WHERE v = 'second' AND id = 6;
DELETE FROM dropped WHERE v = 'first' AND id = 7;
SQL
is_same('rows that the former key does not tell apart', 'public.dropped');

# The target still has a key: it cannot have both rows, and must say so.
$source->safe_psql('postgres', "DELETE FROM dropped WHERE v <> 'first'");
wait_caught_up($source, $target, 'c');
$target->safe_psql('postgres', 'ALTER TABLE dropped ADD PRIMARY KEY (id)');
$source->safe_psql('postgres', "INSERT INTO dropped VALUES (1, 'second')");
wait_state($target, 'postgres', 'c', 'public.dropped', 'failed');
like($target->safe_psql('postgres', "SELECT last_error FROM livesync.tables WHERE source_table = 'public.dropped'"),
	qr/duplicate key value violates unique constraint "dropped_pkey"/, 'a row that only the source can have');
$target->safe_psql('postgres', 'ALTER TABLE dropped DROP CONSTRAINT dropped_pkey');
retry_table($target, 'postgres', 'c', 'public.dropped');
is_same('rows of the key that the target had, too', 'public.dropped');

# The same where no look at the source has seen yet that the key is gone, and only the change itself comes.
$source->safe_psql('postgres', "CREATE TABLE unseen (id int PRIMARY KEY, v text); ALTER TABLE unseen REPLICA IDENTITY FULL; INSERT INTO unseen VALUES (1, 'first'), (2, 'first')");
$target->safe_psql('postgres', "SELECT livesync.add_table('c', 'public.unseen')");
wait_sync($source, $target, 'c');
look_no_more();
$source->safe_psql('postgres', "ALTER TABLE unseen DROP CONSTRAINT unseen_pkey; INSERT INTO unseen VALUES (1, 'second')");
wait_state($target, 'postgres', 'c', 'public.unseen', 'catching_up');
look_again();
like((failure_of($target, 'postgres', 'c', 'public.unseen'))[0], qr/duplicate key value violates unique constraint "unseen_pkey"/, 'a key that has just gone');
$target->safe_psql('postgres', 'ALTER TABLE unseen DROP CONSTRAINT unseen_pkey');
retry_table($target, 'postgres', 'c', 'public.unseen');
is_same('rows of a key that has just gone', 'public.unseen');

# --- another key, and rows that are fetched again ----------------------------------------------
# A row that moves to another key leaves its large value behind while the table catches up, so it is asked for.
$target->safe_psql('postgres', "SELECT livesync.pause_table('c', 'public.exchanged')");
wait_state($target, 'postgres', 'c', 'public.exchanged', 'paused');
$source->safe_psql('postgres', <<'SQL');
BEGIN;
ALTER TABLE exchanged DROP CONSTRAINT exchanged_pkey;
ALTER TABLE exchanged ADD PRIMARY KEY (k);
UPDATE exchanged SET k = k + 1000 WHERE id % 2 = 0;
COMMIT;
SQL
$target->safe_psql('postgres', 'ALTER TABLE exchanged DROP CONSTRAINT exchanged_pkey, ADD PRIMARY KEY (k)');
$target->safe_psql('postgres', "SELECT livesync.resume_table('c', 'public.exchanged')");
is_same('large values under another key', 'public.exchanged');

# A key of a composite type.
$target->safe_psql('postgres', "SELECT livesync.pause_table('c', 'public.composite')");
wait_state($target, 'postgres', 'c', 'public.composite', 'paused');
$source->safe_psql('postgres', "UPDATE composite SET k = ROW((k).a, 'y')::pair WHERE (k).a % 2 = 0");
$target->safe_psql('postgres', "SELECT livesync.resume_table('c', 'public.composite')");
is_same('large values under a composite key', 'public.composite');

# --- columns that are not what they were ---------------------------------------------------------
my %altered = (
	names_exchanged  => 'BEGIN; ALTER TABLE %1$s RENAME a TO x; ALTER TABLE %1$s RENAME b TO a; ALTER TABLE %1$s RENAME x TO b; COMMIT',
	dropped_last     => "ALTER TABLE %s DROP c, ADD c float8 DEFAULT 7",
	dropped_in_between => "ALTER TABLE %s DROP a, ADD a text DEFAULT 'added'",
	expression       => 'ALTER TABLE %s ALTER a TYPE text USING upper(a)',
	rounded          => 'ALTER TABLE %s ALTER c TYPE real',
	uncopied         => 'ALTER TABLE %s ALTER a TYPE text USING upper(a)',
	# and what looks alike, but changes no value
	widened          => 'ALTER TABLE %s ALTER n TYPE bigint',
	written_anew     => 'VACUUM FULL %s',
	checked          => 'ALTER TABLE %s ALTER a SET NOT NULL');
my @altered = sort keys %altered;
$source->safe_psql('postgres', "CREATE TABLE $_ (id int PRIMARY KEY, n int, a text, b text, c float8); INSERT INTO $_ SELECT i, i, 'a' || i, 'b' || i, i + 0.123456789 FROM generate_series(1, 20) i")
  for @altered;
$target->safe_psql('postgres', 'CREATE TABLE uncopied (id int PRIMARY KEY, n int, a text, b text, c float8)');
$target->safe_psql('postgres', "SELECT livesync.add_table('c', 'public.$_', copy_data => '$_' <> 'uncopied')") for @altered;
poll($target, 'postgres', "SELECT count(*) FROM livesync.tables WHERE state = 'streaming'", @altered + 4);
# two looks at the source: nothing has changed
$target->safe_psql('postgres', "SELECT livesync.refresh_connector('c')") for 1, 2;
is($target->safe_psql('postgres', "SELECT count(*) FROM livesync.events WHERE event = 'table_resync_wanted'"), '0', 'nothing is copied again without a reason');

for my $table (@altered)
{
	$source->safe_psql('postgres', sprintf($altered{$table}, $table));
	$source->safe_psql('postgres', "UPDATE $table SET b = 'changed' WHERE id < 5");
}
my @copied_again = qw(dropped_in_between dropped_last expression names_exchanged rounded);
poll($target, 'postgres', "SELECT string_agg(source_table, ' ' ORDER BY source_table) FROM livesync.events WHERE event = 'table_resynced'",
	join ' ', map { "public.$_" } @copied_again);
is_same("values that no change brings: $_", "public.$_") for @copied_again;
$target->safe_psql('postgres', "SELECT livesync.refresh_connector('c')") for 1, 2;
is_same("no value changed: $_", "public.$_") for qw(checked widened written_anew);
is($target->safe_psql('postgres', "SELECT string_agg(source_table, ' ' ORDER BY source_table) FROM livesync.events WHERE event = 'table_resync_wanted'"),
	join(' ', map { "public.$_" } @copied_again), 'and only these are copied again, once');
is($target->safe_psql('postgres', "SELECT source_table, detail FROM livesync.events WHERE event = 'column_not_copied'"),
	'public.uncopied|Column "a" was written anew in all rows. The table is synced without copying, so rows that were there may have other values here. livesync.resync_table() copies all.',
	'a table without a copy is told of');
# --- a partition that is away for a moment -------------------------------------------------------
# It is published because its root is: what is done to it meanwhile is not sent.
$source->safe_psql('postgres', <<'SQL');
CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200);
INSERT INTO parted SELECT i, 'first' FROM generate_series(1, 199) i;
CREATE PUBLICATION leaves FOR TABLE parted;
SQL
create_connector($target, 'postgres', 'leaves', conninfo($source), publications => ['leaves']);
wait_sync($source, $target, 'leaves');
$source->safe_psql('postgres', <<'SQL');
BEGIN;
ALTER TABLE parted DETACH PARTITION parted_2;
DELETE FROM parted_2 WHERE id < 150;
UPDATE parted_2 SET v = 'while it was away' WHERE id > 180;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (100) TO (200);
COMMIT;
SQL
poll($target, 'postgres', "SELECT string_agg(source_table, ' ') FROM livesync.events WHERE connector = 'leaves' AND event = 'table_restarted'", 'public.parted_2');
wait_sync($source, $target, 'leaves');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.parted_1', 'public.parted_2' ], 'a partition that was away for a moment');

# --- a table that is in another schema for a moment ------------------------------------------------
$source->safe_psql('postgres', <<'SQL');
CREATE SCHEMA published; CREATE SCHEMA elsewhere;
CREATE TABLE published.moved (id int PRIMARY KEY, v text);
INSERT INTO published.moved SELECT i, 'first' FROM generate_series(1, 20) i;
CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA published;
SQL
create_connector($target, 'postgres', 'of_schema', conninfo($source), publications => ['of_schema']);
wait_sync($source, $target, 'of_schema');
$source->safe_psql('postgres', <<'SQL');
BEGIN;
ALTER TABLE published.moved SET SCHEMA elsewhere;
UPDATE elsewhere.moved SET v = 'while it was away' WHERE id < 5;
ALTER TABLE elsewhere.moved SET SCHEMA published;
COMMIT;
SQL
poll($target, 'postgres', "SELECT count(*) FROM livesync.events WHERE connector = 'of_schema' AND event = 'table_restarted'", 1);
wait_sync($source, $target, 'of_schema');
same_tables($source, 'postgres', $target, 'postgres', ['published.moved'], 'a table that was in another schema for a moment');

# --- a publication that publishes less for a moment ----------------------------------------------
$source->safe_psql('postgres', 'CREATE TABLE shortly (id int PRIMARY KEY); CREATE PUBLICATION mine FOR TABLE shortly');
create_connector($target, 'postgres', 'mine', conninfo($source), publications => ['mine']);
wait_sync($source, $target, 'mine');
$target->safe_psql('postgres', "SELECT livesync.refresh_connector('mine')");
$source->safe_psql('postgres', <<'SQL');
BEGIN;
ALTER PUBLICATION mine SET (publish = 'insert');
ALTER PUBLICATION mine SET (publish = 'insert, update, delete, truncate');
COMMIT;
SQL
poll($target, 'postgres', "SELECT string_agg(detail, ' ') ~ '^Options of publication \"mine\" were set at the source' FROM livesync.events WHERE event = 'publication_altered'");
is($target->safe_psql('postgres', "SELECT connector, source_table, count(*) FROM livesync.events WHERE event = 'publication_altered' GROUP BY 1, 2"), 'mine||1', 'it is told of, once');

# --- rows that are asked for, of a table that is another one by now ------------------------------
# A key that has another name by now: there is no row to ask for, and the hint says what is left to do.
$source->safe_psql('postgres', "CREATE TABLE named (id int PRIMARY KEY, large text); ALTER TABLE named ALTER large SET STORAGE EXTERNAL; INSERT INTO named SELECT i, repeat('0123456789', 500) || i FROM generate_series(1, 20) i");
$target->safe_psql('postgres', "SELECT livesync.add_table('c', 'public.named')");
wait_sync($source, $target, 'c');
$target->safe_psql('postgres', "SELECT livesync.pause_table('c', 'public.named')");
wait_state($target, 'postgres', 'c', 'public.named', 'paused');
$source->safe_psql('postgres', 'UPDATE named SET id = id + 100 WHERE id < 10; ALTER TABLE named RENAME id TO number');
$target->safe_psql('postgres', "SELECT livesync.resume_table('c', 'public.named')");
my ($why, $hint) = failure_of($target, 'postgres', 'c', 'public.named');
like($why, qr/could not fetch a row of table "public"."named": column "id" does not exist/, 'a row that cannot be asked for');
like($hint, qr/Give the target the columns that the source has now .*resync_table/, 'and what to do');
$target->safe_psql('postgres', 'ALTER TABLE named RENAME id TO number');
$target->safe_psql('postgres', "SELECT livesync.resync_table('c', 'public.named')");
is_same('rows of a key that has another name', 'public.named');

# A table whose name another one has for a moment, between two looks: no row of that one is taken.
$target->safe_psql('postgres', "SELECT livesync.pause_table('c', 'public.named')");
wait_state($target, 'postgres', 'c', 'public.named', 'paused');
look_no_more();
$source->safe_psql('postgres', 'UPDATE named SET number = number + 100 WHERE number < 105');
$source->safe_psql('postgres', "BEGIN; ALTER TABLE named RENAME TO away; CREATE TABLE named AS SELECT number, 'another' AS large FROM away; COMMIT");
my $offset = -s $source->logfile;
$target->safe_psql('postgres', "SELECT livesync.resume_table('c', 'public.named')");
$source->wait_for_log(qr/LEFT JOIN \(SELECT true AS found, "number", "large" FROM/, $offset);
wait_caught_up($source, $target, 'c');
$source->safe_psql('postgres', 'BEGIN; DROP TABLE named; ALTER TABLE away RENAME TO named; COMMIT');
look_again();
is_same('rows of a table whose name another one had', 'public.named');

is($target->safe_psql('postgres', "SELECT source_table, last_error FROM livesync.tables WHERE state <> 'streaming'"), '', 'all tables stream');

check_logs($source, $target);
done_testing();
