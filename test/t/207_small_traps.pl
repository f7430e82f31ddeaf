# Things around a copy that are small, and stop it or lose rows when nobody thought of them.
#
#  - A TRUNCATE of two tables of which one is still copied: the other alone cannot be truncated, since the first refers
#    to it.
#  - A role whose sessions are serializable, deferrable and read only by default, and find functions of others first.
#  - A table that is dropped and made again under its name.
#  - A replica identity that changes between two chunks.
#  - Values that name objects, in a schema that is in nobody's search_path here.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(source_conf => 'autovacuum = off', target_conf => "livesync.chunk_size = '8kB'\n");

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }

sub same
{
	my ($name, @tables) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return same_tables($source, 'postgres', $target, 'postgres', \@tables, $name);
}

# --- a TRUNCATE that the target refuses -------------------------------------------------------

for my $node ($source, $target)
{
	$node->safe_psql('postgres', 'CREATE TABLE known (id int PRIMARY KEY, v text); CREATE TABLE refers (id int PRIMARY KEY, known int REFERENCES known, pad text)');
}
at_source("INSERT INTO known SELECT i, 'first' FROM generate_series(1, 20) i; INSERT INTO refers SELECT i, 1 + i % 20, repeat('x', 500) FROM generate_series(1, 100) i");
create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.known'], copy_workers => 1);
wait_sync($source, $target, 'c');
failpoint($target, 'chunk_committed/public.refers=wait');
at_target("SELECT livesync.add_table('c', 'public.refers')");
failpoint_reached($target, 'postgres', 'chunk_committed', 1);
at_source("BEGIN; TRUNCATE known, refers; INSERT INTO known VALUES (1, 'second'); INSERT INTO refers VALUES (1, 1, 'second'); COMMIT");
poll($target, 'postgres', "SELECT string_agg(v, ',') FROM known", 'second');
is(at_target("SELECT count(*) FROM livesync.events WHERE event = 'table_failed'"), 0, 'a TRUNCATE that is refused fails no table');
clear_failpoints($target);
wait_sync($source, $target, 'c');
same('both are as they should be', 'public.known', 'public.refers');

# --- a role with settings of its own ----------------------------------------------------------

at_source(<<'SQL');
CREATE ROLE strict SUPERUSER LOGIN REPLICATION;
ALTER ROLE strict SET default_transaction_isolation = 'serializable';
ALTER ROLE strict SET default_transaction_deferrable = on;
ALTER ROLE strict SET default_transaction_read_only = on;
ALTER ROLE strict SET search_path = elsewhere, pg_catalog;
ALTER ROLE strict SET DateStyle = 'German';
ALTER ROLE strict SET bytea_output = 'escape';
ALTER ROLE strict SET lock_timeout = '1ms';
CREATE TABLE strict (id int PRIMARY KEY, at date, b bytea, v text, pad text DEFAULT repeat('x', 400));
INSERT INTO strict SELECT i, '2024-03-04', '\xff00', 'first' FROM generate_series(1, 100) i;
CREATE SCHEMA elsewhere;
CREATE FUNCTION elsewhere.pg_current_wal_insert_lsn() RETURNS pg_lsn LANGUAGE plpgsql AS $$ BEGIN RAISE 'somebody else''s function was called'; END $$;
SQL
failpoint($target, 'chunk_committed/public.strict=wait');
create_connector($target, 'postgres', 'strict', conninfo($source) . ' user=strict', tables => ['public.strict'], copy_workers => 2);
failpoint_reached($target, 'postgres', 'chunk_committed', 2);
at_source("UPDATE strict SET v = 'second', at = '2024-05-06'");
# Who is deferrable waits for the end of everybody who is serializable and writes.
my $serializable = session($source, 'postgres', 'serializable');
$serializable->query_safe('BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO known VALUES (1000)');
clear_failpoints($target);
wait_sync($source, $target, 'strict');
$serializable->query_safe('ROLLBACK');
$serializable->quit;
same('a role with settings of its own', 'public.strict');

# --- a table that is made again ---------------------------------------------------------------

at_source("CREATE SCHEMA again; CREATE TABLE again.t (id int PRIMARY KEY, v text); INSERT INTO again.t SELECT i, 'first' FROM generate_series(1, 30) i; CREATE PUBLICATION everything FOR ALL TABLES");
create_connector($target, 'postgres', 'again', conninfo($source), publications => ['everything'], target_schema => 'copies');
wait_sync($source, $target, 'again');
at_source(<<'SQL');
BEGIN;
UPDATE again.t SET v = 'gone with the table';
DROP TABLE again.t;
CREATE TABLE again.t (id int PRIMARY KEY, v text);
INSERT INTO again.t SELECT i, 'second' FROM generate_series(20, 50) i;
COMMIT;
UPDATE again.t SET v = 'third' WHERE id % 2 = 0;
SQL
poll($target, 'postgres', "SELECT count(*) > 0 FROM copies.t WHERE v = 'third'");
wait_sync($source, $target, 'again');
at_source("UPDATE again.t SET v = 'fourth' WHERE id % 3 = 0; DELETE FROM again.t WHERE id % 7 = 0");
wait_caught_up($source, $target, 'again');
same('a table that was dropped and made again', { source => 'again.t', target => 'copies.t' });

# --- another identity between two chunks -------------------------------------------------------

at_source("CREATE TABLE identity (id int PRIMARY KEY, code int NOT NULL UNIQUE, v text, pad text DEFAULT repeat('x', 400)); INSERT INTO identity SELECT i, 1000 + i, 'first' FROM generate_series(1, 100) i");
failpoint($target, 'chunk_committed/public.identity=wait');
create_connector($target, 'postgres', 'identity', conninfo($source), tables => ['public.identity'], copy_workers => 1);
failpoint_reached($target, 'postgres', 'chunk_committed', 1);
at_source("UPDATE identity SET v = 'second' WHERE id % 3 = 0; ALTER TABLE identity REPLICA IDENTITY USING INDEX identity_code_key; UPDATE identity SET code = code + 5000 WHERE id % 5 = 0; UPDATE identity SET id = id + 500 WHERE id % 7 = 0; DELETE FROM identity WHERE id % 11 = 0");
clear_failpoints($target);
wait_sync($source, $target, 'identity');
at_source("UPDATE identity SET v = 'third' WHERE code % 2 = 0");
wait_caught_up($source, $target, 'identity');
same('another identity between two chunks', 'public.identity');

# --- names of objects --------------------------------------------------------------------------

# Who has public in its search_path writes such names without it; nobody here has.
at_source('CREATE TABLE named (id int PRIMARY KEY, class regclass, proc regprocedure, type regtype[]); CREATE TYPE kind AS ENUM (); CREATE FUNCTION namesake(kind) RETURNS int LANGUAGE sql AS $$SELECT 1$$');
at_target('CREATE TYPE kind AS ENUM (); CREATE FUNCTION namesake(kind) RETURNS int LANGUAGE sql AS $$SELECT 1$$');
at_source("INSERT INTO named VALUES (1, 'known', 'namesake(kind)', '{kind,int}')");
create_connector($target, 'postgres', 'named', conninfo($source), tables => ['public.named']);
wait_sync($source, $target, 'named');
at_source("INSERT INTO named VALUES (2, 'known', 'namesake(kind)', '{kind,int}'); UPDATE named SET class = 'strict' WHERE id = 1");
wait_caught_up($source, $target, 'named');
same('values that name objects', 'public.named');

check_logs($source, $target);
done_testing();
