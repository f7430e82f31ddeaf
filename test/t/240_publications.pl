# What is published, and how, decides which rows have events.  Where that is taken too lightly, rows come
# twice, come without ever being changed again, or are those of another table.
#
#  - A partition that is published beside its root, via the root, has no events of its own.
#  - A table that takes another one's name is another table.
#  - Filters that differ by action leave rows in the table that never had an event.
#  - A publication does not exist yet at the position that the slot still has to decode.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(source_conf => 'autovacuum = off', target_conf => "livesync.chunk_size = '8kB'\n");

sub at_source { return $source->safe_psql('postgres', $_[0]) }

sub same
{
	my ($name, @tables) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return same_tables($source, 'postgres', $target, 'postgres', \@tables, $name);
}

# --- a root and its partition ----------------------------------------------------------------

at_source(<<'SQL');
CREATE TABLE root (id int PRIMARY KEY, v text, pad text DEFAULT repeat('x', 400)) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF root FOR VALUES FROM (0) TO (100);
CREATE TABLE high PARTITION OF root FOR VALUES FROM (100) TO (200);
INSERT INTO root SELECT i, 'first' FROM generate_series(1, 199) i;
CREATE PUBLICATION by_root FOR TABLE root WITH (publish_via_partition_root);
CREATE PUBLICATION by_leaf FOR TABLE low;
SQL
create_connector($target, 'postgres', 'leaves', conninfo($source), publications => [ 'by_root', 'by_leaf' ]);
wait_sync($source, $target, 'leaves');
at_source("UPDATE root SET v = 'changed' WHERE id % 3 = 0; UPDATE root SET id = 100 WHERE id = 99 AND NOT EXISTS (SELECT FROM root WHERE id = 100); DELETE FROM root WHERE id % 10 = 0");
wait_caught_up($source, $target, 'leaves');
is($target->safe_psql('postgres', 'SELECT source_table FROM livesync.tables'), 'public.root', 'a partition whose root is published is no table of its own');
same('its rows are in the root, once and as they are now', 'public.root');

# --- names that change hands -----------------------------------------------------------------

at_source(<<'SQL');
CREATE SCHEMA swap;
CREATE TABLE swap.a (id int PRIMARY KEY, v text);
CREATE TABLE swap.b (id int PRIMARY KEY, v text);
INSERT INTO swap.a SELECT i, 'was a' FROM generate_series(1, 20) i;
INSERT INTO swap.b SELECT i, 'was b' FROM generate_series(11, 30) i;
SQL
create_connector($target, 'postgres', 'swap', conninfo($source), tables => [ 'swap.a', 'swap.b' ]);
wait_sync($source, $target, 'swap');
at_source(<<'SQL');
BEGIN;
ALTER TABLE swap.a RENAME TO c;
ALTER TABLE swap.b RENAME TO a;
ALTER TABLE swap.c RENAME TO b;
UPDATE swap.a SET v = 'is a' WHERE id % 2 = 0;
DELETE FROM swap.b WHERE id % 2 = 1;
INSERT INTO swap.a VALUES (1, 'is a');
COMMIT;
SQL
poll($target, 'postgres', "SELECT count(*) FROM livesync.events WHERE connector = 'swap' AND event = 'table_streaming'", '4');
wait_sync($source, $target, 'swap');
same('two tables that swapped their names', 'swap.a', 'swap.b');

# --- one filter for each action --------------------------------------------------------------

at_source(<<'SQL');
CREATE TABLE acts (id int PRIMARY KEY, v text);
INSERT INTO acts SELECT i, 'first' FROM generate_series(1, 40) i;
CREATE PUBLICATION some_inserts FOR TABLE acts WHERE (id > 20) WITH (publish = 'insert');
CREATE PUBLICATION other_changes FOR TABLE acts WITH (publish = 'update, delete, truncate');
SQL
create_connector($target, 'postgres', 'acts', conninfo($source), publications => [ 'some_inserts', 'other_changes' ]);
wait_sync($source, $target, 'acts');
is($target->safe_psql('postgres', "SELECT mode FROM livesync.synced_table WHERE source_name = 'acts'"), 'snapshot', 'filters that differ by action: one snapshot');
at_source("INSERT INTO acts VALUES (41, 'sent'); UPDATE acts SET v = 'changed' WHERE id % 3 = 0; DELETE FROM acts WHERE id % 5 = 0");
wait_caught_up($source, $target, 'acts');
same('what is sent arrives', 'public.acts');

# --- a publication that is younger than what is to be decoded --------------------------------

at_source("CREATE TABLE early (id int PRIMARY KEY); CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1); CREATE PUBLICATION early FOR TABLE early");
create_connector($target, 'postgres', 'young', conninfo($source), publications => ['early']);
wait_sync($source, $target, 'young');
failpoint($target, 'apply_before_commit=wait');
at_source('INSERT INTO early VALUES (1)');
failpoint_reached($target, 'postgres', 'apply_before_commit');
at_source('INSERT INTO early VALUES (2); CREATE PUBLICATION late FOR TABLE late; INSERT INTO late VALUES (2)');
$target->safe_psql('postgres', "SELECT livesync.alter_connector('young', publications => ARRAY['early', 'late'])");
clear_failpoints($target);
poll($target, 'postgres', "SELECT count(*) = 1 FROM livesync.tables WHERE connector = 'young' AND source_table = 'public.late'");
wait_sync($source, $target, 'young');
at_source('INSERT INTO early VALUES (3); INSERT INTO late VALUES (3)');
wait_caught_up($source, $target, 'young');
same('a publication that was made behind the slot\'s position', 'public.early', 'public.late');
# The source may not have noticed yet that a worker is gone when the next one comes.
is($target->safe_psql('postgres', "SELECT string_agg(detail, '; ') FROM livesync.events WHERE event = 'connector_failed' AND detail !~ 'is active for PID'"), '', 'no connector stumbled over it');

is($target->safe_psql('postgres', "SELECT string_agg(detail, '; ') FROM livesync.events WHERE event = 'table_failed'"), '', 'no table failed');
check_logs($source, $target);
done_testing();
