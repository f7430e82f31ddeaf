# What is proved: a backlog of small transactions over TCP, older than a second, is applied whole, in few local transactions, since
# the worker lets messages gather; and when it is over a lone commit does not wait for company.
#
# Why it matters: there is a system call of the source for each message, and it takes much longer when the one before has been
# taken already.  Who is behind gains by letting them gather; who is not would only be late.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils qw(append_to_file);
use Test::More;

use constant BACKLOG => 20_000;

my ($source, $target) = pair(source_conf => "listen_addresses = '127.0.0.1'\nsynchronous_commit = off");
my @tables = qw(public.small public.other);

$source->safe_psql('postgres', "CREATE TABLE $_ (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int)") for @tables;
create_connector($target, 'postgres', 'c', conninfo($source) =~ s/host=\S+/host=127.0.0.1/r);
wait_sync($source, $target, 'c');

$target->safe_psql('postgres', q{SELECT livesync.pause_connector('c')});
my $script = PostgreSQL::Test::Utils::tempdir() . '/small.sql';
append_to_file($script, "INSERT INTO small (v) VALUES (1);\n");
run_pgbench($source, 'postgres', '-c', 4, '-t', BACKLOG / 4, '-f', $script);
my $made = $source->safe_psql('postgres', 'SELECT clock_timestamp()');
poll($source, 'postgres', "SELECT clock_timestamp() > timestamptz '$made' + '1.5 s'");
$target->safe_psql('postgres', q{SELECT livesync.resume_connector('c')});
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'the backlog is applied');
my $local = $target->safe_psql('postgres', 'SELECT count(DISTINCT xmin::text) FROM small');
diag(BACKLOG . " source transactions in $local local ones");
cmp_ok($local, '<=', BACKLOG / 50, 'in few local transactions');

for my $n (1 .. 20)
{
	$source->safe_psql('postgres', "INSERT INTO other (v) VALUES ($n)");
	wait_caught_up($source, $target, 'c');
}
is($target->safe_psql('postgres', 'SELECT count(DISTINCT xmin::text) FROM other'), 20, 'then a lone commit goes by itself');
same_tables($source, 'postgres', $target, 'postgres', \@tables, 'all tables are equal');
check_logs($source, $target);
done_testing;
