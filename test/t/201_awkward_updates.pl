# Updates that cannot be written as they come, found by random changes: each once lost a change without an error.
#
#  - Without a key a row is found by its old values.  Updates of one row that come together must not be
#    looked for at once; the next one's old row has TOAST values that the last one's new row left out.
#    One column tells most rows apart before whole rows are compared: a NULL there tells nothing.
#    And 1.0 and 1.00 are equal, but not the same row; when the same is not there, an equal one is taken.
#  - A GENERATED ALWAYS AS IDENTITY column can be set by no UPDATE, but the source can number a row anew.
#    Columns that only the target has stay as they were.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.batch_delay = '1s'");

my $number = 'GENERATED ALWAYS AS IDENTITY';
my $large  = 'large text';
my %made   = (
	chain    => "a int, v text, $large",
	numbered => "id int PRIMARY KEY, n bigint $number, v text, $large",
	by_number => "n bigint $number PRIMARY KEY, v text, $large",
	nulls => 'a int, d date, v text',
	alike    => 'a numeric, b float8, c interval, d numeric[], v text COLLATE caseless',
	keyless  => "n bigint $number, v text, amount numeric DEFAULT 1.0, $large",
	plain_at_source => 'id int PRIMARY KEY, n bigint NOT NULL, v text');
$_->safe_psql('postgres', q{CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)})
  for $source, $target;
for my $table (sort keys %made)
{
	for my $node ($source, $target)
	{
		my $columns = $made{$table};
		$columns .= ", extra text DEFAULT 'none'" if $node == $target;
		$columns =~ s/bigint NOT NULL/bigint $number/ if $node == $target;
		$node->safe_psql('postgres', "CREATE TABLE $table ($columns)");
		$node->safe_psql('postgres', "ALTER TABLE $table ALTER large SET STORAGE EXTERNAL") if $columns =~ /large/;
	}
}
my $text = "repeat('0123456789', 500)";
$source->safe_psql('postgres', <<"SQL");
ALTER TABLE chain REPLICA IDENTITY FULL;
ALTER TABLE keyless REPLICA IDENTITY FULL;
ALTER TABLE nulls REPLICA IDENTITY FULL;
ALTER TABLE alike REPLICA IDENTITY FULL;
INSERT INTO alike VALUES (1.0, 0, '1 day', '{1.0}', 'a'), (1.00, 0, '1 day', '{1.0}', 'a'), (1.0, '-0', '1 day', '{1.0}', 'a'),
  (1.0, 0, '24:00', '{1.0}', 'a'), (1.0, 0, '1 day', '{1.00}', 'a'), (1.0, 0, '1 day', '{1.0}', 'A'), (1.000, 0, '1 day', '{1.0}', 'a');
INSERT INTO chain SELECT i, 'first', $text || i FROM generate_series(1, 5) i;
INSERT INTO chain VALUES (3, 'first', NULL);
INSERT INTO numbered (id, v, large) SELECT i, 'first', $text || i FROM generate_series(1, 5) i;
INSERT INTO by_number (v, large) SELECT 'first ' || i, $text || i FROM generate_series(1, 5) i;
INSERT INTO nulls SELECT nullif(i % 4, 0), nullif(DATE '2024-01-01' + i % 5, '2024-01-03'), i % 3 FROM generate_series(1, 120) i;
INSERT INTO keyless (v, large) SELECT 'first ' || i, $text || i FROM generate_series(1, 5) i;
INSERT INTO plain_at_source SELECT i, i, 'first' FROM generate_series(1, 5) i;
SQL

create_connector($target, 'postgres', 'c', conninfo($source), tables => [ map { "public.$_" } sort keys %made ]);
wait_sync($source, $target, 'c');
$target->safe_psql('postgres', "UPDATE $_ SET extra = 'kept'") for sort keys %made;

