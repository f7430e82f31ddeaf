# Huge rows: a worker needs a few times the size of the largest row that it handles, whatever the number of rows.
#
# A row is in memory several times while the server reads it, makes a tuple of it and stores that (a COPY by psql needs
# no less there); what must not happen is that rows add up: a table of huge rows would end the server.  So the
# memory of the workers is sampled while such rows are copied as text and in binary form, streamed, and
# updated without their big values.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use POSIX ();
use Test::More;
use Time::HiRes qw(usleep);

# Large enough that malloc() gives each copy of a row back when it is freed, and a little less than a power of two: libpq
# doubles its buffer until a row has room, and what is left in it is filled with more or less of the next row.
use constant { MB => 60, ROWS => 6 };

# Of one worker, less than the sum of all rows.  Copying as text takes a row five times: what libpq reads into, the line and
# the value of COPY, the value of the column, the row; in binary form there is no line.  Streaming takes it four times: what
# libpq reads into, the batch, the value as it is read and as it is written.  Each of them once more would be too much.
use constant { BOUND => { copy => 5 * MB + MB / 2, connector => 4 * MB + 3 * MB / 4 } };

plan skip_all => 'no /proc to read memory from' unless -r '/proc/self/status';

my ($source, $target) = pair(source_conf => "max_wal_size = '2GB'\n", target_conf => "max_wal_size = '2GB'\n");

# With assertions the server writes over what it frees, also over room that was never used, which is in memory by that.
my $unused = $target->safe_psql('postgres', 'SHOW debug_assertions') eq 'on' ? MB : 0;

# --- who samples -----------------------------------------------------------------------------

my $most   = PostgreSQL::Test::Utils::tempdir() . '/most';
my $parent = $target->safe_psql('postgres', 'SELECT pg_backend_pid()') && PostgreSQL::Test::Utils::slurp_file($target->data_dir . '/postmaster.pid');
my ($postmaster) = split /\n/, $parent;

my %seen;

# Processes come and go, and may have gone between two looks at them.
sub sample
{
	while (1)
	{
		for my $pid (split ' ', children())
		{
			my $name = one_line("/proc/$pid/cmdline");
			next unless $name =~ /livesync (copy|connector)/;
			my $kind = $1;
			my ($kb) = whole("/proc/$pid/status") =~ /RssAnon:\s+(\d+)/ or next;
			$seen{$kind} = $kb if $kb > ($seen{$kind} // 0);
		}
		open my $out, '>', "$most.new" or die;
		printf $out "%s %d\n", $_, $seen{$_} / 1024 for sort keys %seen;
		close $out;
		rename "$most.new", $most;
		usleep(10_000);
	}
	return;
}

sub children { return one_line("/proc/$postmaster/task/$postmaster/children") }

sub one_line
{
	open my $in, '<', $_[0] or return '';
	return <$in> // '';
}

sub whole { local $/; return one_line($_[0]) }

my $sampler = fork // die "fork: $!";
if ($sampler == 0)
{
	$SIG{TERM} = 'DEFAULT';
	$SIG{__DIE__} = 'DEFAULT';
	eval { sample() };
	POSIX::_exit(1);
}
END
{
	local $?;
	kill 'KILL', $sampler if $sampler;
}

sub bounded
{
	my ($kind, $name) = @_;
	my ($mb) = whole($most) =~ /^$kind (\d+)/m;
	$mb //= 0;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	note("$name: $kind worker $mb MB");
	return ok($mb > MB && $mb < BOUND->{$kind} + $unused, "$name: $mb MB");
}

# --- the rows --------------------------------------------------------------------------------

my $text = 'repeat(chr(65 + i), ' . MB . ' * 1024 * 1024)';
my $rows = ROWS;
$source->safe_psql('postgres', <<"SQL");
CREATE TABLE in_binary (id int PRIMARY KEY, v int, doc text);
CREATE TABLE as_text (id int PRIMARY KEY, v int, doc text, x xml);
ALTER TABLE in_binary ALTER doc SET STORAGE EXTERNAL;
ALTER TABLE as_text ALTER doc SET STORAGE EXTERNAL;
INSERT INTO in_binary SELECT i, 0, $text FROM generate_series(1, $rows) i;
INSERT INTO as_text SELECT i, 0, $text FROM generate_series(1, $rows) i;
SQL

create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.in_binary', 'public.as_text' ], copy_workers => 1);
wait_sync($source, $target, 'c');
bounded('copy', 'copied');

$source->safe_psql('postgres', "INSERT INTO in_binary SELECT i, 0, $text FROM generate_series($rows + 1, $rows + 2) i");
wait_caught_up($source, $target, 'c');
$source->safe_psql('postgres', 'UPDATE in_binary SET v = v + 1; UPDATE as_text SET v = v + 1');
wait_caught_up($source, $target, 'c');
bounded('connector', 'streamed');

for my $table ('in_binary', 'as_text')
{
	my $sql = "SELECT count(*), sum(v), md5(string_agg(md5(doc), '' ORDER BY id)) FROM $table";
	is($target->safe_psql('postgres', $sql), $source->safe_psql('postgres', $sql), "$table is the same");
}

# What a row that is larger than usual took is given back.
sub connector_mb
{
	my $status = eval { PostgreSQL::Test::Utils::slurp_file('/proc/' . worker_pid($target, 'postgres', 'connector') . '/status') } // '';
	return $status =~ /RssAnon:\s+(\d+)/ ? $1 / 1024 : -1;
}

$source->safe_psql('postgres', "INSERT INTO in_binary SELECT 1000, 0, repeat('x', 80 * 1024 * 1024)");
wait_caught_up($source, $target, 'c');
my $until = time + $PostgreSQL::Test::Utils::timeout_default;
my $mb    = connector_mb();
while (($mb < 0 || $mb >= 70) && time < $until)
{
	usleep(100_000);
	$mb = connector_mb();
}
ok($mb >= 0 && $mb < 70, "what a huge row took is given back: $mb MB are left");

check_logs($source, $target);
done_testing();
