# What is proved: changes of hundreds of tables at once are applied rightly, and parked without being
# kept in memory.
#
# Why it matters: what the worker keeps for each table (plans, a buffer for parked changes) is small,
# but a source may have ten thousand tables, so it is given back now and then, also in the middle of a
# transaction; and a worker that grows with them ends the server.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

use constant { TABLES => 400, PARKED_KB => 200, MOST_MB => 60 };

my ($source, $target) = pair(source_conf => 'autovacuum = off', target_conf => 'autovacuum = off');

my @numbers = (1 .. TABLES);
for my $node ($source, $target)
{
	$node->safe_psql('postgres',
		join '', map { "CREATE TABLE t$_ (id int PRIMARY KEY, v text NOT NULL);\nALTER TABLE t$_ ALTER v SET STORAGE EXTERNAL;\n" } @numbers);
}

sub in_each { my ($sql) = @_; return $source->safe_psql('postgres', join '', "BEGIN;\n", map({ $sql =~ s{%}{$_}gr . ";\n" } @numbers), 'COMMIT') }

sub is_same
{
	my ($name) = @_;
	my $sql = join "\nUNION ALL ", map { "SELECT '$_', count(*), sum(id), md5(string_agg(v, '' ORDER BY id)) FROM t$_" } @numbers;
	my @sides = map { { map { $_ => 1 } split /\n/, $_->safe_psql('postgres', $sql) } } $source, $target;
	my @different = grep { !$sides[1]{$_} } sort keys %{ $sides[0] };
	my $same = is(scalar @different, 0, $name);
	diag("at the source only: $_") for grep { defined } @different[0 .. 4];
	return $same;
}

sub anonymous_mb
{
	my $pid = worker_pid($target, 'postgres', 'connector');
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m or return 0;
	return $kb / 1024;
}

# All are being copied, and what changes is parked.
failpoint($target, 'planned=wait');
create_connector($target, 'postgres', 'c', conninfo($source));
poll($target, 'postgres', q{SELECT count(*) = } . TABLES . q{ FROM livesync.tables WHERE state = 'copying'});
my $before = anonymous_mb();
in_each('INSERT INTO t% SELECT n, repeat(chr(64 + n), ' . PARKED_KB . ' * 50) FROM generate_series(1, 20) n');
poll($target, 'postgres', 'SELECT sum(spooled_changes) = 20 * ' . TABLES . ' FROM livesync.tables');
my $parked = anonymous_mb();
diag(sprintf 'RssAnon %.0f MB, with %d MB parked %.0f MB', $before, TABLES * PARKED_KB / 1024, $parked);
cmp_ok($parked, '<', MOST_MB, 'parked changes of many tables are not kept in memory');
clear_failpoints($target);
wait_sync($source, $target, 'c');
is_same('tables that were copied while they changed');

# A fresh worker, which has no table open.
$target->safe_psql('postgres', q{SELECT livesync.pause_connector('c')});
$target->safe_psql('postgres', q{SELECT livesync.resume_connector('c')});
in_each(q{INSERT INTO t% VALUES (100, 'a'); UPDATE t% SET v = 'b' WHERE id > 15; DELETE FROM t% WHERE id = 3});
in_each(q{UPDATE t% SET v = v || 'c' WHERE id >= 100});
in_each(q{TRUNCATE t%; INSERT INTO t% VALUES (1, 'd')});
in_each(q{UPDATE t% SET id = id + 1});
wait_caught_up($source, $target, 'c');
diag(sprintf 'RssAnon %.0f MB after changes of %d tables', anonymous_mb(), TABLES);
is_same('transactions over many tables');

check_logs($source, $target);
done_testing();
