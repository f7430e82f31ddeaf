# What is proved: whatever is done to a publication at the source is followed without a call: tables added,
# dropped, set anew, by schema, by FOR ALL TABLES; new partitions, alone and below a root; changed filters and
# column lists.  Each is told in the events; what leaves stays as it was.
#
# Why it matters: publications belong to the source, where nobody calls functions of ours.  A table whose filter
# has changed has rows here that no change will ever touch, unless it is copied again.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';

$source->safe_psql($db, <<'SQL');
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, v text);
CREATE TABLE c (id int PRIMARY KEY, v text);
CREATE SCHEMA s;
CREATE TABLE s.d (id int PRIMARY KEY, v text);
CREATE TABLE root (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE root_1 PARTITION OF root FOR VALUES FROM (0) TO (100);
CREATE TABLE leaves (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE leaves_1 PARTITION OF leaves FOR VALUES FROM (0) TO (100);
INSERT INTO a SELECT i, 'x' FROM generate_series(1, 50) i;
INSERT INTO b TABLE a;
INSERT INTO c TABLE a;
INSERT INTO s.d TABLE a;
INSERT INTO root TABLE a;
INSERT INTO leaves TABLE a;
CREATE PUBLICATION p FOR TABLE a;
CREATE PUBLICATION via_root FOR TABLE root WITH (publish_via_partition_root = true);
CREATE PUBLICATION by_leaf FOR TABLE leaves;
SQL

sub change { return $source->safe_psql($db, join '; ', @_) }
sub tables { return $target->safe_psql($db, q{SELECT string_agg(source_table, ' ' ORDER BY source_table) FROM livesync.tables}) }
sub events { return $target->safe_psql($db, "SELECT count(*) FROM livesync.events WHERE source_table = '$_[0]' AND event = '$_[1]'") }

# The tables that are synced become these, without a call; then all is equal.
sub becomes
{
	my ($expected, $name, @equal) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	poll($target, $db, qq{SELECT string_agg(source_table, ' ' ORDER BY source_table) = '$expected' FROM livesync.tables});
	wait_sync($source, $target, 'k');
	return same_tables($source, $db, $target, $db, [ map { $_ =~ /\./ ? $_ : "public.$_" } @equal ], $name);
}

create_connector($target, $db, 'k', conninfo($source), publications => [qw(p via_root by_leaf)]);
my $parts = 'public.leaves_1 public.root';
becomes("public.a $parts", 'three publications', qw(a root leaves_1));

change('ALTER PUBLICATION p ADD TABLE b', 'INSERT INTO b VALUES (60)');
becomes("public.a public.b $parts", 'ADD TABLE', qw(a b));
change('ALTER PUBLICATION p DROP TABLE a', 'INSERT INTO a VALUES (61)');
becomes("public.b $parts", 'DROP TABLE', 'b');
is($target->safe_psql($db, 'SELECT count(*) FROM a'), 50, 'what leaves stays as it was');
is(events('public.a', 'table_released'), 1, 'and is told of');
change('ALTER PUBLICATION p SET TABLE a, c', 'INSERT INTO a VALUES (62)');
becomes("public.a public.c $parts", 'SET TABLE', qw(a c));
is(events('public.b', 'table_released') . events('public.a', 'table_added'), 12, 'both ways');

# --- schemas -----------------------------------------------------------------------------------

change('ALTER PUBLICATION p ADD TABLES IN SCHEMA s', 'INSERT INTO s.d VALUES (63)');
becomes("public.a public.c $parts s.d", 'ADD TABLES IN SCHEMA', qw(a c s.d));
change('CREATE TABLE s.e (id int PRIMARY KEY)', 'INSERT INTO s.e VALUES (1)');
becomes("public.a public.c $parts s.d s.e", 'a new table in it', qw(s.d s.e));
change('ALTER TABLE s.e SET SCHEMA public', 'INSERT INTO e VALUES (2)');
becomes("public.a public.c $parts s.d", 'one that leaves the schema', 's.d');
change('ALTER PUBLICATION p DROP TABLES IN SCHEMA s');
becomes("public.a public.c $parts", 'DROP TABLES IN SCHEMA', 'a');
change('DROP TABLE c');
becomes("public.a $parts", 'a table that is dropped', 'a');

# --- filters and columns -----------------------------------------------------------------------

change('ALTER PUBLICATION p SET TABLE a WHERE (id <= 10)', 'UPDATE a SET v = $$y$$ WHERE id < 20');
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.events WHERE source_table = 'public.a' AND event = 'table_restarted'});
wait_sync($source, $target, 'k');
is($target->safe_psql($db, 'SELECT count(*), max(id), min(v) FROM a'), '10|10|y', 'a filter that is added: other rows go');
change('ALTER PUBLICATION p SET TABLE a WHERE (id <= 20)');
poll($target, $db, 'SELECT count(*) = 20 FROM a');
wait_sync($source, $target, 'k');
is($target->safe_psql($db, 'SELECT max(id) FROM a'), 20, 'one that is widened: other rows come');
change('ALTER PUBLICATION p SET TABLE a');
poll($target, $db, 'SELECT max(id) > 20 FROM a');
becomes("public.a $parts", 'one that goes', 'a');
change('ALTER PUBLICATION p SET TABLE a (id)', 'UPDATE a SET v = $$unsent$$ WHERE id = 1', 'INSERT INTO a VALUES (70, $$unsent$$)');
poll($target, $db, 'SELECT count(*) = 1 FROM a WHERE id = 70');
wait_sync($source, $target, 'k');
is($target->safe_psql($db, q{SELECT count(*) FROM a WHERE v = 'unsent'}), 0, 'a column that is not published any more');
change('ALTER PUBLICATION p SET TABLE a');
poll($target, $db, q{SELECT count(*) = 2 FROM a WHERE v = 'unsent'});
becomes("public.a $parts", 'and is again', 'a');

