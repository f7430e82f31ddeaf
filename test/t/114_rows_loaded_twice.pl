# Rows that were loaded twice are found by the keys of the changes that wait, before the key's index is built: it is built
# once.
#
# What moves while the table is read may be there twice when the load has ended.  To build the index, fail, look through the
# whole table for such rows and build it again made the copy of a busy table slower than the server's own.
# But the changes tell which keys can be there twice, as soon as the stream has passed what the load saw.  Each way in which a
# key comes twice must be among them: whatever is not found costs the second build, and must still end equal.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(
	source_conf => 'autovacuum = off',
	target_conf => "livesync.chunk_size = '8kB'\nmax_worker_processes = 16");

$_->safe_psql('postgres', "CREATE DOMAIN code AS varchar(20) CHECK (VALUE <> '')") for $source, $target;

# Keys of several columns and types, not in the order of the columns; one that is stored out of line; one that is not the primary key.
$source->safe_psql('postgres', <<'SQL');
CREATE TABLE plain (id int PRIMARY KEY, v text, pad text DEFAULT repeat('x', 400));
CREATE TABLE several (pad text DEFAULT repeat('x', 400), "B c" code, v text, a numeric, PRIMARY KEY (a, "B c"));
CREATE TABLE long (id text PRIMARY KEY, v text, pad text DEFAULT repeat('x', 400));
ALTER TABLE long ALTER id SET STORAGE EXTERNAL;
CREATE TABLE ident (id int PRIMARY KEY, u timestamptz NOT NULL UNIQUE, v text, pad text DEFAULT repeat('x', 400));
ALTER TABLE ident REPLICA IDENTITY USING INDEX ident_u_key;
CREATE TABLE whole (id int PRIMARY KEY, v text, pad text DEFAULT repeat('x', 400));
ALTER TABLE whole REPLICA IDENTITY FULL;
INSERT INTO plain SELECT i, 'first' FROM generate_series(1, 200) i;
INSERT INTO several ("B c", a, v) SELECT 'k' || i, i / 3, 'first' FROM generate_series(1, 200) i;
INSERT INTO long SELECT i || repeat('-', 2100), 'first' FROM generate_series(1, 60) i;
INSERT INTO ident SELECT i, timestamptz '2020-01-01' + i * interval '1 h', 'first' FROM generate_series(1, 200) i;
INSERT INTO whole SELECT i, 'first' FROM generate_series(1, 200) i;
DELETE FROM plain WHERE id BETWEEN 70 AND 99;
DELETE FROM several WHERE a BETWEEN 30 AND 40;
DELETE FROM long WHERE id ~ '^4.-';
DELETE FROM ident WHERE id BETWEEN 70 AND 99;
DELETE FROM whole WHERE id BETWEEN 70 AND 99;
VACUUM;
SQL
my %key = (plain => 'id', several => 'a, "B c"', long => 'id', ident => 'u');
my @tables = sort keys %key;

failpoint($target, 'chunk_committed=wait');
create_connector($target, 'postgres', $_, conninfo($source), tables => ["public.$_"], copy_workers => 1) for @tables;
failpoint_reached($target, 'postgres', 'chunk_committed', scalar @tables);

