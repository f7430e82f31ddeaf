# Changes that wait in a spool while the source's rules for its rows are others than when they are replayed.
#
# A row that stands in another one's way is set aside, and fetched at the end unless it is written again.  "Again" is after it was
# set aside: one that was written just before, in the same set, once counted as well, and the row was gone without a word.
#
# With REPLICA IDENTITY FULL a key that the source has got since does not tell apart rows that came before it: of two equal rows
# that differ elsewhere, the deletion of one once took both.
#
# And a key that is away while rows come with FULL, of which nothing is to be seen at the next look: DEFAULT before, DEFAULT after.
# The stream tells of FULL, also when it is behind that look, and the copy waits until it has told.
#
# A copy that begins again waits until the stream has passed why: or the changes of before are put over the rows that it brought.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my @tables = qw(public.deferred public.keyless public.narrower);

# What the source has sent so far is here, in the spool.
sub is_parked
{
	my $lsn = source_lsn($source);
	return poll($target, 'postgres', "SELECT received_lsn >= '$lsn' FROM livesync.progress");
}

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE deferred (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED, v text);
INSERT INTO deferred SELECT i, i, 'first' FROM generate_series(1, 10) i;
CREATE TABLE keyless (id int, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyless SELECT i % 5, 'row ' || i FROM generate_series(1, 20) i;
CREATE TABLE narrower (id int PRIMARY KEY, u int NOT NULL);
INSERT INTO narrower SELECT i, i FROM generate_series(1, 10) i;
SQL
$target->safe_psql('postgres', 'CREATE TABLE deferred (id int PRIMARY KEY, u int UNIQUE, v text)');
create_connector($target, 'postgres', 'c', conninfo($source), tables => \@tables);
wait_sync($source, $target, 'c');
for my $table (@tables)
{
	$target->safe_psql('postgres', "SELECT livesync.pause_table('c', '$table')");
	wait_state($target, 'postgres', 'c', $table, 'paused');
}

# 2 takes the value of 1 for a moment; the change of a key in between makes two sets of it
$source->safe_psql('postgres', <<'SQL');
BEGIN;
UPDATE deferred SET v = 'written before' WHERE id = 1;
UPDATE deferred SET u = 1 WHERE id = 2;
UPDATE deferred SET id = 100 WHERE id = 10;
UPDATE deferred SET u = 20 WHERE id = 2;
COMMIT;
DELETE FROM keyless WHERE v NOT IN ('row 1', 'row 2', 'row 3', 'row 4', 'row 5');
ALTER TABLE keyless ADD PRIMARY KEY (id);
UPDATE keyless SET v = 'has a key' WHERE id = 3;
ALTER TABLE narrower DROP CONSTRAINT narrower_pkey;
ALTER TABLE narrower ADD PRIMARY KEY (u);
UPDATE narrower SET id = 1 WHERE u < 4;
SQL
is_parked();
# the key of now is known here
$target->safe_psql('postgres', "SELECT livesync.refresh_connector('c')");
$target->safe_psql('postgres', "SELECT livesync.resume_table('c', '$_')") for @tables;

wait_state($target, 'postgres', 'c', 'public.narrower', 'failed');
like($target->safe_psql('postgres', "SELECT last_error FROM livesync.tables WHERE source_table = 'public.narrower'"),
	qr/duplicate key value violates unique constraint "narrower_pkey"/, 'rows that cannot be here beside each other are told');
$target->safe_psql('postgres', 'ALTER TABLE narrower DROP CONSTRAINT narrower_pkey');
$target->psql('postgres', "SELECT livesync.retry_table('c', 'public.narrower')");
wait_sync($source, $target, 'c');

same_tables($source, 'postgres', $target, 'postgres', ['public.deferred'], 'a row that was set aside after it was written is fetched');
same_tables($source, 'postgres', $target, 'postgres', ['public.keyless'], 'rows of before the key are not found by it');
same_tables($source, 'postgres', $target, 'postgres', ['public.narrower'], 'and are here when they can be');

# --- FULL for a while, between two looks ----------------------------------------------------------
my %modes = (behind => 'ADD PRIMARY KEY (id); ALTER TABLE behind REPLICA IDENTITY DEFAULT', behind_full => 'ADD PRIMARY KEY (id)', at_rest => 'ADD PRIMARY KEY (id)', written => '', emptied => '');
for my $table (sort keys %modes)
{
	$source->safe_psql('postgres', "CREATE TABLE $table (id int PRIMARY KEY, v text); INSERT INTO $table SELECT i, 'first' FROM generate_series(1, 5) i");
	$source->safe_psql('postgres', 'ALTER TABLE emptied ADD w int; UPDATE emptied SET w = id') if $table eq 'emptied';
	$target->safe_psql('postgres', "SELECT livesync.add_table('c', 'public.$table')");
}
wait_sync($source, $target, 'c');
$target->safe_psql('postgres', "SELECT livesync.refresh_connector('c')") for 1, 2;
$target->safe_psql('postgres', "SELECT livesync.pause_connector('c')");
# the stream itself finds that a column is another one, in the transaction that had written the former one's values; enough comes
# before for a look at the source to be over
$source->safe_psql('postgres', <<'SQL');
DO $$ BEGIN FOR i IN 1 .. 30000 LOOP UPDATE emptied SET v = i::text WHERE id = 1; COMMIT; END LOOP; END $$;
BEGIN;
UPDATE emptied SET v = 'with the former column';
ALTER TABLE emptied DROP w;
UPDATE emptied SET v = 'without' WHERE id < 3;
ALTER TABLE emptied ADD w int;
UPDATE emptied SET w = 0 WHERE id = 5;
COMMIT;
SQL
# a key that is made anew where no row came with FULL costs no copy
$source->safe_psql('postgres', 'ALTER TABLE at_rest DROP CONSTRAINT at_rest_pkey; ALTER TABLE at_rest ADD PRIMARY KEY (id)');
# a copy that begins before the stream has these rows would have them replayed over it
$source->safe_psql('postgres', "INSERT INTO written VALUES (6, 'second'); ALTER TABLE written ALTER v TYPE text USING upper(v)");
for my $table (qw(behind behind_full))
{
	$source->safe_psql('postgres', <<"SQL");
ALTER TABLE $table DROP CONSTRAINT ${table}_pkey;
ALTER TABLE $table REPLICA IDENTITY FULL;
INSERT INTO $table VALUES (4, 'beside it');
DELETE FROM $table WHERE v = 'first' AND id = 4;
ALTER TABLE $table $modes{$table};
SQL
}
$target->safe_psql('postgres', "SELECT livesync.resume_connector('c')");
poll($target, 'postgres', "SELECT count(*) FROM livesync.events WHERE event = 'table_resynced' AND source_table = 'public.$_'", 1) for qw(behind behind_full written);
poll($target, 'postgres', "SELECT count(*) > 0 FROM livesync.events WHERE event = 'table_restarted' AND source_table = 'public.emptied'");
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ["public.$_"], "changed while the stream was behind: $_") for sort keys %modes;
$target->safe_psql('postgres', "SELECT livesync.refresh_connector('c')") for 1, 2;
is($target->safe_psql('postgres', "SELECT string_agg(source_table, ' ' ORDER BY source_table) FROM livesync.events WHERE event = 'table_resync_wanted' AND detail ~ 'primary key'"),
	'public.behind public.behind_full', 'only these are copied again, once');

