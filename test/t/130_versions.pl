# A table that is written to while it is copied ends equal, however its rows move meanwhile.
#
# The chunks are read at different times, so together they are a mix of versions: a row that an update
# moved may come twice, or not at all; another unique index may be broken by it for a moment; a deleted
# row may be there.  The changes since then, kept in the spool, have to put all that right; where they
# do not carry a value (TOAST values that an update left alone), it has to come from the source.
#
# Every table has its own connector with one copy worker and chunks of one block.  All are held first
# when planned, then when the first chunk has been committed, and are written to both times.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(
	source_conf => "autovacuum = off\nmax_replication_slots = 30\nmax_wal_senders = 30",
	target_conf => "livesync.chunk_size = '8kB'\nmax_replication_slots = 30\nmax_worker_processes = 60");

my $block = '(ctid::text::point)[0]::int';
my %last_block;

my $session = session($source, 'postgres', 'test');
sub at_source { return $session->query_safe($_[0]) }

sub wait_for_all
{
	my $lsn = source_lsn($source);
	return poll($target, 'postgres', "SELECT livesync.wait_for_sync(NULL, '60 s')")
	  && poll($target, 'postgres', "SELECT bool_and(livesync.wait_for_lsn(name, '$lsn', '60 s')) FROM livesync.connectors");
}

# ids of $count rows of a block; negative blocks count from the last one that the plan has
sub ids
{
	my ($table, $number, $count) = @_;
	$number += $last_block{$table} + 1 if $number < 0;
	my $ids = at_source("SELECT string_agg(id::text, ',' ORDER BY id) FROM "
		  . "(SELECT id FROM $table WHERE $block = $number ORDER BY id LIMIT $count) x");
	die "no rows in block $number of $table" if $ids eq '';
	return $ids;
}

# the lowest and the highest block with one of the rows
sub blocks_of
{
	my ($table, $ids) = @_;
	return split /,/, at_source("SELECT concat_ws(',', min($block), max($block)) FROM $table WHERE id IN ($ids)");
}

# --- the tables ------------------------------------------------------------------------------

my $pad  = "pad text DEFAULT repeat('x', 300)";
my %made = (
	twice      => "id int PRIMARY KEY, v text, $pad",
	behind     => "id int PRIMARY KEY, v text, doc text, $pad",
	leftover   => "id int PRIMARY KEY, v text, doc text, $pad",
	swapped    => "id int PRIMARY KEY, v text, code int UNIQUE, doc text, $pad",
	expression => "id int PRIMARY KEY, v text, email text, active boolean DEFAULT true, $pad",
	passing    => "id int PRIMARY KEY, v text, code int, doc text, $pad",
	deleted    => "id int PRIMARY KEY, v text, $pad",
	emptied    => "id int PRIMARY KEY, v text, $pad",
	one_block  => "id int PRIMARY KEY, v text, $pad");

# A unique index that stands at the source may be deferrable, the one at the target never waits.
my $after = q{
ALTER TABLE %1$s ALTER doc SET STORAGE EXTERNAL;
};
for my $table (sort keys %made)
{
	for my $node ($source, $target)
	{
		$node->safe_psql('postgres', "CREATE TABLE $table ($made{$table})");
		$node->safe_psql('postgres', sprintf($after, $table)) if $made{$table} =~ /doc/;
	}
	my $rows = $table eq 'one_block' ? 10 : 200;
	at_source("INSERT INTO $table (id, v) SELECT i, 'first' FROM generate_series(1, $rows) i");
}
$_->safe_psql('postgres', 'CREATE UNIQUE INDEX ON expression (lower(email)) WHERE active') for $source, $target;
at_source('ALTER TABLE passing ADD UNIQUE (code) DEFERRABLE');
$target->safe_psql('postgres', 'CREATE UNIQUE INDEX ON passing (code)');

