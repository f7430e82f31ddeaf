# What PostgreSQL 18 brought to tables comes along or is told: NOT NULL that old rows need not obey, keys WITHOUT OVERLAPS,
# generated columns that are virtual, and those that keep a published table from being updated.
#
# A table that takes its source's NOT NULL literally cannot be copied.  A key WITHOUT OVERLAPS is a primary key that neither
# CREATE UNIQUE INDEX nor ON CONFLICT knows.  And whoever publishes a table whose UPDATE is refused from then on stops the
# application there: that must be known before.
#
# Needs a source of 18 or later: the server that is tested, or one that LIVESYNC_SOURCES names (see t/222).

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Versions;
use Test::More;

my $is_18 = own_version() >= 18;
my %bin   = other_servers();
plan skip_all => 'there is no server of version 18 (LIVESYNC_SOURCES)' unless $is_18 || $bin{18};

my $source = source_node('source', source_conf => 'autovacuum = off', $is_18 ? () : (install_path => installation_of($bin{18})));
my $target = target_node('target', target_conf => "livesync.chunk_size = '8kB'");

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }

sub keys_of
{
	my ($node, $table) = @_;
	return $node->safe_psql('postgres', 'SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint '
		  . "WHERE conrelid = '$table'::regclass AND contype IN ('p', 'u', 'x') ORDER BY 1");
}

# Ranges for both, since no extension is needed then.
sub booked
{
	my ($name) = @_;
	return "CREATE TABLE $name (room int4range, during daterange, guest text, pad text, PRIMARY KEY (room, during WITHOUT OVERLAPS));";
}
my $january  = "daterange('2026-01-01', '2026-02-01')";
my $february = "daterange('2026-02-01', '2026-03-01')";
my $rows     = "SELECT int4range(i, i + 1), $january, 'guest ' || i, repeat('x', 300) FROM generate_series(1, 200) i";
sub room { return "room = int4range($_[0], $_[0] + 1)" }

# --- tables that we create ---------------------------------------------------------------------

at_source(booked('booked') . <<"SQL");
INSERT INTO booked $rows;
CREATE TABLE once_null (id int PRIMARY KEY, a int, b int NOT NULL);
INSERT INTO once_null VALUES (1, NULL, 1), (2, 2, 2);
ALTER TABLE once_null ADD CONSTRAINT a_from_now_on NOT NULL a NOT VALID;
CREATE TABLE virtual (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL, b text);
INSERT INTO virtual (id, a, b) SELECT i, i, 'b' FROM generate_series(1, 20) i;
SQL
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.booked', 'public.once_null', 'public.virtual' ]);
wait_sync($source, $target, 'c');

is(at_target("SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'once_null'::regclass AND attnum > 0 AND attnotnull"),
	'id,b', 'NOT NULL comes along where no row is without a value');
is(at_target("SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'virtual'::regclass AND attnum > 0"),
	'id,a,b', 'what is not sent has no column');
if ($is_18)
{
	is(keys_of($target, 'booked'), keys_of($source, 'booked'), 'a key WITHOUT OVERLAPS comes along');
}
else
{
	like(at_target("SELECT detail FROM livesync.events WHERE event = 'index_skipped'"), qr/booked_pkey.*WITHOUT OVERLAPS need/, 'a key WITHOUT OVERLAPS cannot come along, which is told');
}

# A stay is cut in two, is moved to another room, takes the time that another one gave up: all in one transaction.
my $changes = sub {
	my ($table) = @_;
	at_source(<<"SQL");
BEGIN;
UPDATE $table SET guest = 'other' WHERE ${\ room(3)};
UPDATE $table SET during = daterange('2026-01-01', '2026-01-10') WHERE ${\ room(4)};
INSERT INTO $table SELECT room, daterange('2026-01-10', '2026-02-01'), 'second', pad FROM $table WHERE ${\ room(4)};
DELETE FROM $table WHERE ${\ room(5)};
UPDATE $table SET room = int4range(5, 6) WHERE ${\ room(6)};
UPDATE $table SET during = daterange('2026-01-20', '2026-02-01') WHERE ${\ room(7)};
UPDATE $table SET room = int4range(7, 8), during = daterange('2026-01-01', '2026-01-20') WHERE ${\ room(199)};
DELETE FROM $table WHERE ${\ room(8)};
INSERT INTO $table VALUES (int4range(8, 9), daterange('2026-01-15', '2026-03-01'), 'longer', '');
COMMIT;
INSERT INTO $table SELECT room, $february, guest, pad FROM $table WHERE lower(room) BETWEEN 20 AND 30;
UPDATE $table SET guest = 'again' WHERE lower(room) BETWEEN 25 AND 35;
SQL
};
$changes->('booked');
at_source(<<'SQL');
UPDATE once_null SET b = 3 WHERE id = 2;
INSERT INTO once_null VALUES (3, 3, 3);
UPDATE virtual SET a = a + 1, id = id + 100 WHERE id > 10;
ALTER TABLE virtual ADD COLUMN thrice int GENERATED ALWAYS AS (a * 3) VIRTUAL;
INSERT INTO virtual (id, a, b) VALUES (300, 3, 'later');
SQL
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres',
	[ 'public.booked', 'public.once_null', { source => 'public.virtual', columns => [qw(id a b)] } ], 'their changes are applied');

