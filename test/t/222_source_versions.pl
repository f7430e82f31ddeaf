# Sources of other versions than the target's: what they stream is applied, transactions in pieces included.
#
# pgoutput has grown with each version: options that an older one refuses, fields that only a newer one sends,
# one that sends transactions while they run (14), one that could send them to several processes at once (16).
# A source is upgraded at another time than the target, so each must do.
#
# Needs servers of those versions: those of Debian's packages, or others that are named:
#   LIVESYNC_SOURCES=$(tools/other-servers) test/run t/222

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use LiveSync::Versions;
use Test::More;

my %bin = other_servers();
plan skip_all => 'there is no server of another version (LIVESYNC_SOURCES)' unless %bin;

my $target = target_node('target', target_conf => 'livesync.batch_rows = 300');

# --- one of them -------------------------------------------------------------------------------

my $rows = "repeat('x', 100) FROM generate_series";

# From 18 on a publication may publish generated columns: their values are copied and streamed like any others.
sub check_generated
{
	my ($source, $db) = @_;
	$source->safe_psql('postgres', <<'SQL');
CREATE TABLE with_generated (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
INSERT INTO with_generated (id, a) SELECT i, i FROM generate_series(1, 1000) i;
CREATE PUBLICATION generated FOR TABLE with_generated WITH (publish_generated_columns = stored);
SQL
	$target->safe_psql($db, 'CREATE SCHEMA g');
	create_connector($target, $db, 'g', conninfo($source), publications => ['generated'], target_schema => 'g');
	wait_sync($source, $target, 'g', target_db => $db);
	my $all  = 'SELECT string_agg(g::text, $$ $$ ORDER BY id) FROM with_generated g';
	my $here = "SET search_path = g; $all";
	is($target->safe_psql($db, $here), $source->safe_psql('postgres', $all), 'generated columns that are published are copied');
	$source->safe_psql('postgres', 'UPDATE with_generated SET a = a + 1 WHERE id % 2 = 0; INSERT INTO with_generated (id, a) VALUES (2000, 7)');
	wait_sync($source, $target, 'g', target_db => $db);
	is($target->safe_psql($db, $here), $source->safe_psql('postgres', $all), 'and streamed');
	return;
}

# The first minor releases of which a walsender does not forget that a table was published meanwhile.
my %mended = (13 => 21, 14 => 18, 15 => 13, 16 => 9, 17 => 5);

# A transaction that has written to a table before it was published, and goes on, makes older ones take the table for
# unpublished from then on, until the connection ends.
sub check_published_late
{
	my ($source, $db) = @_;
	$source->safe_psql('postgres', <<'SQL');
CREATE TABLE published (id int PRIMARY KEY);
CREATE TABLE late (id int PRIMARY KEY, v text);
INSERT INTO late SELECT i, 'first' FROM generate_series(1, 10) i;
CREATE PUBLICATION late FOR TABLE published;
SQL
	create_connector($target, $db, 'l', conninfo($source), publications => ['late'], target_schema => 'l');
	wait_sync($source, $target, 'l', target_db => $db);
	my $writer = session($source, 'postgres', 'writer');
	$writer->query_safe("BEGIN; UPDATE late SET v = 'before' WHERE id = 1");
	$source->safe_psql('postgres', 'ALTER PUBLICATION late ADD TABLE late');
	$writer->query_safe("UPDATE late SET v = 'after' WHERE id = 2; COMMIT");
	$writer->quit;
	wait_sync($source, $target, 'l', target_db => $db);
	wait_state($target, $db, 'l', 'public.late', 'streaming');
	$source->safe_psql('postgres', "UPDATE late SET v = 'streamed' WHERE id > 5");
	wait_caught_up($source, $target, 'l', target_db => $db);
	same_tables($source, 'postgres', $target, $db, [ { source => 'public.late', target => 'l.late' } ], 'a table that was written to while it was published streams');
	return;
}

sub check_source_of
{
	my ($version) = @_;
	my $db     = "from_$version";
	my $source = source_node("source$version", install_path => installation_of($bin{$version}),
		source_conf => 'logical_decoding_work_mem = 64kB');
	$target->safe_psql('postgres', "CREATE DATABASE $db");
	$target->safe_psql($db,        'CREATE EXTENSION pg_livesync');
	$source->safe_psql('postgres', <<'SQL');
CREATE TABLE keyed (id int PRIMARY KEY, v text, doc text);
ALTER TABLE keyed ALTER doc SET STORAGE EXTERNAL;
CREATE TABLE keyless (id int, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (5000);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (5000) TO (MAXVALUE);
INSERT INTO keyed SELECT i, 'first', repeat(md5(i::text), 100) FROM generate_series(1, 100) i;
INSERT INTO keyless SELECT i % 20, 'first' FROM generate_series(1, 100) i;
INSERT INTO parts SELECT i, 'first' FROM generate_series(4950, 5050) i;
CREATE TABLE emptied (id int PRIMARY KEY);
INSERT INTO emptied SELECT generate_series(1, 10);
SQL
	create_connector($target, $db, 'c', conninfo($source));
	wait_sync($source, $target, 'c', target_db => $db);

	# Two large ones and a small one at a time, of which one is rolled back; savepoints kept and rolled back, in each other.
	my @sessions = map { session($source, 'postgres', "s$_") } 0, 1;
	$_->query_safe('BEGIN') for @sessions;
	for my $i (0, 1)
	{
		my $from = 10000 * ($i + 1);
		$sessions[$i]->query_safe(<<"SQL");
INSERT INTO keyed SELECT i, $rows($from, $from + 1999) i;
SAVEPOINT a;
INSERT INTO keyed SELECT i, $rows($from + 2000, $from + 3999) i;
UPDATE keyed SET v = 'never' WHERE id <= 100;
SAVEPOINT b;
INSERT INTO keyless SELECT i, $rows($from, $from + 1999) i;
ROLLBACK TO b;
SAVEPOINT c;
DELETE FROM keyless WHERE id % 7 = $i;
RELEASE c;
ROLLBACK TO a;
INSERT INTO keyless SELECT i % 50, $rows(1, 2000) i;
SAVEPOINT d;
UPDATE keyless SET v = 'kept' WHERE id % 7 = $i;
INSERT INTO parts SELECT i, $rows($from, $from + 1999) i;
RELEASE d;
SQL
		$source->safe_psql('postgres', "UPDATE keyed SET v = v || '$i' WHERE id > 100; INSERT INTO keyed VALUES (-$i, 'small')");
	}
	$sessions[0]->query_safe('UPDATE keyed SET id = id + 50000, v = $$moved$$ WHERE id % 10 = 3 AND id < 20000');
	$sessions[0]->query_safe('UPDATE parts SET id = id + 200 WHERE id BETWEEN 4950 AND 4999; DELETE FROM parts WHERE id % 10 = 7');
	# which need locks of their own
	$sessions[1]->query_safe('ROLLBACK');
	$sessions[0]->query_safe('ALTER TABLE keyed ADD more int DEFAULT 3; INSERT INTO keyed VALUES (1000000, NULL, NULL, 4)');
	$sessions[0]->query_safe('TRUNCATE emptied; INSERT INTO emptied VALUES (5); INSERT INTO keyless VALUES (1, NULL), (1, NULL); COMMIT');
	$source->safe_psql('postgres', "BEGIN; INSERT INTO keyed SELECT i, $rows(70001, 72000) i; PREPARE TRANSACTION 'p'");
	$source->safe_psql('postgres', "UPDATE keyed SET v = 'before p' WHERE id = 5");
	$source->safe_psql('postgres', "COMMIT PREPARED 'p'");
	wait_sync($source, $target, 'c', target_db => $db);

	# One that is known to be rolled back when it is decoded: 18 sends nothing of it but the end of its savepoints, of a
	# transaction that it has not begun.
	$target->safe_psql($db, "SELECT livesync.pause_connector('c')");
	$source->safe_psql('postgres', <<"SQL");
BEGIN;
SAVEPOINT a;
INSERT INTO keyed SELECT i, $rows(80001, 83000) i;
RELEASE a;
INSERT INTO keyed SELECT i, $rows(83001, 86000) i;
ROLLBACK;
INSERT INTO keyed VALUES (90000, 'after it');
SQL
	$target->safe_psql($db, "SELECT livesync.resume_connector('c')");
	wait_sync($source, $target, 'c', target_db => $db);
	same_tables($source, 'postgres', $target, $db, [ map { "public.$_" } qw(keyed keyless parts emptied) ],
		"a source of version $version");
	is($target->safe_psql($db, q{SELECT count(*) FROM livesync.events WHERE event = 'table_failed'}), '0', 'no table failed');
	is($target->safe_psql($db, 'SELECT sum(insert_exists + update_missing + delete_missing + update_exists) FROM livesync.stats'), '0',
		'there was no conflict');
	cmp_ok($source->safe_psql('postgres', 'SELECT sum(stream_txns) FROM pg_stat_replication_slots'), '>=', 2, 'transactions came in pieces')
	  if $version >= 14;
	is($target->safe_psql($db, 'SELECT coalesce(is_binary, false) FROM livesync.connector'), $version >= 14 ? 't' : 'f', 'values come in binary form from 14 on');
	$_->quit for @sessions;
	check_generated($source, $db) if $version >= 18;
	check_published_late($source, $db) if $source->safe_psql('postgres', 'SHOW server_version') =~ /^\d+\.(\d+)/ && $1 < ($mended{$version} // 0);
	$target->safe_psql($db, 'SELECT livesync.pause_connector(name) FROM livesync.connectors');
	check_logs($source);
	$source->stop;
	return;
}

check_source_of($_) for sort keys %bin;
check_logs($target);
done_testing();