# TOAST values are different in every row; what stands at the target before the copy has others.
# Rows are rewritten in order by all this, so that blocks are full.
my $doc = "repeat(md5('%s' || id), 80)";
at_source(sprintf("UPDATE $_ SET doc = $doc", 'source')) for qw(behind leftover swapped);
at_source(sprintf("UPDATE passing SET doc = $doc WHERE id %% 2 = 1", 'source'));
at_source("UPDATE $_ SET code = id") for qw(swapped passing);
at_source("UPDATE expression SET email = 'User' || id");
at_source("VACUUM FULL $_") for sort keys %made;
# Also the last block: otherwise moved rows would go there.
at_source(<<"SQL") for qw(behind leftover);
DO \$\$
DECLARE blocks bigint := pg_relation_size('$_');
BEGIN
	FOR i IN 201 .. 300 LOOP
		INSERT INTO $_ (id, v, doc) SELECT i, 'filler', doc FROM $_ WHERE id = 1;
		EXIT WHEN pg_relation_size('$_') > blocks;
	END LOOP;
	DELETE FROM $_ WHERE id > 200 AND $block = blocks / 8192;
END \$\$;
SQL
at_source("VACUUM $_") for qw(behind leftover);

$last_block{$_} = at_source("SELECT pg_relation_size('$_') / 8192 - 1") for keys %made;
cmp_ok($last_block{$_}, '>', 5, "table $_ has several chunks") for grep { $_ ne 'one_block' } sort keys %made;

# Room for row versions: at the end of one table, at the start of others.
at_source("DELETE FROM twice WHERE $block = $last_block{twice} - 1 AND id % 2 = 0");
at_source("DELETE FROM $_ WHERE $block = 0 AND id % 5 <> 0") for qw(behind leftover);
at_source("VACUUM $_") for sort keys %made;

# Rows stand at the target already.
my $same_ids = at_source("SELECT string_agg(id::text, ',') FROM leftover");
$target->safe_psql('postgres', sprintf("INSERT INTO leftover SELECT id, 'old', $doc, 'old' FROM unnest(ARRAY[$same_ids]) id", 'target'));

# --- all are planned -------------------------------------------------------------------------

failpoint($target, 'planned=wait', 'chunk_committed=wait');
create_connector($target, 'postgres', "c_$_", conninfo($source), tables => ["public.$_"], copy_workers => 1)
  for sort keys %made;
failpoint_reached($target, 'postgres', 'planned', scalar keys %made);

for my $table (qw(behind leftover))
{
	# A row leaves its key, another one takes it: the old TOAST value must not end at the new row.
	my ($id) = split /,/, ids($table, 3, 1);
	at_source("UPDATE $table SET id = id + 10000 WHERE id = $id");
	at_source("INSERT INTO $table VALUES ($id, 'stranger', repeat(md5('stranger'), 80))");
	at_source("UPDATE $table SET id = id + 20000 WHERE id IN (" . ids($table, 4, 3) . ')');
}
at_source('DELETE FROM deleted WHERE id IN (' . ids('deleted', 3, 5) . ')');

# --- the first chunk is there ----------------------------------------------------------------

failpoint($target, 'chunk_committed=wait');
failpoint_reached($target, 'postgres', 'chunk_committed', scalar keys %made);

# twice: rows of the first block go to a later one.
my $ids = ids('twice', 0, 5);
at_source("UPDATE twice SET v = 'moved' WHERE id IN ($ids)");
my ($lowest, $highest) = blocks_of('twice', $ids);
ok($lowest > 0 && $highest <= $last_block{twice}, 'rows have moved on before the scan');

for my $table (qw(behind leftover))
{
	# Rows of a later block go to the first, without touching their TOAST value.
	$ids = ids($table, -2, 4);
	at_source("UPDATE $table SET v = 'moved' WHERE id IN ($ids)");
	is((blocks_of($table, $ids))[1], 0, "rows of $table have moved behind the scan");
	# So does a row of which the key changes.
	$ids = ids($table, -3, 2);
	at_source("UPDATE $table SET id = id + 30000 WHERE id IN ($ids)");
	(my $new_ids = $ids) =~ s/(\d+)/$1 + 30000/ge;
	is((blocks_of($table, $new_ids))[1], 0, 'under new keys too');
	my ($id) = split /,/, $ids;
	at_source("INSERT INTO $table VALUES ($id, 'stranger', repeat(md5('stranger 2'), 80))");
	# And one whose row the first chunk has brought.
	$ids = ids($table, 0, 1);
	at_source("UPDATE $table SET id = id + 40000 WHERE id IN ($ids)");
	at_source("INSERT INTO $table VALUES ($ids, 'stranger', repeat(md5('stranger 3'), 80))");
	at_source("UPDATE $table SET v = v || ' again' WHERE v = 'stranger'");
}

