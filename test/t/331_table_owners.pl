# Rows are written with the rights of the target table's owner, and nothing of that table runs with more.
#
# The worker is superuser.  A trigger, a default, a CHECK constraint or an index expression is code of whoever owns the
# table: if it ran as the worker, or left a search_path behind for the worker to fall for, everybody who owns a synced
# table would be superuser.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

use PostgreSQL::Test::Utils ();

my ($source, $target) = pair(target_conf => "livesync.chunk_size = '8kB'\n");
my $secret = 'Sesam';
$source->safe_psql('postgres', "CREATE ROLE reader LOGIN SUPERUSER PASSWORD '$secret'");
my $hba = $source->data_dir . '/pg_hba.conf';
PostgreSQL::Test::Utils::append_to_file("$hba.new", "local all,replication reader scram-sha-256\n" . PostgreSQL::Test::Utils::slurp_file($hba));
rename("$hba.new", $hba) or die $!;
$source->reload;
my $reader = conninfo($source) . " user=reader password=$secret";

$target->safe_psql('postgres', <<'SQL');
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA livesync TO alice;
CREATE SCHEMA b AUTHORIZATION bob;
CREATE SCHEMA evil AUTHORIZATION bob;
CREATE SCHEMA closed;
SQL

sub as
{
	my ($role, $sql) = @_;
	my ($out, $err);
	$target->psql('postgres', $sql, stdout => \$out, stderr => \$err, on_error_stop => 1,
		connstr => $target->connstr('postgres') . " user=$role");
	is($err, '', "$role: " . substr($sql, 0, 60)) if $err ne '';
	return $out;
}

# --- code of every kind of a table's owner, who is watching who runs it ----------------------------

$source->safe_psql('postgres', <<'SQL');
CREATE SCHEMA b;
CREATE TABLE b.watched (id int PRIMARY KEY, v text, w int);
INSERT INTO b.watched SELECT i, 'v' || i, i FROM generate_series(1, 200) i;
CREATE TABLE b.twice (id int PRIMARY KEY, u int UNIQUE, pad text DEFAULT repeat('x', 400));
INSERT INTO b.twice SELECT i, i FROM generate_series(1, 100) i;
CREATE TABLE b.plain (id int PRIMARY KEY, v text);
INSERT INTO b.plain VALUES (1, 'one');
DELETE FROM b.twice WHERE id IN (2, 3) OR id BETWEEN 90 AND 99;
SQL
$source->safe_psql('postgres', 'VACUUM b.twice');
as('bob', <<'SQL');
CREATE FUNCTION evil.eq(int, int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'bob' THEN RAISE EXCEPTION 'got in as %', current_user; END IF;
	RETURN $1 OPERATOR(pg_catalog.=) $2;
END$$;
CREATE FUNCTION evil.eq(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'bob' THEN RAISE EXCEPTION 'got in as %', current_user; END IF;
	RETURN $1 OPERATOR(pg_catalog.=) $2;
END$$;
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.eq);
CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.eq);