# Everything in one transaction, so that it is applied together.
$source->safe_psql('postgres', <<'SQL');
BEGIN;
UPDATE alike SET a = 2 WHERE a::text = '1.00';
UPDATE alike SET b = 2 WHERE b::text = '-0';
UPDATE alike SET c = '2 days' WHERE c::text = '24:00:00';
UPDATE alike SET d = '{2}' WHERE d::text = '{1.00}';
UPDATE alike SET v = 'b' WHERE v::text COLLATE "C" = 'A';
DELETE FROM alike WHERE a::text = '1.000';
UPDATE chain SET a = 11 WHERE a = 1;
UPDATE chain SET a = 12 WHERE a = 11;
UPDATE chain SET a = 13, v = 'third' WHERE a = 12;
UPDATE chain SET a = a + 1 WHERE a <= 5;
UPDATE chain SET a = a + 1 WHERE a <= 5;
UPDATE numbered SET n = DEFAULT WHERE id = 2;
UPDATE numbered SET n = DEFAULT, v = 'renumbered' WHERE id = 3;
UPDATE numbered SET v = 'only this' WHERE id IN (2, 4);
UPDATE by_number SET n = DEFAULT WHERE n = 2;
UPDATE by_number SET n = DEFAULT, v = 'renumbered' WHERE n = 3;
UPDATE by_number SET v = 'only this' WHERE n = 4;
UPDATE keyless SET n = DEFAULT WHERE n = 2;
UPDATE keyless SET n = DEFAULT, v = 'renumbered' WHERE n = 3;
UPDATE keyless SET v = 'only this' WHERE n = 4;
UPDATE plain_at_source SET n = n + 100 WHERE id = 2;
UPDATE plain_at_source SET v = 'only this' WHERE id = 3;
COMMIT;
SQL
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [$_], "$_ is the same, one transaction")
  for map { "public.$_" } sort keys %made;
is($target->safe_psql('postgres', join ' UNION ALL ', map { "SELECT '$_', * FROM (SELECT count(*) FROM $_ WHERE extra <> 'kept') x WHERE count > 0" } sort keys %made),
	'', 'what only the target has was kept');

# Only rows with a NULL, rows without and with one together, and rows that differ in another column only.
for my $change ("UPDATE nulls SET v = 'a' WHERE a IS NULL AND d = '2024-01-02'",
	"UPDATE nulls SET v = 'b' WHERE d IS NULL AND a <> 2 OR a IS NULL AND v = '1'",
	'UPDATE nulls SET a = NULL WHERE a = 3',
	"DELETE FROM nulls WHERE a IS NULL AND v = '2' OR a = 1 AND d IS NULL",
	'DELETE FROM nulls WHERE ctid IN (SELECT max(ctid) FROM nulls GROUP BY a, d, v HAVING count(*) > 1)')
{
	$source->safe_psql('postgres', $change);
	wait_caught_up($source, $target, 'c');
	same_tables($source, 'postgres', $target, 'postgres', ['public.nulls'], $change);
}

# Rows that were made otherwise at the target, beside one that is the same and one that is not there.
$source->safe_psql('postgres', <<'SQL');
INSERT INTO alike SELECT a, 0, '1 day', '{1}', 'made' FROM unnest('{10.0, 10.00, 11, 12, 13, 14}'::numeric[]) a;
INSERT INTO keyless (v, amount) VALUES ('made', 1), ('made', 1);
SQL
wait_caught_up($source, $target, 'c');
$target->safe_psql('postgres', <<'SQL');
UPDATE alike SET v = 'MADE' WHERE a = 11;
UPDATE alike SET a = 12.000, d = '{1.0}' WHERE a = 12;
DELETE FROM alike WHERE a = 13;
UPDATE alike SET c = '24:00' WHERE a = 14;
UPDATE keyless SET amount = 1.00 WHERE v = 'made';
SQL
$source->safe_psql('postgres', <<'SQL');
BEGIN;
UPDATE alike SET b = 5 WHERE a::text = '10.00' OR a > 10 AND a < 14;
DELETE FROM alike WHERE a = 14;
UPDATE keyless SET n = DEFAULT, large = 'renumbered' WHERE v = 'made';
COMMIT;
DELETE FROM alike WHERE a = 13;
SQL
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ["public.$_"], "$_: rows that were only equal") for qw(alike keyless);
ok(poll($target, 'postgres', "SELECT update_missing || ' ' || delete_missing FROM livesync.stats WHERE source_table = 'public.alike'", '1 1'),
	'the row that was not there is counted');

