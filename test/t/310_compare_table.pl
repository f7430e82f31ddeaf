# livesync.compare_table() finds every difference, and finds none where there is none, while changes stream.
#
# It is what a cut-over is decided by: a difference that it overlooks is data lost, a false one stops a
# migration.  Differences are made here behind livesync's back, in tables of all kinds, and must be named;
# the same tables under load, with types that differ on both sides, must be told equal.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(
	source_conf => "autovacuum = off\ntimezone = 'Asia/Tokyo'\ndatestyle = 'German'",
	target_conf => "autovacuum = off\ntimezone = 'UTC'\nintervalstyle = 'sql_standard'");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE big (id int PRIMARY KEY, v text);
INSERT INTO big SELECT i, 'row ' || i FROM generate_series(1, 120000) i;
CREATE TABLE named (place text, n int, v text, PRIMARY KEY (place, n));
INSERT INTO named SELECT chr(65 + i % 26) || '-' || i / 26, i, 'row ' || i FROM generate_series(1, 2000) i;
CREATE TABLE sorted (k text COLLATE "en-x-icu" PRIMARY KEY, v int);
INSERT INTO sorted SELECT chr((CASE WHEN i % 52 < 36 AND i % 2 = 0 THEN 97 ELSE 65 END) + i % 52 / 2) || i, i FROM generate_series(1, 120000) i;
CREATE TABLE keyless (v text, n int);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyless SELECT 'row ' || i / 3, i % 2 FROM generate_series(1, 1000) i;
INSERT INTO keyless VALUES (NULL, NULL), ('', NULL), (NULL, NULL);
CREATE TABLE typed (id int PRIMARY KEY, n numeric, j json, ts timestamptz, i interval, f float8, c char(5),
	ip inet, b boolean, d date, raw bytea, texts text[]);
INSERT INTO typed SELECT i, i / 7.0, '{"b": 1,  "a": [1]}', now() + i * interval '1 h', i * interval '25 h', i / 7.0, 'ab',
	'10.0.0.1', i % 2 = 0, '2024-01-31'::date + i, decode('00ff', 'hex'), ARRAY['a', NULL, 'null', ''] FROM generate_series(1, 100) i;