# --- two tables exchange their names: the way out that the hint tells ------------------------------
$source->safe_psql('postgres', <<'SQL');
CREATE TABLE this (id int PRIMARY KEY, x text); INSERT INTO this SELECT i, 'this' FROM generate_series(1, 5) i;
CREATE TABLE that (id int PRIMARY KEY, y date); INSERT INTO that SELECT i, '2024-01-01' FROM generate_series(1, 9) i;
SQL
$target->safe_psql('postgres', "SELECT livesync.add_table('c', 'public.$_')") for qw(this that);
wait_sync($source, $target, 'c');
$source->safe_psql('postgres', 'BEGIN; ALTER TABLE this RENAME TO other; ALTER TABLE that RENAME TO this; ALTER TABLE other RENAME TO that; COMMIT');
for my $table (qw(this that))
{
	poll($target, 'postgres', "SELECT hint ~ 'another table has the name at the source now, drop this one' FROM livesync.tables WHERE source_table = 'public.$table'");
}
$target->safe_psql('postgres', 'DROP TABLE this; DROP TABLE that');
$target->psql('postgres', "SELECT livesync.retry_table('c', 'public.$_')") for qw(this that);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.this', 'public.that' ], 'tables that exchanged their names');

check_logs($source, $target);
done_testing();