# swapped: values of another unique index go round between rows of the first and of later blocks.
my @first = split /,/, ids('swapped', 0, 3);
my @later = split /,/, ids('swapped', -2, 3);
for my $i (0 .. 2)
{
	at_source("BEGIN; UPDATE swapped SET code = -code WHERE id IN ($first[$i], $later[$i]); "
		  . "UPDATE swapped SET code = $later[$i] WHERE id = $first[$i]; "
		  . "UPDATE swapped SET code = $first[$i] WHERE id = $later[$i]; COMMIT");
}
# One more takes a value over for good; the row it had belonged to is not written again.
at_source("DELETE FROM swapped WHERE id = $first[0]");
at_source("UPDATE swapped SET code = $later[0] WHERE id = (SELECT id FROM swapped WHERE $block = $last_block{swapped} LIMIT 1)");

# The same with an index that is partial and of an expression.
@first = split /,/, ids('expression', 0, 2);
@later = split /,/, ids('expression', -2, 2);
at_source("UPDATE expression SET active = false WHERE id = $first[0]");
at_source("UPDATE expression SET email = 'USER$first[0]' WHERE id = $later[0]");
at_source("BEGIN; UPDATE expression SET email = 'x' WHERE id = $first[1]; "
	  . "UPDATE expression SET email = 'uSER$first[1]' WHERE id = $later[1]; "
	  . "UPDATE expression SET email = 'uSER$later[1]' WHERE id = $first[1]; COMMIT");

# passing: a row takes another one's value and leaves it again, before the constraint is checked.
# Between the two the key of a row changes without its TOAST value, which does not fold: so both steps
# are replayed, and the row in the way is set aside though nobody writes it again.
my ($victim) = split /,/, ids('passing', 0, 1);
my ($guest, $mover) = map { at_source("SELECT min(id) FROM passing WHERE $block > 1 AND (doc IS NULL) = $_") } qw(true false);
at_source("BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE passing SET code = $victim WHERE id = $guest; "
	  . "UPDATE passing SET id = id + 1000 WHERE id = $mover; "
	  . "UPDATE passing SET code = 777 WHERE id = $guest; COMMIT");

# deleted: rows that are here, rows that are not yet, and keys that are used again.
at_source('DELETE FROM deleted WHERE id IN (' . join(',', ids('deleted', 0, 5), ids('deleted', -2, 5)) . ')');
$ids = ids('deleted', 0, 2) . ',' . ids('deleted', -3, 2);
at_source("DELETE FROM deleted WHERE id IN ($ids)");
at_source("INSERT INTO deleted SELECT i, 'reborn' FROM unnest(ARRAY[$ids]) i");
at_source("INSERT INTO deleted SELECT i, 'short-lived' FROM generate_series(1001, 1010) i; DELETE FROM deleted WHERE id > 1000");

# TRUNCATE, before the last chunk and after it.
for my $table (qw(emptied one_block))
{
	at_source("UPDATE $table SET v = 'lost' WHERE id % 3 = 0");
	at_source("TRUNCATE $table");
	at_source("INSERT INTO $table SELECT i, 'second' FROM generate_series(5, 15) i");
	at_source("UPDATE $table SET v = 'third' WHERE id = 5");
}

# --- and on ----------------------------------------------------------------------------------

clear_failpoints($target);
wait_for_all();
same_tables($source, 'postgres', $target, 'postgres', ["public.$_"]) for sort keys %made;
is($target->safe_psql('postgres', "SELECT string_agg(DISTINCT connector, ',' ORDER BY connector) FROM livesync.events WHERE event = 'table_failed'"),
	'', 'no table has failed on the way');
is($target->safe_psql('postgres', "SELECT string_agg(DISTINCT source_table, ',') FROM livesync.events WHERE event = 'table_restarted'"),
	'public.emptied', 'only the one that was emptied before its last chunk started over');

at_source("UPDATE $_ SET v = v || '!' WHERE id % 3 = 0") for sort keys %made;
wait_for_all();
same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } sort keys %made ]);

$session->quit;
check_logs($source, $target);
done_testing();
