# What is proved: when a process, a server or a connection ends in the middle of a copy, the copy goes
# on where it was.  Chunks that were finished are not read again, chunks that were under way leave no
# rows behind, and both sides are equal in the end.  The table without a key, whose snapshot is lost
# with its connection, starts over from empty.
#
# Why it matters: a copy of a big table takes hours, and in hours something breaks.
#
# Each crash meets the same picture: three chunks more than before are finished, three others are under
# way (read and not committed when the target breaks, being read when the source does), and the table
# has changed since the last crash.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

use constant WORKERS => 3;

my ($source, $target) = pair(target_conf => "livesync.chunk_size = '8kB'\n");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, filler text NOT NULL);
INSERT INTO t SELECT n, 0, repeat('x', 700) FROM generate_series(1, 500) n;
CREATE TABLE keyless (v int NOT NULL);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyless SELECT n % 10 FROM generate_series(1, 1000) n;
SQL

sub hold_at
{
	my ($place) = @_;
	failpoint($target, "$place/public.t=wait");
	failpoint_reached($target, 'postgres', $place, WORKERS);
	return;
}

# The workers finish one chunk more each, then stop with the next one under way.
sub finish_some
{
	my ($next) = @_;
	hold_at('chunk_committed');
	hold_at($next);
	# Chunks are committed asynchronously; what is not flushed may be lost, and is then not finished.
	flush_wal($target);
	return;
}

sub finished_chunks
{
	return $target->safe_psql('postgres', <<'SQL');
SELECT c.generation, c.number, c.first_block, c.rows, c.done_at
FROM livesync.chunk c JOIN livesync.synced_table t ON t.id = c.table_id
WHERE t.source_name = 't' AND c.done_at IS NOT NULL ORDER BY c.number
SQL
}

sub first_blocks
{
	return [ map { (split /\|/)[2] } split /\n/, $_[0] ];
}

# Of every kind, everywhere in the table: in chunks that are finished, under way, and still to come.
my $round = 0;

sub change_source
{
	$round++;
	$source->safe_psql('postgres', <<"SQL");
UPDATE t SET v = v + 1 WHERE id % 7 = $round;
DELETE FROM t WHERE id % 50 = $round;
INSERT INTO t SELECT n, $round, 'new' FROM generate_series(1000 + 20 * $round, 1019 + 20 * $round) n;
INSERT INTO keyless VALUES ($round), ($round);
DELETE FROM keyless WHERE v = $round;
SQL
	return;
}

my @crashes = (
	[ 'kill -9 of a copy worker', 'chunk_loaded',
		sub { kill_process($target, worker_pid($target, 'postgres', 'copy')) } ],
	[ 'kill -9 of the connector', 'chunk_loaded',
		sub { kill_process($target, worker_pid($target, 'postgres', 'connector')) } ],
	[ 'immediate stop of the target', 'chunk_loaded', sub { $target->stop('immediate'); $target->start } ],
	[ 'immediate stop of the source', 'chunk_locked', sub { $source->stop('immediate'); $source->start } ],
	[ 'cut connections', 'chunk_locked',
		sub { cmp_ok(cut_connections($source), '>=', 2 + WORKERS, 'sessions were cut') } ],
);

# Beside the big table a small one without a key waits with its snapshot exported.
failpoint($target, 'chunk_committed/public.t=wait');
create_connector($target, 'postgres', 'c', conninfo($source),
	tables => [ 'public.t', 'public.keyless' ], copy_workers => WORKERS);

my @crash_points;

for (@crashes)
{
	my ($name, $place, $crash) = @$_;
	finish_some($place);
	change_source();

	my $before = finished_chunks();
	push @crash_points, { name => $name, log => -s $source->logfile, blocks => first_blocks($before) };
	$crash->();
	# As many workers come back and load the chunks that were under way.
	hold_at('chunk_loaded');
	is(finished_chunks(), $before, "$name: what was finished stays so, and nothing else is");
}

my $before = finished_chunks();
is(scalar(@{ first_blocks($before) }), WORKERS * @crashes, 'some chunks were finished before each crash');

clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.keyless' ]);

is(substr(finished_chunks(), 0, length $before), $before, 'their entries are those of the time of the crashes');
is( $target->safe_psql('postgres', q{SELECT generation FROM livesync.synced_table WHERE source_name = 't'}),
	'1', 'the copy never started over');

# The source knows best what was read when.
for my $point (@crash_points)
{
	my %is_read;
	my $log = slurp_file($source->logfile, $point->{log});
	$is_read{$1} = 1 while $log =~ /statement: COPY \(SELECT [^\n]* FROM ONLY "public"\."t" WHERE ctid >= '\((\d+),/g;
	is_deeply([ grep { $is_read{$_} } @{ $point->{blocks} } ],
		[], "$point->{name}: nothing that was finished was read again");
	cmp_ok(scalar(keys %is_read), '>', WORKERS, "$point->{name}: the rest was read");
}

check_logs($source, $target);
done_testing();