# Rows of the first chunk go to places that are still to be read: by updates, with and without unchanged large values; by a key
# that changes to one that was read already; by being deleted and inserted anew.
$source->safe_psql('postgres', <<'SQL');
UPDATE plain SET v = 'moved' WHERE id BETWEEN 2 AND 5;
DELETE FROM plain WHERE id = 6; INSERT INTO plain VALUES (6, 'again');
BEGIN; DELETE FROM plain WHERE id = 7; UPDATE plain SET id = 7 WHERE id = 150; COMMIT;
UPDATE several SET v = 'moved' WHERE a = 1;
DELETE FROM several WHERE a = 2; INSERT INTO several (a, "B c", v) VALUES (2.00, 'k6', 'again');
UPDATE long SET v = 'moved' WHERE id ~ '^[23]-';
UPDATE ident SET v = 'moved' WHERE id BETWEEN 2 AND 5;
BEGIN; DELETE FROM ident WHERE id = 7; UPDATE ident SET u = timestamptz '2020-01-01' + 7 * interval '1 h' WHERE id = 150; COMMIT;
SQL
failpoint($target, 'key_index_wanted=wait');
failpoint_reached($target, 'postgres', 'key_index_wanted', scalar @tables);
for my $table (@tables)
{
	my $twice = $target->safe_psql('postgres', "SELECT count(*) FROM (SELECT FROM $table GROUP BY $key{$table} HAVING count(*) > 1) x");
	cmp_ok($twice, '>=', 1, "$table: keys are there twice");
}

# Who builds it again waits there: these do not.
failpoint($target, 'key_index_again=wait');
for my $table (@tables)
{
	wait_sync($source, $target, $table);
	same_tables($source, 'postgres', $target, 'postgres', ["public.$table"], "$table: built once, and the same");
}
is($target->safe_psql('postgres', "SELECT count(*) FROM pg_index WHERE indisprimary AND indrelid::regclass::text = ANY ('{plain,several,long,ident}')"),
	scalar @tables, 'all have their primary keys');

# --- the stream is behind ---------------------------------------------------------------------

failpoint($target, 'chunk_committed/public.whole=wait');
create_connector($target, 'postgres', 'whole', conninfo($source), tables => ['public.whole'], copy_workers => 1);
failpoint_reached($target, 'postgres', 'chunk_committed');
failpoint($target, 'chunk_committed/public.whole=wait', 'spool_before_commit=wait');
$source->safe_psql('postgres', "UPDATE whole SET v = 'moved' WHERE id BETWEEN 2 AND 5");
failpoint_reached($target, 'postgres', 'spool_before_commit');
failpoint($target, 'spool_before_commit=wait', 'key_index_again=wait');
wait_text($target, 'postgres', 'whole', 'public.whole', '^the stream');
# It is not waited for any longer than that makes sense: then the build finds out.
failpoint_reached($target, 'postgres', 'key_index_again');
clear_failpoints($target);
wait_sync($source, $target, 'whole');
same_tables($source, 'postgres', $target, 'postgres', ['public.whole'], 'the stream was behind: built again, and the same');

# --- under load -------------------------------------------------------------------------------

$source->safe_psql('postgres', "CREATE TABLE busy (id int PRIMARY KEY, v int, pad text DEFAULT repeat('x', 400)) WITH (fillfactor = 50);"
	. 'INSERT INTO busy SELECT i, 0 FROM generate_series(1, 2000) i');
my $file = "${PostgreSQL::Test::Utils::tmp_check}/load.sql";
PostgreSQL::Test::Utils::append_to_file($file, <<'SQL');
\set i random(1, 2000)
UPDATE busy SET v = v + 1 WHERE id % 2000 BETWEEN :i AND :i + 20;
UPDATE busy SET id = id + 2000 WHERE id IN (:i, :i + 1);
DELETE FROM busy WHERE id % 2000 = :i;
INSERT INTO busy SELECT :i, 0 ON CONFLICT DO NOTHING;
SQL
my $load = start_pgbench($source, 'postgres', '-n', '-R', 100, '-T', 3600, '-f', $file);
failpoint($target, 'key_index_again=wait');
create_connector($target, 'postgres', 'busy', conninfo($source), tables => ['public.busy'], copy_workers => 2);
poll($target, 'postgres', "SELECT livesync.wait_for_sync('busy', '60 s')");
stop_pgbench($load);
wait_caught_up($source, $target, 'busy');
same_tables($source, 'postgres', $target, 'postgres', ['public.busy'], 'under load: built once, and the same');

check_logs($source, $target);
done_testing();
