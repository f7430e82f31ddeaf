# What indexes of the target the copy may rely on, and what happens without.
#
# The copy brings some rows twice, and lets a unique index tell.  But an index that is deferrable is not
# checked at all while changes are replicated; a partial one, or one on more columns than the key, does
# not tell either.  Such an index counts as none.  Without one, rows that were there before could not be
# told from copied ones, so there must be none: when the copy begins, and whenever it begins again.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(
	source_conf => 'autovacuum = off',
	target_conf => "livesync.chunk_size = '8kB'");

my %index = (
	plain      => 'ALTER TABLE plain ADD PRIMARY KEY (id)',
	bare       => '',
	deferrable => 'ALTER TABLE "deferrable" ADD PRIMARY KEY (id) DEFERRABLE',
	partial    => 'CREATE UNIQUE INDEX ON partial (id) WHERE id > 50',
	expression => 'CREATE UNIQUE INDEX ON expression ((id + 0))',
	wider      => 'ALTER TABLE wider ADD PRIMARY KEY (id, at)',
	included   => 'CREATE UNIQUE INDEX ON included (id) INCLUDE (at)');
my @tables = sort keys %index;

for my $table (@tables, 'restarted')
{
	$source->safe_psql('postgres', qq{CREATE TABLE "$table" (id int PRIMARY KEY, at timestamp DEFAULT '2020-01-01', v text, pad text DEFAULT repeat('x', 400));}
		  . qq{INSERT INTO "$table" (id, v) SELECT i, 'first' FROM generate_series(1, 100) i;}
		  . qq{DELETE FROM "$table" WHERE id BETWEEN 70 AND 75});
	$target->safe_psql('postgres', qq{CREATE TABLE "$table" (id int NOT NULL, at timestamp NOT NULL, v text, pad text);} . ($index{$table} // ''));
	$source->safe_psql('postgres', qq{VACUUM "$table"});
}

sub same
{
	my ($name, @which) = @_;
	return same_tables($source, 'postgres', $target, 'postgres', [ map { qq{public."$_"} } @which ], $name);
}

sub wait_for_all
{
	my $lsn = source_lsn($source);
	return poll($target, 'postgres', "SELECT livesync.wait_for_sync(NULL, '60 s')")
	  && poll($target, 'postgres', "SELECT bool_and(livesync.wait_for_lsn(name, '$lsn', '60 s')) FROM livesync.connectors");
}

# --- rows that come twice --------------------------------------------------------------------

my $all = @tables + 1;
failpoint($target, 'chunk_committed=wait');
create_connector($target, 'postgres', "c_$_", conninfo($source), tables => ["public.$_"], copy_workers => 1) for @tables, 'restarted';
failpoint_reached($target, 'postgres', 'chunk_committed', $all);
for my $table (@tables, 'restarted')
{
	# The first block's rows go to where rows 70 to 75 were; the time changes, of which the key knows nothing.
	$source->safe_psql('postgres', qq{UPDATE "$table" SET v = 'moved', at = '2021-01-01' WHERE id BETWEEN 2 AND 5});
	my $block = $source->safe_psql('postgres', qq{SELECT min((ctid::text::point)[0]) FROM "$table" WHERE id BETWEEN 2 AND 5});
	cmp_ok($block, '>', 0, "rows of $table come twice");
}
# One of them starts over with rows in it.
$source->safe_psql('postgres', "DELETE FROM restarted WHERE id BETWEEN 6 AND 10; VACUUM FULL restarted");
clear_failpoints($target);
wait_for_all();
same("as at the source, though rows came twice: $_", $_) for @tables;
same('as at the source, though the copy began again', 'restarted');
is($target->safe_psql('postgres', "SELECT count(*) FROM livesync.events WHERE event = 'table_restarted'"), 1, 'it did');

# --- streaming -------------------------------------------------------------------------------

$source->safe_psql('postgres', qq{UPDATE "$_" SET at = '2022-01-01' WHERE id % 4 = 0; UPDATE "$_" SET id = id + 1000 WHERE id % 10 = 1; DELETE FROM "$_" WHERE id % 10 = 2; INSERT INTO "$_" (id, v) VALUES (2, 'again')}) for @tables;
wait_for_all();
same("streams: $_", $_) for @tables;

# --- rows that were there --------------------------------------------------------------------

$target->safe_psql('postgres', "SELECT livesync.pause_connector(name), livesync.drop_connector(name) FROM livesync.connectors");
poll($target, 'postgres', 'SELECT count(*) = 0 FROM livesync.cleanup');
for my $table (@tables)
{
	$target->safe_psql('postgres', qq{TRUNCATE "$table"; INSERT INTO "$table" SELECT i, '2000-01-01', 'was here' FROM generate_series(1, 20) i});
	$source->safe_psql('postgres', qq{DELETE FROM "$table" WHERE id > 500; INSERT INTO "$table" (id) SELECT i FROM generate_series(1, 20) i ON CONFLICT DO NOTHING});
}
create_connector($target, 'postgres', "c_$_", conninfo($source), tables => ["public.$_"]) for @tables;
my @refused = grep { $_ ne 'plain' && $_ ne 'included' } @tables;
wait_state($target, 'postgres', "c_$_", "public.$_", 'failed') for @refused;
is($target->safe_psql('postgres', "SELECT count(*) FROM livesync.tables WHERE last_error ~ 'is not empty and has no unique index on the key' AND hint ~ 'empty the table'"),
	scalar @refused, 'rows that are there without a usable index: a clear error');
same("rows that are there with a usable index: $_", $_) for grep { wait_sync($source, $target, "c_$_"); 1 } qw(plain included);
is($target->safe_psql('postgres', qq{SELECT string_agg(DISTINCT v, ',') FROM "$_"}), 'was here', "nothing is written: $_") for @refused;

$target->safe_psql('postgres', qq{TRUNCATE "$_"}) for @refused;
wait_for_all();
same("emptied, it goes on by itself: $_", $_) for @refused;

check_logs($source, $target);
done_testing();
