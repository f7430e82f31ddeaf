# What is proved: a real PgBouncer between the two servers is recognised and named, in each of its modes, by check_source()
# and by create_connector(), before anything is made at the source.
#
# Why it matters: a pooler lets ordinary sessions through, so everything seems well until the stream is refused, or,
# worse, until a session's settings turn out to be somebody else's.

use strict;
use warnings;

use IO::Socket::INET;
use IPC::Run ();
use Time::HiRes qw(usleep);

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
plan skip_all => 'there is no pgbouncer (package pgbouncer)' unless $pgbouncer;

my ($source, $target) = pair(source_db => 'shop');
$source->safe_psql('shop', 'CREATE TABLE orders (id int PRIMARY KEY); CREATE PUBLICATION orders FOR TABLE orders');
my $user = $source->safe_psql('shop', 'SELECT current_user');

for my $mode ('session', 'transaction', 'statement')
{
	my $pooler   = start_pooler($mode);
	my $conninfo = "host=127.0.0.1 port=$pooler->{port} dbname=shop user=$user sslmode=disable gssencmode=disable";
	is($source->safe_psql('shop', 'SELECT 1', connstr => $conninfo), 1, "$mode: it lets ordinary sessions through");
	my $rows = $target->safe_psql('postgres', 'SELECT "check", status, detail, hint FROM livesync.check_source('
		  . quote_literal($conninfo) . ", '{orders}')");
	like($rows, qr/^direct connection\|error\|.*connection pooler.*PgBouncer\..*\|.*server itself/s, "$mode: check_source names it");
	my ($status, $out, $err) = $target->psql('postgres',
		"SELECT livesync.create_connector('c', " . quote_literal($conninfo) . ", publications => '{orders}')");
	like($err, qr/goes through a connection pooler.*server itself/s, "$mode: create_connector refuses it");
	stop_pooler($pooler);
}
is($target->safe_psql('postgres', 'SELECT count(*) FROM livesync.connector'), 0, 'nothing is recorded');
is($source->safe_psql('shop', 'SELECT count(*) FROM pg_replication_slots'), 0, 'nor made at the source');

check_logs($source, $target);
done_testing();

sub start_pooler
{
	my ($mode) = @_;
	my $port   = PostgreSQL::Test::Cluster::get_free_port();
	my $config = PostgreSQL::Test::Utils::tempdir() . '/pgbouncer.ini';
	my $users  = "$config.users";
	my ($host, $source_port) = ($source->host, $source->port);
	PostgreSQL::Test::Utils::append_to_file($users, qq{"$user" ""\n});
	PostgreSQL::Test::Utils::append_to_file($config, <<"INI");
[databases]
shop = host=$host port=$source_port dbname=shop user=$user
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $users
pool_mode = $mode
ignore_startup_parameters = extra_float_digits
INI
	my $output = '';
	my $pooler = { port => $port, output => \$output,
		process => IPC::Run::start([ $pgbouncer, $config ], '<', \undef, '>&', \$output) };
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
	until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port))
	{
		$pooler->{process}->pump_nb;
		die "pgbouncer does not answer: $output" if time() > $end || !$pooler->{process}->pumpable;
		usleep(50_000);
	}
	return $pooler;
}

sub stop_pooler
{
	my ($pooler) = @_;
	$pooler->{process}->kill_kill(grace => 5);
	return;
}