CREATE FUNCTION b.me(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'bob' THEN RAISE EXCEPTION 'got in as % by %', current_user, what; END IF;
	RETURN what;
END$$;
CREATE DOMAIN b.word AS text CHECK (b.me('domain') = 'domain');
CREATE TABLE b.watched (id int PRIMARY KEY, v b.word, w int CHECK (b.me('check') = 'check'),
	d text DEFAULT b.me('default'), g text GENERATED ALWAYS AS (b.me('generated')) STORED);
CREATE INDEX ON b.watched ((b.me('index') || v)) WHERE b.me('predicate') = 'predicate';
CREATE TABLE b.log (who text, tried text);
CREATE FUNCTION b.try() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE statement text;
BEGIN
	FOREACH statement IN ARRAY ARRAY['RESET ROLE', 'SET ROLE postgres', 'RESET SESSION AUTHORIZATION', 'CREATE TEMP TABLE connector (id int)',
		'ALTER ROLE bob SUPERUSER', 'SELECT * FROM livesync.connector', 'SET session_replication_role = origin', 'COPY b.log TO PROGRAM ''true'''] LOOP
		BEGIN
			EXECUTE statement;
			IF current_user <> 'bob' OR statement <> 'RESET ROLE' THEN
				INSERT INTO b.log VALUES (current_user, statement);
			END IF;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	IF current_user <> 'bob' THEN RAISE EXCEPTION 'got in as % by trigger', current_user; END IF;
	SET search_path = evil, pg_catalog;
	RETURN NEW;
END$$;
CREATE TRIGGER try BEFORE INSERT OR UPDATE ON b.watched FOR EACH ROW EXECUTE FUNCTION b.try();
ALTER TABLE b.watched ENABLE ALWAYS TRIGGER try;
CREATE TABLE b.twice (id int PRIMARY KEY, u int UNIQUE, pad text);
CREATE TRIGGER try BEFORE INSERT OR UPDATE ON b.twice FOR EACH ROW EXECUTE FUNCTION b.try();
ALTER TABLE b.twice ENABLE ALWAYS TRIGGER try;
SQL

my ($rows) = as('alice', 'SELECT object, status, hint FROM livesync.check_source(' . quote_literal($reader)
	  . ", tables => '{b.*}') WHERE \"check\" = 'target rights' ORDER BY 1");
like($rows, qr/^b\.plain\|error\|.*GRANT CREATE, USAGE ON SCHEMA b TO alice.*\nb\.twice\|error\|.*GRANT bob TO alice.*\nb\.watched\|error\|.*GRANT bob TO alice/,
	'check_source tells what is missing here');

failpoint($target, 'chunk_committed/b.twice=wait');
as('alice', 'SELECT livesync.create_connector(' . quote_literal('c') . ', ' . quote_literal($reader) . ", tables => '{b.*}', copy_workers => 1)");
for my $table ('watched', 'twice')
{
	like(join('|', failure_of($target, 'postgres', 'c', "b.$table")),
		qr/role "alice", who owns the connector, may not act for role "bob".*\|.*GRANT bob TO alice/,
		"$table: not without being allowed to act as its owner");
}
like(join('|', failure_of($target, 'postgres', 'c', 'b.plain')),
	qr/role "alice", who owns the connector, may not create tables in schema "b"\|.*GRANT CREATE, USAGE ON SCHEMA b TO alice/,
	'nor creating a table where its owner may not');

$target->safe_psql('postgres', 'GRANT bob TO alice; GRANT CREATE, USAGE ON SCHEMA b TO alice');
# They go on by themselves.  A row of the first chunk gets into the way of a later one: we take notes of such rows in the
# middle of the owner's work.
failpoint_reached($target, 'postgres', 'chunk_committed');
$source->safe_psql('postgres', 'UPDATE b.twice SET u = -1 WHERE id = 1; UPDATE b.twice SET u = 1 WHERE id = 100');
failpoint($target, 'drain_segment/b.twice=wait');
failpoint_reached($target, 'postgres', 'drain_segment');
is($target->safe_psql('postgres', 'SELECT count(*) FROM livesync.aside'), '1', 'a row is set aside');
clear_failpoints($target);
wait_sync($source, $target, 'c');
$source->safe_psql('postgres', <<'SQL');
INSERT INTO b.watched SELECT i, 'v' || i, i FROM generate_series(201, 300) i;
UPDATE b.watched SET v = 'changed' WHERE id % 3 = 0;
DELETE FROM b.watched WHERE id % 5 = 0;
UPDATE b.twice SET u = u + 5000;
INSERT INTO b.plain VALUES (2, 'two');
SQL
wait_caught_up($source, $target, 'c');
$source->safe_psql('postgres', "TRUNCATE b.watched; INSERT INTO b.watched VALUES (1, 'again', 1)");
wait_caught_up($source, $target, 'c');
is(as('bob', 'SELECT id, v, w, d, g FROM b.watched'), '1|again|1|default|generated', 'watched: its owner\'s code runs');
same_tables($source, 'postgres', $target, 'postgres', [ 'b.twice', 'b.plain' ]);
is($target->safe_psql('postgres', 'SELECT * FROM b.log'), '', 'no statement of the trigger got further than its owner may');
unlike(PostgreSQL::Test::Utils::slurp_file($target->logfile), qr/(?:ERROR|FATAL):  got in as/, 'no code of the owner ran as anybody else');
is($target->safe_psql('postgres', "SELECT detail FROM livesync.event WHERE detail ~ 'got in'"), '', 'nor is there an event of it');
is($target->safe_psql('postgres', "SELECT relowner::regrole FROM pg_class WHERE oid = 'b.plain'::regclass"), 'alice',
	'a created table belongs to the owner of the connector');

# --- rights that go away ---------------------------------------------------------------------------

$target->safe_psql('postgres', 'REVOKE bob FROM alice');
$source->safe_psql('postgres', "UPDATE b.watched SET v = 'too late'; UPDATE b.plain SET v = 'in time'");
wait_state($target, 'postgres', 'c', 'b.watched', 'failed');
poll($target, 'postgres', "SELECT count(*) FROM b.plain WHERE v = 'in time'", '2');
is(as('bob', 'SELECT v FROM b.watched'), 'again', 'nothing is written without the right; other tables go on');
$target->safe_psql('postgres', 'GRANT bob TO alice');
wait_sync($source, $target, 'c');
is(as('bob', 'SELECT v FROM b.watched'), 'too late', 'with the right again it goes on where it was');

# --- deferred triggers -----------------------------------------------------------------------------

as('bob', <<'SQL');
CREATE FUNCTION b.late() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE LOG 'late as %', current_user; RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON b.watched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION b.late();
ALTER TABLE b.watched ENABLE ALWAYS TRIGGER late;
SQL
$source->safe_psql('postgres', "UPDATE b.watched SET v = 'deferred'");
like(join('|', failure_of($target, 'postgres', 'c', 'b.watched')),
	qr/trigger "late" of target table "b.watched" is deferred.*\|.*INITIALLY IMMEDIATE/, 'a deferred trigger is refused clearly');
unlike(PostgreSQL::Test::Utils::slurp_file($target->logfile), qr/LOG:  late as/, 'and did not run');
as('bob', 'ALTER TABLE b.watched DISABLE TRIGGER late');
wait_sync($source, $target, 'c');
# where the owner is superuser nothing is gained by it
$target->safe_psql('postgres', 'ALTER TABLE b.watched DISABLE TRIGGER try; ALTER TABLE b.watched ENABLE ALWAYS TRIGGER late');
$target->safe_psql('postgres', <<'SQL');
CREATE OR REPLACE FUNCTION b.me(what text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT what';
ALTER TABLE b.watched OWNER TO postgres;
SELECT livesync.alter_connector('c', owner => 'postgres');
SQL
$source->safe_psql('postgres', "UPDATE b.watched SET v = 'deferred again'");
wait_sync($source, $target, 'c');
is($target->safe_psql('postgres', 'SELECT v FROM b.watched'), 'deferred again', 'a superuser\'s table may have one');
like(PostgreSQL::Test::Utils::slurp_file($target->logfile), qr/LOG:  late as postgres/, 'and it runs');

check_logs($source, $target);
done_testing();