# --- targets that are there ---------------------------------------------------------------------

SKIP:
{
	skip('these need a target of 18', 4) unless $is_18;

	for my $node ($source, $target)
	{
		$node->safe_psql('postgres', booked('kept') . booked('here_before')
			  . 'CREATE TABLE doubled (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL);');
	}
	at_source("INSERT INTO kept $rows; INSERT INTO here_before $rows; INSERT INTO doubled VALUES (1, 1), (2, 2)");
	at_target("INSERT INTO here_before SELECT room, during, 'old', pad FROM booked WHERE lower(room) BETWEEN 30 AND 40 AND during = $january");

	# The first chunk is loaded, the others have to meet rows that moved out of it.
	failpoint($target, 'chunk_committed/public.kept=wait');
	create_connector($target, 'postgres', 'k', conninfo($source), tables => ['public.kept'], copy_workers => 1);
	failpoint_reached($target, 'postgres', 'chunk_committed');
	$changes->('kept');
	clear_failpoints($target);
	wait_sync($source, $target, 'k');
	same_tables($source, 'postgres', $target, 'postgres', ['public.kept'], 'changes meet a key WITHOUT OVERLAPS in mid-copy');

	create_connector($target, 'postgres', 'h', conninfo($source), tables => [ 'public.here_before', 'public.doubled' ]);
	wait_sync($source, $target, 'h');
	same_tables($source, 'postgres', $target, 'postgres', ['public.here_before'], 'rows that were there are written over');

	at_target("UPDATE here_before SET guest = 'mine' WHERE ${\ room(50)}; INSERT INTO here_before VALUES (int4range(5, 6), $february, 'mine', '')");
	at_source(<<"SQL");
INSERT INTO here_before VALUES (int4range(5, 6), $february, 'theirs', '');
UPDATE here_before SET guest = 'theirs' WHERE ${\ room(50)};
UPDATE doubled SET a = 10;
SQL
	wait_caught_up($source, $target, 'h');
	same_tables($source, 'postgres', $target, 'postgres', [ 'public.here_before', 'public.doubled' ], 'conflicts end as the source wants');
	ok(poll($target, 'postgres', "SELECT insert_exists FROM livesync.stats WHERE source_table = 'public.here_before'", '1'), 'and are counted');
}

# --- what a publication does to the source ---------------------------------------------------------

at_source(<<'SQL');
CREATE TABLE hidden (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
ALTER TABLE hidden REPLICA IDENTITY FULL;
INSERT INTO hidden VALUES (1, 1);
CREATE PUBLICATION not_all FOR TABLE hidden;
CREATE PUBLICATION whole FOR TABLE hidden WITH (publish_generated_columns = stored);
CREATE PUBLICATION only_inserts FOR TABLE hidden WITH (publish = 'insert');
SQL

sub identity_check
{
	my ($rest) = @_;
	return at_target('SELECT status FROM livesync.check_source(' . quote_literal(conninfo($source)) . ", $rest) WHERE \"check\" = 'replica identity'");
}
is(identity_check("tables => '{public.hidden}'"),        'error', 'check_source() tells that a publication would forbid updates');
is(identity_check("publications => '{not_all}'"),        'error', 'or does');
is(identity_check("publications => '{whole}'"),          'ok',    'or does not, when it publishes those columns');
is(identity_check("publications => '{only_inserts}'"),   'ok',    'or sends no updates');
like(at_target('SELECT problems FROM livesync.source_tables(' . quote_literal(conninfo($source)) . ") WHERE source_table = 'public.hidden'"),
	qr/generated columns .* belong to the replica identity/, 'source_tables() tells it too');
at_source('DROP PUBLICATION not_all');
my ($status, $out, $err) = $target->psql('postgres', "SELECT livesync.add_table('c', 'public.hidden')");
like($err, qr/WARNING:  generated columns belong to the replica identity of table "public.hidden"/, 'and add_table() warns');
poll($source, 'postgres', "SELECT EXISTS (SELECT FROM pg_publication_tables WHERE tablename = 'hidden' AND pubname LIKE 'livesync%')");
($status, $out, $err) = $source->psql('postgres', 'UPDATE hidden SET a = 2');
like($err, qr/must not contain unpublished generated columns/, 'rightly');
at_source('ALTER TABLE hidden REPLICA IDENTITY DEFAULT; UPDATE hidden SET a = 2');
wait_sync($source, $target, 'c');
is(at_target('SELECT a FROM hidden'), '2', 'and by the primary key it goes on');

check_logs($source, $target);
done_testing();