# While a table is copied its changes are written over what the chunks brought.
$source->safe_psql('postgres', 'CREATE TABLE copied (id int PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, v text)');
$target->safe_psql('postgres', 'CREATE TABLE copied (id int PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, v text)');
$source->safe_psql('postgres', "INSERT INTO copied (id, v) SELECT i, 'first' FROM generate_series(1, 5) i");
# So is a key that is written otherwise and equal to what it was: a row that is deleted at its old key after it was
# written at the new one is gone.
for my $name (qw(rescaled rescaled_with_more))
{
	$source->safe_psql('postgres', "CREATE TABLE $name (id numeric PRIMARY KEY, v text); INSERT INTO $name SELECT i, 'first' FROM generate_series(1, 6) i");
	$target->safe_psql('postgres', "CREATE TABLE $name (id numeric PRIMARY KEY, v text" . ($name =~ /more/ ? ', more text)' : ')'));
}
# And a column of the key that is stored out of line: an update says it in the old row only, whether the key changes or not.
my $wide = 'CREATE TABLE wide_key (id int, k text, v text, doc text, PRIMARY KEY (id, k)); ALTER TABLE wide_key ALTER k SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL;';
$target->safe_psql('postgres', $wide);
$source->safe_psql('postgres', "$wide INSERT INTO wide_key SELECT i, repeat(md5(i::text), 75), 'first', repeat('doc ' || i, 1000) FROM generate_series(1, 6) i");
my @copied = qw(copied rescaled rescaled_with_more wide_key);
failpoint($target, map { "load_finished/public.$_=wait" } @copied);
create_connector($target, 'postgres', 'd', conninfo($source), tables => [ map { "public.$_" } @copied ]);
failpoint_reached($target, 'postgres', 'load_finished', scalar @copied);
$source->safe_psql('postgres', 'UPDATE copied SET n = DEFAULT WHERE id > 2');
$source->safe_psql('postgres', "UPDATE $_ SET id = 1.0 WHERE id = 1; UPDATE $_ SET id = 2.00, v = 'second' WHERE id = 2") for qw(rescaled rescaled_with_more);
$source->safe_psql('postgres', "UPDATE wide_key SET v = 'same key' WHERE id IN (1, 2); UPDATE wide_key SET id = id + 1000 WHERE id IN (2, 3)");
clear_failpoints($target);
wait_sync($source, $target, 'd');
same_tables($source, 'postgres', $target, 'postgres', ['public.wide_key'], 'a part of the key that is stored out of line');
$source->safe_psql('postgres', "UPDATE wide_key SET v = 'the same' WHERE id IN (1, 4); UPDATE wide_key SET id = id + 2000 WHERE id IN (4, 5); DELETE FROM wide_key WHERE id = 6");
for (qw(rescaled rescaled_with_more))
{
	same_tables($source, 'postgres', $target, 'postgres', ["public.$_"], "keys that are equal, written otherwise: $_");
	$source->safe_psql('postgres', "BEGIN; UPDATE $_ SET id = 3.0 WHERE id = 3; UPDATE $_ SET id = 1 WHERE id = 1; UPDATE $_ SET id = 4.0, v = 'fourth' WHERE id = 4; COMMIT");
}
wait_caught_up($source, $target, 'd');
same_tables($source, 'postgres', $target, 'postgres', ["public.$_"], "and in the stream: $_") for qw(rescaled rescaled_with_more wide_key);
same_tables($source, 'postgres', $target, 'postgres', ['public.copied'], 'numbers made anew during the copy are the same');

is($target->safe_psql('postgres', 'SELECT source_table, state, last_error FROM livesync.tables WHERE state <> $$streaming$$'), '', 'no table failed');
check_logs($source, $target);
done_testing();