# --- partitions --------------------------------------------------------------------------------

change('CREATE TABLE root_2 PARTITION OF root FOR VALUES FROM (100) TO (200)', 'INSERT INTO root VALUES (101)',
	'CREATE TABLE leaves_2 PARTITION OF leaves FOR VALUES FROM (100) TO (200)', 'INSERT INTO leaves VALUES (101)');
becomes("public.a public.leaves_1 public.leaves_2 public.root", 'new partitions', qw(root leaves_1 leaves_2));
change('CREATE TABLE root_3 (id int NOT NULL PRIMARY KEY, v text)', 'INSERT INTO root_3 SELECT i FROM generate_series(200, 250) i',
	'ALTER TABLE root ATTACH PARTITION root_3 FOR VALUES FROM (200) TO (300)', 'INSERT INTO root VALUES (260)');
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.events WHERE source_table = 'public.root' AND event = 'table_resynced'});
becomes("public.a public.leaves_1 public.leaves_2 public.root", 'one that is attached with its rows', 'root');
change('ALTER TABLE leaves DETACH PARTITION leaves_2');
becomes("public.a public.leaves_1 public.root", 'one that is detached', 'leaves_1');

# --- every table -------------------------------------------------------------------------------

change('DROP PUBLICATION p', 'CREATE PUBLICATION p FOR ALL TABLES WITH (publish_via_partition_root = true)');
poll($target, $db, q{SELECT string_agg(source_table, ' ' ORDER BY source_table) = 'public.a public.b public.e public.leaves public.leaves_2 public.root s.d' FROM livesync.tables});
wait_sync($source, $target, 'k');
change('CREATE TABLE latest (id int PRIMARY KEY)', 'INSERT INTO latest VALUES (1)');
becomes('public.a public.b public.e public.latest public.leaves public.leaves_2 public.root s.d', 'FOR ALL TABLES, made anew under the name', qw(a b e latest leaves root s.d));

check_logs($source, $target);
done_testing();