INSERT INTO typed (id) VALUES (1000);
CREATE TABLE part (id int, d date, v text, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2020-06-01');
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM ('2020-06-01') TO ('2021-01-01');
INSERT INTO part SELECT i, '2020-01-01'::date + i, 'x' FROM generate_series(1, 300) i;
CREATE TABLE filtered (id int PRIMARY KEY, v text, hidden text);
INSERT INTO filtered SELECT i, 'x', 'secret' FROM generate_series(1, 100) i;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE moods (m mood PRIMARY KEY, v int);
INSERT INTO moods VALUES ('good', 1), ('bad', 2);
CREATE TABLE "Odd One" ("Col 1" int PRIMARY KEY, "a""b" text);
INSERT INTO "Odd One" VALUES (1, 'x');
CREATE TABLE hot (id int PRIMARY KEY, v int);
INSERT INTO hot SELECT i, 0 FROM generate_series(1, 20) i;
CREATE PUBLICATION p FOR TABLE big, named, sorted, keyless, typed, part, filtered (id, v) WHERE (id <= 50), moods, "Odd One", hot
	WITH (publish_via_partition_root = true);
SQL
$target->safe_psql('postgres', <<'SQL');
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE typed (id bigint PRIMARY KEY, n numeric(20, 3), j jsonb, ts timestamptz, i interval, f text, c text,
	ip text, b text, d timestamp, raw bytea, texts text[], more int DEFAULT 7);
CREATE TABLE sorted (k text COLLATE "C" PRIMARY KEY, v int);
CREATE TABLE named (v text, n int, place text COLLATE "C", PRIMARY KEY (place, n));
SQL
create_connector($target, 'postgres', 'c', conninfo($source), publications => ['p']);
wait_sync($source, $target, 'c');

sub compare
{
	my ($table, $columns) = @_;
	$columns //= 'part, source_rows, target_rows, equal, missing_keys, extra_keys, different_keys, moving_keys';
	return $target->safe_psql('postgres', "SELECT concat_ws('|', $columns) FROM livesync.compare_table('c', "
		  . quote_literal($table) . ')');
}

# Behind livesync's back, which is not kept from it by triggers or keys.
sub at_target { return $target->safe_psql('postgres', "SET session_replication_role = replica; $_[0]") }

# --- equal -----------------------------------------------------------------------------------

my %rows = ('public.big' => 120000, 'public.named' => 2000, 'public.sorted' => 120000, 'public.keyless' => 1003, 'public.typed' => 101,
	'public.part' => 300, 'public.filtered' => 50, 'public.moods' => 2, 'public.Odd One' => 1, 'public.hot' => 20);
is(compare($_), "total|$rows{$_}|$rows{$_}|t", "equal: $_") for sort keys %rows;

# --- different -------------------------------------------------------------------------------

at_target(<<'SQL');
DELETE FROM big WHERE id IN (3, 119999);
UPDATE big SET v = 'other' WHERE id = 60000;
INSERT INTO big VALUES (-5, 'more'), (200000, 'more');
SQL
is(compare('public.big'), <<'ROWS' =~ s/\n\z//r, 'a row missing, one more, one different: each in its range');
id < 50001|50000|50000|f|{3}|{-5}
id >= 50001 and < 100001|50000|50000|f|{60000}
id >= 100001|20000|20000|f|{119999}|{200000}
total|120000|120000|f|{3,119999}|{-5,200000}|{60000}
ROWS

at_target("UPDATE named SET v = NULL WHERE n = 7; INSERT INTO named VALUES ('x', 1, 'zzz'); DELETE FROM named WHERE n = 8");
is(compare('public.named', 'part, equal, missing_keys, extra_keys, different_keys'), <<'ROWS' =~ s/\n\z//r, 'a key of two columns, sorted otherwise here');
all rows|f|{"I-0, 8"}|{"zzz, 1"}|{"H-0, 7"}
total|f|{"I-0, 8"}|{"zzz, 1"}|{"H-0, 7"}
ROWS

at_target("UPDATE sorted SET v = 0 WHERE k = 'T38'; INSERT INTO sorted VALUES ('k', 1), ('Zz', 1)");
is(compare('public.sorted', 'equal, extra_keys, different_keys') =~ s/.*\n//sr, 'f|{Zz,k}|{T38}', 'a key that sorts otherwise here');
is($target->safe_psql('postgres', "SELECT count(*) FROM sorted WHERE k = 'T38'"), '1', 'that key is there');

at_target("DELETE FROM keyless WHERE ctid = (SELECT min(ctid) FROM keyless WHERE v IS NULL)");
is(compare('public.keyless', 'part, source_rows, target_rows, equal, cardinality(missing_keys), cardinality(different_keys)'),
	"all rows|1003|1002|f|1\ntotal|1003|1002|f|1", 'one of two equal rows without a key');
at_target("INSERT INTO keyless VALUES (NULL, NULL); UPDATE keyless SET v = NULL WHERE v = ''");
is(compare('public.keyless', 'part, equal, cardinality(missing_keys), cardinality(different_keys)'),
	"all rows|f|1|1\ntotal|f|1|1", 'an empty string is no NULL');

for my $change ("n = n + 0.001", "j = j || '{\"c\": 1}'", "ts = ts + interval '1 us'", "i = i + interval '1 s'", "f = f || '0'",
	"c = 'ab'", "ip = '10.0.0.2'", "b = NULL", "d = d + interval '1 s'", "raw = '\\x00fe'", "texts = ARRAY['a', 'null', NULL, '']")
{
	at_target("BEGIN; CREATE TABLE saved AS SELECT * FROM typed WHERE id = 9; UPDATE typed SET $change WHERE id = 9; COMMIT");
	is(compare('public.typed', 'part, different_keys'), "all rows|{9}\ntotal|{9}", "seen: $change");
	at_target('DELETE FROM typed WHERE id = 9; INSERT INTO typed SELECT * FROM saved; DROP TABLE saved');
}
at_target('UPDATE typed SET more = 8');
is(compare('public.typed', 'equal'), 't', 'columns that only the target has do not count');

at_target("UPDATE part SET v = 'y' WHERE id = 200; UPDATE moods SET v = 3 WHERE m = 'bad'; INSERT INTO filtered VALUES (51, 'x');"
	  . q{UPDATE "Odd One" SET "a""b" = 'y'});
like(compare('public.part',     'different_keys'), qr/200, 2020-07-19/, 'in a partitioned table');
like(compare('public.moods',    'different_keys'), qr/bad/,             'a key of a type of one\'s own');
like(compare('public.filtered', 'extra_keys'),     qr/51/,              'a row that the filter of the publication excludes');
like(compare('public.Odd One',  'different_keys'), qr/1/,               'odd names');
$source->safe_psql('postgres', 'CREATE TABLE other (id int PRIMARY KEY)');

at_target('DELETE FROM big WHERE id <= 1000');
is(compare('public.big', 'cardinality(missing_keys), source_rows - target_rows') =~ s/\n.*//sr, '10|1000',
	'of many keys ten are listed, all are counted');

# --- while changes stream --------------------------------------------------------------------

at_target("DELETE FROM big; UPDATE hot SET v = v");
$source->safe_psql('postgres', 'TRUNCATE big; INSERT INTO big SELECT i, i::text FROM generate_series(1, 60000) i');
wait_caught_up($source, $target, 'c');
my $script = $source->basedir . '/load.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
\set id random(1, 60000)
\set hot random(1, 20)
UPDATE big SET v = v || '.' WHERE id = :id;
UPDATE hot SET v = v + 1 WHERE id = :hot;
INSERT INTO keyless VALUES ('load', :hot);
DELETE FROM big WHERE id = :id + 1;
INSERT INTO big VALUES (:id + 1, 'again') ON CONFLICT DO NOTHING;
SQL
my $load = start_pgbench($source, 'postgres', '-c', 2, '-T', 60, '-R', 400, '-f', $script);
poll($target, 'postgres', "SELECT count(*) > 10 FROM keyless WHERE v = 'load'");
my @equal = map { compare('public.big', 'equal') } 1 .. 3;
is("@equal", 't t t', 'equal under load, three times');
my ($hot) = reverse split /\n/, compare('public.hot', "coalesce(equal::text, 'moves')");
like($hot, qr/^(?:true|moves)$/, 'rows that are always changed are never told different');
at_target("UPDATE big SET v = 'other' WHERE id = 60001; INSERT INTO big VALUES (-1, 'more')");
is(compare('public.big', 'equal, missing_keys, extra_keys') =~ s/.*\n//sr, 'f|{-1}', 'a difference is found under load');
at_target('DELETE FROM big WHERE id = -1');
stop_pgbench($load);
wait_caught_up($source, $target, 'c');
is(compare('public.big', 'equal'), 't', 'equal after it');
is(compare('public.hot', 'equal'), 't', 'the hot rows as well');

# What is held up here is waited for and no difference.
my $lock = session($target, 'postgres', 'lock');
$lock->query_safe('BEGIN; LOCK TABLE hot IN SHARE MODE');
$source->safe_psql('postgres', 'UPDATE hot SET v = -1');
my $waiting = session($target, 'postgres', 'compare');
start_query($waiting, "SELECT equal FROM livesync.compare_table('c', 'public.hot')");
poll($target, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'compare' AND state = 'active' AND wait_event IS NOT NULL");
# but for the moment of a look at the catalog
poll($source, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'livesync%' AND xact_start IS NOT NULL AND backend_type = 'client backend'");
pass('while it waits no transaction is open at the source');
$lock->query_safe('COMMIT');
is(finish_query($waiting), 't', 'it waits for what is not applied yet');

# --- refusals --------------------------------------------------------------------------------

sub refused
{
	my ($sql, $pattern, $name) = @_;
	my ($code, $out, $err) = $target->psql('postgres', $sql);
	return like($err, $pattern, "refused: $name");
}
my $call = "SELECT * FROM livesync.compare_table";
refused("$call('nope', 'public.hot')", qr/connector "nope" does not exist/, 'an unknown connector');
refused("$call('c', 'public.other')", qr/has no table "public.other"/, 'an unknown table');
refused("$call(NULL, 'public.hot')", qr/must be given|null/i, 'NULL');
refused("BEGIN ISOLATION LEVEL REPEATABLE READ; $call('c', 'public.hot')", qr/READ COMMITTED/, 'one snapshot for all');
$target->safe_psql('postgres', 'CREATE ROLE nobody; GRANT USAGE ON SCHEMA livesync TO nobody');
refused("SET ROLE nobody; $call('c', 'public.hot')", qr/permission denied for function/, 'anybody');
at_target('INSERT INTO hot VALUES (21, 0)');
$target->safe_psql('postgres', 'ALTER TABLE hot ADD CHECK (v < 1000000)');
$source->safe_psql('postgres', 'UPDATE hot SET v = 2000000 WHERE id = 1');
poll($target, 'postgres', "SELECT state FROM livesync.tables WHERE source_table = 'public.hot'", 'failed');
refused("$call('c', 'public.hot')", qr/is not streaming.*Its state is (?:failed|catching_up)/s, 'a failed table, which may be trying again');
$target->safe_psql('postgres', "SELECT livesync.pause_connector('c')");
refused("$call('c', 'public.big')", qr/is paused/, 'a paused connector');
$target->safe_psql('postgres', "SELECT livesync.resume_connector('c')");
wait_state($target, 'postgres', 'c', 'public.big', 'streaming');
$lock->query_safe('BEGIN; LOCK TABLE big IN SHARE MODE');
$source->safe_psql('postgres', "UPDATE big SET v = 'held up' WHERE id = 1");
start_query($waiting, "$call('c', 'public.big')");
poll($target, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'compare' AND state = 'active' AND wait_event_type = 'Extension'");
$target->safe_psql('postgres', "BEGIN; SELECT livesync.pause_connector('c'); SELECT livesync.drop_connector('c'); COMMIT");
like(finish_query($waiting), qr/ERROR:  connector "c" does not have table "public.big" any more/, 'refused: what is dropped meanwhile');
$lock->query_safe('COMMIT');

check_logs($source, $target);
done_testing();
