# A change of a source table's columns is followed by the target, in its place in the stream.
#
# The stream tells names and types of the columns and nothing else; what rows that were there got is in the
# source's catalog, which shows the present and not the moment of the change.  A target that follows wrongly
# loses nothing visibly: rows just differ.  So after each change whole tables are compared, old rows included.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.chunk_size = '8kB'\nlivesync.poll_interval = '1s'\nlivesync.retry_delay = '200ms'");

sub source { return $source->safe_psql('postgres', $_[0]); }
sub target { return $target->safe_psql('postgres', $_[0]); }

sub ends_equal
{
	my ($table, $name) = @_;
	# first it is known that a table must be copied again, then it is
	wait_caught_up($source, $target, 'c');
	wait_sync($source, $target, 'c');
	return same_tables($source, 'postgres', $target, 'postgres', ["public.$table"], $name);
}

sub events
{
	my ($table, $event) = @_;
	return target("SELECT count(*) FROM livesync.events WHERE source_table = 'public.$table' AND event = '$event'");
}

sub type_of
{
	my ($table, $column) = @_;
	return target("SELECT format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' not null' ELSE '' END
		FROM pg_attribute WHERE attrelid = '$table'::regclass AND attname = '$column'");
}

my @tables = qw(added volatile many widened dropped renamed held lagging behind sync keyless stopped);
for (@tables)
{
	source("CREATE TABLE $_ (id int" . ($_ eq 'keyless' ? '' : ' PRIMARY KEY') . ", v text)");
	source("INSERT INTO $_ SELECT i, 'row ' || i FROM generate_series(1, 50) i");
}
source('ALTER TABLE keyless REPLICA IDENTITY FULL');
source('CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
	CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (25);
	CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (25) TO (100);
	INSERT INTO parts SELECT i, i FROM generate_series(1, 50) i');
source('ALTER TABLE widened ADD i2 smallint DEFAULT 1, ADD i4 int DEFAULT 2, ADD f4 real DEFAULT 1.1,
	ADD vc varchar(5) DEFAULT $$abc$$, ADD vt varchar(5) DEFAULT $$abc$$, ADD bp char(3) DEFAULT $$x$$,
	ADD nu numeric(4,2) DEFAULT 1.5, ADD i8 bigint DEFAULT 7, ADD nn numeric(4,2) DEFAULT 2.5, ADD ts timestamp(0) DEFAULT $$2020-01-02 03:04:05$$, ADD mine varchar(5) DEFAULT $$abc$$');
# a table that is the user's, with a column of its own, and one with other partitions than the source's
target('CREATE TABLE held (local text DEFAULT $$mine$$, id int PRIMARY KEY, v text);
	CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
	CREATE TABLE parts_a PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE parts_b PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)');
my @others = grep { $_ ne 'stopped' } @tables;
source('CREATE PUBLICATION p FOR TABLE ' . join(', ', @others) . ', parts WITH (publish_via_partition_root = true)');
create_connector($target, 'postgres', 'c', conninfo($source), publications => ['p']);
wait_sync($source, $target, 'c');

# --- columns that are added ------------------------------------------------------------------

source(q{ALTER TABLE added ADD a int; INSERT INTO added VALUES (101, 'a', 7)});
ends_equal('added', 'a plain column');

source(q{ALTER TABLE added ADD d int DEFAULT 5; ALTER TABLE added ALTER d SET DEFAULT 6; INSERT INTO added (id, v) VALUES (102, 'd')});
ends_equal('added', 'a column with a default that was changed since: rows that were there keep the first one');
target(q{INSERT INTO added (id) VALUES (-1)});
is(target('SELECT d FROM added WHERE id = -1'), 6, 'the default is the one of now');
target(q{DELETE FROM added WHERE id = -1});

source(q{ALTER TABLE added ADD n text NOT NULL DEFAULT 'it''s', ADD arr int[] DEFAULT '{1,2}', ADD t timestamptz DEFAULT now(); UPDATE added SET n = 'x' WHERE id = 3});
ends_equal('added', 'NOT NULL with a default, an array, the moment of the change');
is(type_of('added', 'n'), 'text not null', 'NOT NULL came along');

source(q{ALTER TABLE added ADD later int; ALTER TABLE added ALTER later SET DEFAULT 9; INSERT INTO added (id) SELECT 103});
ends_equal('added', 'a default that came after the column is not for rows that were there');

source(q{BEGIN; ALTER TABLE added ADD nn int; UPDATE added SET nn = id; ALTER TABLE added ALTER nn SET NOT NULL; COMMIT});
ends_equal('added', 'a column that became NOT NULL when it had values');

source(q{ALTER TABLE keyless ADD d int DEFAULT 5; UPDATE keyless SET d = 6 WHERE id = 4; DELETE FROM keyless WHERE id = 5});
ends_equal('keyless', 'rows without a key are found by the new column, too');

source(q{ALTER TABLE parts ADD d int DEFAULT 5; INSERT INTO parts VALUES (70, 'x', 1)});
ends_equal('parts', 'the value of rows of a partitioned table');
is(events('added', 'table_restarted') + events('parts', 'table_restarted') + events('keyless', 'table_restarted'), 0, 'nothing of that was copied again');
is(events('added', 'column_added'), 7, 'each column is told in events');

# --- rows that were written anew without events ----------------------------------------------

source(q{ALTER TABLE volatile ADD r float8 DEFAULT random(); INSERT INTO volatile (id) VALUES (101)});
poll($target, 'postgres', q{SELECT count(*) > 0 FROM livesync.events WHERE source_table = 'public.volatile' AND event = 'table_restarted'});
ends_equal('volatile', 'a volatile default: copied again');
source(q{ALTER TABLE volatile ADD g uuid DEFAULT gen_random_uuid(); ALTER TABLE volatile ALTER g DROP DEFAULT; INSERT INTO volatile (id) VALUES (102)});
poll($target, 'postgres', q{SELECT count(g) = 51 FROM volatile});
ends_equal('volatile', 'a volatile default that is gone already');
source(q{ALTER TABLE volatile ADD s serial; DELETE FROM volatile WHERE id = 7});
poll($target, 'postgres', q{SELECT count(s) > 49 FROM volatile});
ends_equal('volatile', 'a serial column');

# --- several changes in one transaction ------------------------------------------------------

source(<<'SQL');
BEGIN;
INSERT INTO many VALUES (101, 'before');
ALTER TABLE many ADD a int DEFAULT 1;
INSERT INTO many VALUES (102, 'a', 2);
UPDATE many SET v = 'a' WHERE id < 5;
ALTER TABLE many ADD b varchar(3);
INSERT INTO many VALUES (103, 'b', 3, 'b');
ALTER TABLE many ALTER b TYPE varchar(20);
UPDATE many SET b = 'longer than before' WHERE id % 7 = 0;
SAVEPOINT s;
ALTER TABLE many ADD undone int;
INSERT INTO many VALUES (104, 'undone', 3, 'b', 4);
ROLLBACK TO s;
INSERT INTO many VALUES (105, 'end', 3, 'e');
COMMIT;
SQL
ends_equal('many', 'changes of columns and rows in one transaction');
is(target(q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'many'::regclass AND attname = 'undone'}), 0, 'what was rolled back is not followed');

# --- types that are widened ------------------------------------------------------------------

target('ALTER TABLE widened ALTER mine TYPE varchar(3)');
source(<<'SQL');
ALTER TABLE widened ALTER i2 TYPE int, ALTER i4 TYPE bigint, ALTER f4 TYPE float8, ALTER vc TYPE varchar(50), ALTER vt TYPE text,
	ALTER bp TYPE char(10), ALTER nu TYPE numeric(10, 3), ALTER i8 TYPE numeric, ALTER nn TYPE numeric, ALTER ts TYPE timestamp, ALTER mine TYPE varchar(6);
INSERT INTO widened VALUES (101, 'w', 100000, 10000000000, 1.23456789012345, repeat('x', 50), repeat('x', 100), '0123456789',
	1234567.125, 8.25, 123456789.123456, '2020-01-01 00:00:00.123456', 'abc');
SQL
ends_equal('widened', 'wider types, rows that were there included');
is(join(' ', map { type_of('widened', $_) =~ s/ without time zone//r } qw(i2 i4 f4 vc vt bp nu i8 nn ts mine)),
	'integer bigint double precision character varying(50) text character(10) numeric(10,3) numeric numeric timestamp character varying(3)',
	'the types are those of the source, but for the one that was made otherwise here');
is(events('widened', 'column_widened'), 10, 'each is told in events');

# --- columns that go -------------------------------------------------------------------------

source(q{ALTER TABLE dropped ADD c int; INSERT INTO dropped VALUES (101, 'c', 1); ALTER TABLE dropped DROP c; INSERT INTO dropped VALUES (102, 'no c')});
like((failure_of($target, 'postgres', 'c', 'public.dropped'))[1], qr/ALTER TABLE public\.dropped DROP COLUMN c;/, 'the hint says what to run');
is(target('SELECT count(*) FROM dropped WHERE id = 101'), 1, 'what came before is applied');
target('ALTER TABLE dropped DROP COLUMN c');
ends_equal('dropped', 'goes on by itself once the column is dropped');

source(q{BEGIN; INSERT INTO renamed VALUES (100, 'v'); UPDATE renamed SET v = 'vv' WHERE id = 3; ALTER TABLE renamed RENAME v TO w; INSERT INTO renamed VALUES (101, 'w'); COMMIT});
like((failure_of($target, 'postgres', 'c', 'public.renamed'))[1], qr/ALTER TABLE public\.renamed RENAME COLUMN v TO w;/, 'the hint for a renamed column');
is(target('SELECT max(id) FROM renamed'), 100, 'what came before is applied, since it needs the former name');
target('ALTER TABLE renamed RENAME COLUMN v TO w');
retry_table($target, 'postgres', 'c', 'public.renamed');
ends_equal('renamed', 'goes on once the column is renamed');

source(q{ALTER TABLE held DROP v; INSERT INTO held VALUES (101); ALTER TABLE held ADD x int DEFAULT 3; INSERT INTO held VALUES (102, 4)});
wait_state($target, 'postgres', 'c', 'public.held', 'failed');
target('ALTER TABLE held RENAME COLUMN v TO former_v');
ends_equal('held', 'a dropped column whose values are to be kept is renamed');
is(target(q{SELECT count(former_v) || ' ' || count(local) FROM held}), '50 52', 'with its values');

# --- a stream that is behind the catalog -----------------------------------------------------

target(q{SELECT livesync.pause_connector('c')});
source(q{ALTER TABLE lagging ADD a int DEFAULT 1; INSERT INTO lagging VALUES (101, 'a', 2)});
source(q{ALTER TABLE lagging ADD b int DEFAULT 2; UPDATE lagging SET b = 3 WHERE id < 5});
source(q{ALTER TABLE lagging ADD gone int DEFAULT 2; INSERT INTO lagging VALUES (102, 'b', 1, 2, 3)});
source(q{ALTER TABLE lagging ALTER a TYPE bigint; INSERT INTO lagging VALUES (103, 'c', 10000000000, 2, 4)});
source(q{ALTER TABLE lagging DROP gone; INSERT INTO lagging VALUES (104, 'd', 1, 2)});
source(q{ALTER TABLE lagging RENAME b TO c; INSERT INTO lagging VALUES (105, 'e', 1, 2)});
target(q{SELECT livesync.resume_connector('c')});
ends_equal('lagging', 'a stream that is several changes behind ends equal');
source(q{ALTER TABLE lagging ADD z int DEFAULT 8; DELETE FROM lagging WHERE id = 9});
ends_equal('lagging', 'and goes on');

# The same without anything written anew: the catalog cannot tell what the name of a column was once.
target(q{SELECT livesync.pause_connector('c')});
source(q{ALTER TABLE behind ADD a int DEFAULT 1; INSERT INTO behind VALUES (101, 'a', 2)});
source(q{ALTER TABLE behind ADD gone varchar(5) DEFAULT 'g'; INSERT INTO behind VALUES (102, 'b', 1, 'x'); ALTER TABLE behind ALTER a SET DEFAULT 9});
source(q{ALTER TABLE behind DROP gone; INSERT INTO behind VALUES (104, 'd', 1)});
target(q{SELECT livesync.resume_connector('c')});
wait_state($target, 'postgres', 'c', 'public.behind', 'failed');
target('ALTER TABLE behind DROP gone');
ends_equal('behind', 'a column that is gone already was there for its rows');
target(q{SELECT livesync.pause_connector('c')});
source(q{ALTER TABLE behind ADD b int DEFAULT 7; INSERT INTO behind VALUES (105, 'd', 1, 2)});
source(q{ALTER TABLE behind RENAME b TO c; INSERT INTO behind VALUES (106, 'd', 1, 2)});
target(q{SELECT livesync.resume_connector('c')});
ends_equal('behind', 'a new column that has another name by now is not empty');

target(q{SELECT livesync.pause_connector('c')});
source(q{ALTER TABLE behind DROP c; INSERT INTO behind VALUES (107, 'e', 1); ALTER TABLE behind ADD c int DEFAULT 12; DELETE FROM behind WHERE id = 1});
target(q{SELECT livesync.resume_connector('c')});
ends_equal('behind', 'dropped and added again');

# a column that is not published any more is not gone
source('ALTER PUBLICATION p SET TABLE ' . join(', ', map { $_ eq 'behind' ? 'behind (id, a)' : $_ } @others) . ', parts; INSERT INTO behind VALUES (108)');
poll($target, 'postgres', q{SELECT count(*) > 0 FROM behind WHERE id = 108});
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [{ source => 'public.behind', target => 'public.behind', columns => ['id', 'a'] }], 'columns that are published no more');

# --- a commit that is sent long before others see it -----------------------------------------

# It waits for a standby that is not there: the catalog does not show the column whose rows have come.
$source->append_conf('postgresql.conf', 'synchronous_standby_names = nobody');
$source->reload;
my $user = session($source, 'postgres', 'user');
$user->query_safe('SET synchronous_commit = on');
start_query($user, q{BEGIN; ALTER TABLE sync ADD b int DEFAULT 2; DELETE FROM sync WHERE id = 4; COMMIT});
wait_event($source, 'user', 'SyncRep');
wait_state($target, 'postgres', 'c', 'public.sync', 'catching_up');
is(events('sync', 'column_added'), 0, 'nothing is guessed while the source does not show it');
$source->adjust_conf('postgresql.conf', 'synchronous_standby_names', undef);
$source->reload;
finish_query($user);
$user->quit;
ends_equal('sync', 'rows that were there have what the column was added with');

# --- during the copy -------------------------------------------------------------------------

source(q{CREATE TABLE copied (id int PRIMARY KEY, v varchar(400)); INSERT INTO copied SELECT i, repeat('x', 400) FROM generate_series(1, 100) i});
failpoint($target, 'chunk_committed/public.copied=wait');
source('ALTER PUBLICATION p ADD TABLE copied');
failpoint_reached($target, 'postgres', 'chunk_committed');
source(q{ALTER TABLE copied ADD a int DEFAULT 4, ALTER v TYPE varchar(1000); INSERT INTO copied VALUES (101, repeat('y', 1000), 1)});
clear_failpoints($target);
ends_equal('copied', 'changed while it is copied');
is(type_of('copied', 'v'), 'character varying(1000)', 'and widened');
source(q{ALTER TABLE copied ADD b int DEFAULT 4; UPDATE copied SET b = 3 WHERE id < 3});
ends_equal('copied', 'and goes on');

# --- the policy to stop ----------------------------------------------------------------------

create_connector($target, 'postgres', 's', conninfo($source), tables => ['public.stopped'], target_schema => 'away', schema_changes => 'stop');
wait_sync($source, $target, 's');
source(q{ALTER TABLE stopped ADD a int DEFAULT 5; ALTER TABLE stopped ALTER v TYPE varchar; INSERT INTO stopped VALUES (101, 'a', 1)});
my (undef, $hint) = failure_of($target, 'postgres', 's', 'public.stopped');
my ($sql) = $hint =~ /^Run: (.*); the table/;
like($sql, qr/^ALTER TABLE away\.stopped ADD COLUMN a integer DEFAULT '5'; ALTER TABLE away\.stopped ALTER COLUMN a SET DEFAULT 5$/, 'the hint has all that is needed');
target($sql);
wait_sync($source, $target, 's');
same_tables($source, 'postgres', $target, 'postgres', [{ source => 'public.stopped', target => 'away.stopped' }], 'run by hand, the hint gives the same');
source(q{ALTER TABLE stopped ADD b int; DELETE FROM stopped WHERE id = 2});
wait_state($target, 'postgres', 's', 'public.stopped', 'failed');
target(q{SELECT livesync.alter_connector('s', schema_changes => 'follow')});
wait_sync($source, $target, 's');
same_tables($source, 'postgres', $target, 'postgres', [{ source => 'public.stopped', target => 'away.stopped' }], 'the policy is changed, and it goes on');
isnt($target->psql('postgres', q{SELECT livesync.alter_connector('s', schema_changes => 'guess')}), 0, 'another word is refused');

check_logs($source, $target);
done_testing();
