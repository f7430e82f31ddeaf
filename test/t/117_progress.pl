# What the views say of a copy that is under way is true: rows, bytes, chunks, rate, and when it will be over.
#
# Whoever waits for a big table plans by these numbers.  So each is held here against what it is about: the
# rows that are there, the server's own view of the running COPY, and the clock.  The copy is slowed down
# to an even rate, by which it is known how fast it is, and there are several tables, of which only one is
# under way.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;
use Time::HiRes qw(time usleep);

my ($source, $target) = pair(
	source_conf => "autovacuum = off\n",
	target_conf => "livesync.chunk_size = '512kB'\nlivesync.copy_rate = '200kB'\n");

my %rows = (a => 12000, b => 2000, c => 1000, d => 0);
for my $table (sort keys %rows)
{
	$source->safe_psql('postgres', "CREATE TABLE $table (id int PRIMARY KEY, v text); "
		  . "INSERT INTO $table SELECT i, repeat('x', 200) FROM generate_series(1, $rows{$table}) i; ANALYZE $table");
}
my %bytes = map { $_ => $source->safe_psql('postgres', "SELECT pg_relation_size('$_')") } keys %rows;

my $target_session = session($target, 'postgres', 'look');
sub look { return split /[|\n]/, $target_session->query_safe($_[0]) }

# a number between two others, told with all three
sub between
{
	my ($low, $number, $high, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($low <= $number && $number <= $high, "$name ($number is from $low to $high)");
}

create_connector($target, 'postgres', 'c', conninfo($source), tables => [ map { "public.$_" } sort keys %rows ], copy_workers => 1);
poll($target, 'postgres', "SELECT chunks_done > 0 AND chunks_running = 1 FROM livesync.tables WHERE source_table = 'public.a'");

# --- one chunk is under way, others are done --------------------------------------------------

# The running COPY goes on while it is looked at, so the server's view is asked before and after.
my $running = 'SELECT coalesce(sum(tuples_processed), 0), coalesce(sum(bytes_processed), 0), count(*) FROM pg_stat_progress_copy';
my $ledger  = q{SELECT sum(rows), sum(bytes), count(done_at), count(*) FROM livesync.chunk c JOIN livesync.synced_table t ON t.id = c.table_id WHERE source_name = 'a'};
my (@before, @view, @after, @done, @done_after);
my $end = time + $PostgreSQL::Test::Utils::timeout_default;
while (time < $end)
{
	@done   = look($ledger);
	@before = look($running);
	@view   = look("SELECT rows_copied, bytes_copied, chunks_done, chunks_total, chunks_running, percent, rows_expected, bytes_expected FROM livesync.tables WHERE source_table = 'public.a'");
	@after  = look($running);
	@done_after = look($ledger);
	last if "@done" eq "@done_after" && $before[2] == 1 && $after[2] == 1 && $before[0] > 500;
	usleep(20_000);
}
between($done[0] + $before[0], $view[0], $done[0] + $after[0], 'rows: of finished chunks, and of the one that runs');
between($done[1] + $before[1], $view[1], $done[1] + $after[1], 'bytes likewise');
is("$view[2] of $view[3], $view[4]", "$done[2] of $done[3], 1", 'chunks done, in all, and under way');
is($target->safe_psql('postgres', q{SELECT (SELECT count(*) FROM a) = (SELECT sum(rows) FROM livesync.chunk c JOIN livesync.synced_table t ON t.id = c.table_id WHERE source_name = 'a')}),
	't', 'what is done is there');
between(100 * $view[0] / $rows{a} - 12, $view[5], 100 * $view[0] / $rows{a} + 12, 'percent is the part of the rows');
between($rows{a} * 0.9, $view[6], $rows{a} * 1.1, 'rows expected');
between($bytes{a} * 0.9, $view[7], $bytes{a} * 1.1, 'bytes expected');

# The one for all tables counts by size: the small ones wait, the empty one is nothing.
my @all = look('SELECT percent, tables_total, tables_failed FROM livesync.progress');
my $part = 100 * (look("SELECT sum(rows_copied) FROM livesync.tables"))[0] / ($rows{a} + $rows{b} + $rows{c});
between($part - 12, $all[0], $part + 12, 'percent of the connector is that of all rows');
is("$all[1], $all[2]", '4, 0', 'tables in all, and failed');
is((look("SELECT count(eta) FROM livesync.tables WHERE source_table IN ('public.b', 'public.c')"))[0], 0, 'a table that has not begun foretells nothing');

# --- how fast, and how long still -------------------------------------------------------------

poll($target, 'postgres', "SELECT percent > 40 FROM livesync.tables WHERE source_table = 'public.a'");
# How long it took so far says the ledger; how long it will take, nobody knows on a machine that does other things as well:
# as long as the rows that are left take at the rate so far.
my ($rate, $eta, $first, $took) = split /\|/, wait_row($target, 'postgres', <<'SQL');
SELECT rows_per_second, extract(epoch FROM eta), rows_copied, extract(epoch FROM clock_timestamp() - (SELECT min(started_at)
	FROM livesync.chunk c JOIN livesync.synced_table t ON t.id = c.table_id WHERE source_name = 'a'))
FROM livesync.tables WHERE source_table = 'public.a' AND chunks_running = 1
SQL
between(0.8 * $first / $took, $rate, 1.25 * $first / $took, 'rows in a second');
my $left = ($rows{a} - $first) / $rate;
between($left / 2 - 2, $eta, $left * 2 + 2, 'how long still');

# Between the end of its COPY and its commit a chunk is in neither view, until its ledger entry is there.
my ($falls, $percent, $open_at_fall) = (0, 0);
while (1)
{
	my ($open, $now) = look("SELECT chunks_total - chunks_done, (SELECT percent FROM livesync.progress) FROM livesync.tables WHERE source_table = 'public.a'");
	$open_at_fall = $now < $percent - 2 ? $open_at_fall // $open : undef;
	$falls++ if defined $open_at_fall && $open < $open_at_fall;
	$percent = $now if $now > $percent;
	last if $open == 0;
	die 'the copy does not end' if time > $end;
	usleep(50_000);
}
is($falls, 0, 'progress never falls back');

$target->safe_psql('postgres', 'ALTER SYSTEM RESET livesync.copy_rate');
$target->reload;
wait_sync($source, $target, 'c');
is_deeply([ look('SELECT percent, rows_copied = rows_expected, chunks_done = chunks_total, chunks_running, eta IS NULL FROM livesync.tables') ],
	[ (qw(100.0 t t 0 t)) x 4 ], 'in the end all is done');
is((look('SELECT sum(rows_copied) FROM livesync.tables'))[0], $rows{a} + $rows{b} + $rows{c}, 'all rows were copied');
$target_session->quit;

same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } sort keys %rows ]);
check_logs($source, $target);
done_testing();
