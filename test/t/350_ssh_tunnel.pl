# A connector through an SSH server: it works end to end, it trusts no other host key than the first one, and no ssh
# outlives the process that it runs for, however that ends.
#
# An ssh that stays would hold a way into somebody's network open that nobody sees; one that is not noticed to be
# gone would stop the stream.  The address becomes arguments of a program of the server's user: what is no address
# must not get that far.  The sshd is a real one, on the loopback address, run by the servers' user.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

use Cwd qw(realpath);
use File::Temp qw(tempdir);
use PostgreSQL::Test::Cluster;

my $sshd = (grep { -x } qw(/usr/sbin/sshd /usr/local/sbin/sshd))[0];
plan skip_all => 'there is no sshd (package openssh-server)' unless $sshd;

my ($source, $target) = pair(source_conf => "listen_addresses = '127.0.0.1'");
my $dir  = tempdir(CLEANUP => 1);
my $user = getpwuid($>);
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $ssh  = "$user\@127.0.0.1:$port";

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }

# What a statement says that must fail.
sub refused
{
	my ($sql) = @_;
	my ($status, $out, $err) = $target->psql('postgres', $sql);
	return $status == 0 ? "it worked: $out" : $err;
}

# --- an sshd ---------------------------------------------------------------------------------

sub make_host_key { unlink glob("$dir/host_key*"); system('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', "$dir/host_key") == 0 or die; return }

sub slurp { open my $file, '<', $_[0] or return ''; local $/; return scalar <$file> }
sub spit { my ($path, $text) = @_; open my $file, '>', $path or die "$path: $!"; print $file $text; close $file; return }

# False when it does not come true.
sub wait_until
{
	my ($is_so) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	while (!$is_so->())
	{
		return 0 if time > $end;
		select undef, undef, undef, 0.02;
	}
	return 1;
}

sub start_sshd
{
	spit("$dir/config", <<"CONF");
Port $port
ListenAddress 127.0.0.1
HostKey $dir/host_key
AuthorizedKeysFile $dir/authorized_keys
PidFile $dir/pid
StrictModes no
UsePAM no
PasswordAuthentication no
MaxStartups 100
CONF
	system($sshd, '-f', "$dir/config", '-E', "$dir/log") == 0 or die 'sshd does not start: ' . slurp("$dir/log");
	wait_until(sub { -s "$dir/pid" });
	return;
}

# Its children are the connections.
sub stop_sshd
{
	my $listener = slurp("$dir/pid") =~ s/\s//gr;
	my @all = ($listener, map { chomp; $_ } qx(ps -o pid= --ppid $listener));
	push @all, map { s/\s//gr } qx(ps -o pid= --ppid $_) for @all;
	kill 'KILL', grep { /\d/ } map { s/\s//gr } @all;
	# another one is to have its port
	wait_until(sub { !kill(0, $listener) });
	unlink "$dir/pid";
	return;
}

END { local $?; stop_sshd() if $dir && -s "$dir/pid" }

# --- the clients that run for our target -----------------------------------------------------

my $data = realpath($target->data_dir);

sub clients
{
	return grep { (readlink("/proc/$_/cwd") // '') eq $data && slurp("/proc/$_/cmdline") =~ /^ssh\0.*UserKnownHostsFile=pg_livesync/s }
	  map { m{/proc/(\d+)$} } glob('/proc/[0-9]*');
}

sub no_client_is_left
{
	my ($name) = @_;
	wait_until(sub { !clients() });
	return is(join(' ', clients()), '', $name);
}

sub goes_on
{
	my ($name) = @_;
	at_source("INSERT INTO t SELECT coalesce(max(id), 0) + 1, '$name' FROM t");
	wait_caught_up($source, $target, 'c');
	return same_tables($source, 'postgres', $target, 'postgres', ['public.t'], $name);
}

# --- the key ---------------------------------------------------------------------------------

$target->safe_psql('postgres', "ALTER SYSTEM SET livesync.ssh_program = '/nowhere/ssh'");
$target->reload;
poll($target, 'postgres', 'SHOW livesync.ssh_program', '/nowhere/ssh');
like(refused('SELECT livesync.ssh_public_key()'), qr{"/nowhere/ssh-keygen" is not installed.*openssh-client}s, 'a server without OpenSSH says so');
$target->safe_psql('postgres', 'ALTER SYSTEM RESET livesync.ssh_program');
$target->reload;
poll($target, 'postgres', 'SHOW livesync.ssh_program', 'ssh');

my $conninfo = "host=127.0.0.1 port=" . $source->port . " dbname=postgres user=$user";
my $create   = "SELECT livesync.create_connector('c', '$conninfo', tables => '{public.t}', ssh_tunnel => '%s')";

like(refused(sprintf $create, $ssh), qr/there is no key pair.*livesync\.ssh_public_key\(\)/s, 'without a key the error says how to make one');
my $public_key = at_target('SELECT livesync.ssh_public_key()');
like($public_key, qr/^ssh-ed25519 [A-Za-z0-9+\/=]+ livesync$/, 'the public key is a line for authorized_keys');
is(at_target('SELECT livesync.ssh_public_key()'), $public_key, 'and made once');
is(join(',', glob("$data/pg_livesync/*")), '', 'the private key lies in no file');

# --- addresses that are none -----------------------------------------------------------------

my $marker = "$dir/owned";
for my $bad ("-oProxyCommand=touch$marker\@h", "u\@-oProxyCommand=touch $marker", "u\@h -oProxyCommand=touch$marker", "u\@h:22 -o", "u\@h;touch$marker",
	"u\@h\n", "u\@h:0", "u\@h:99999", "u\@", "\@h", "h", "u\@\$(id)", "u u\@h", "u\@[::1", "u\@h:22 ssh-dss AAAA", "u\@h:22 ssh-ed25519 AAAA AAAA")
{
	(my $shown = $bad) =~ s/\n/\\n/;
	like(refused(sprintf $create, $bad), qr/invalid address of an SSH server/, "\"$shown\" is refused");
}
ok(!-e $marker, 'and nothing of it is run');
at_target('CREATE ROLE somebody; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA livesync TO somebody');
for my $call (sprintf($create, $ssh), "SELECT * FROM livesync.check_source('$conninfo', ssh_tunnel => '$ssh')", "SELECT * FROM livesync.source_tables('$conninfo', ssh_tunnel => '$ssh')")
{
	like(refused("SET ROLE somebody; $call"), qr/permission denied to use an SSH tunnel/, 'only a superuser may use the key: ' . substr($call, 0, 40));
}

# --- through it ------------------------------------------------------------------------------

make_host_key();
start_sshd();
at_source(q{CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 500) i});
like(refused(sprintf $create, $ssh), qr/Permission denied.*authorized_keys/s, 'a server that does not know the key: the hint says what to do');
spit("$dir/authorized_keys", "$public_key\n");

is(at_target("SELECT count(*) FROM livesync.check_source('$conninfo', ssh_tunnel => '$ssh') WHERE status = 'error'"), 0, 'check_source looks through it');
like(at_target("SELECT detail FROM livesync.check_source('$conninfo', ssh_tunnel => '$ssh') WHERE \"check\" = 'ssh tunnel'"), qr/ssh-ed25519 /, 'and shows the host key');
is(at_target("SELECT count(*) FROM livesync.source_tables('$conninfo', ssh_tunnel => '$ssh')"), 1, 'so does source_tables');
like(refused(sprintf("SELECT livesync.create_connector('c', 'host=127.0.0.1 port=1', ssh_tunnel => '%s')", $ssh)), qr/ssh: .*open failed/s, 'what the bastion cannot reach is told in its own words');

at_target(sprintf $create, $ssh);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.t'], 'a table is copied through it');
goes_on('and streams');
like(at_target("SELECT detail FROM livesync.events WHERE event = 'ssh_host_key_accepted'"), qr/^\[127.0.0.1\]:$port ssh-ed25519 /, 'the host key seen first is kept and told');
is(at_target('SELECT ssh_tunnel FROM livesync.connectors'), $ssh, 'the view shows the tunnel');

# Those of copy workers go when these do.
poll($target, 'postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'livesync copy'});
my @folders;
wait_until(sub { @folders = glob("$data/pg_livesync/*"); @folders == clients() });
is(scalar(@folders), scalar(clients()), 'each client has a folder');
is(join(',', map { sprintf '%o', (stat $_)[2] & 07777 } @folders, "$data/pg_livesync"), join(',', ('700') x (@folders + 1)), 'which nobody else may enter');
is(join(',', glob("$data/pg_livesync/*/key")), '', 'the private key is removed when it was read');

# --- ends ------------------------------------------------------------------------------------

my $session = session($target, 'postgres', 'caller');
my $backend = $session->query_safe('SELECT pg_backend_pid()');
my $before  = scalar clients();
failpoint($target, 'tunnel_started=error');
like($session->query("SELECT count(*) FROM livesync.source_tables('$conninfo', ssh_tunnel => '$ssh')") . $session->{stderr}, qr/failpoint "tunnel_started"/, 'a call that fails');
is(join(',', grep { /\S/ } qx(ps -o stat= --ppid $backend)), '', 'leaves no client and no zombie');
clear_failpoints($target);
$session->{stderr} = '';
is($session->query("SELECT count(*) FROM livesync.source_tables('$conninfo', ssh_tunnel => '$ssh')"), 1, 'a call that works');
is(join(',', grep { /\S/ } qx(ps -o stat= --ppid $backend)), '', 'leaves none either');
$session->quit;

at_target("SELECT livesync.pause_connector('c')");
no_client_is_left('none is left of a paused connector');
at_target("SELECT livesync.resume_connector('c')");
goes_on('it is resumed');

stop_sshd();
poll($target, 'postgres', "SELECT last_error ~ 'SSH tunnel' FROM livesync.connectors");
pass('an SSH server that is gone is told');
start_sshd();
goes_on('when it is back the connector goes on');

my @old = clients();
kill_process($target, worker_pid($target, 'postgres', 'connector'));
my %now;
wait_until(sub { %now = map { $_ => 1 } clients(); !(grep { $now{$_} } @old) });
is(join(',', grep { $now{$_} } @old), '', 'a killed worker takes its clients with it');
goes_on('and the next one goes on');

# --- host keys -------------------------------------------------------------------------------

stop_sshd();
make_host_key();
start_sshd();
poll($target, 'postgres', q{SELECT last_error ~ 'Host key verification failed' AND hint ~ 'ssh_tunnel' FROM livesync.connectors});
pass('another host key is refused');
at_source("INSERT INTO t VALUES (-1, 'not for strangers')");
is(at_target('SELECT count(*) FROM t WHERE id = -1'), 0, 'nothing comes through');
at_target("SELECT livesync.alter_connector('c', ssh_tunnel => '$ssh')");
goes_on('unless somebody says that it is right');
my ($right) = slurp("$dir/host_key.pub") =~ /^(\S+ \S+)/;
my ($wrong) = $public_key =~ /^(\S+ \S+)/;
like(refused("SELECT livesync.alter_connector('c', ssh_tunnel => '$ssh $wrong')"), qr/Host key verification failed/, 'a host key that is given must be that');
at_target("SELECT livesync.alter_connector('c', ssh_tunnel => '$ssh $right')");
goes_on('and is enough');
is(at_target('SELECT ssh_tunnel FROM livesync.connectors'), $ssh, 'the view shows the address without it');

# --- without, with TLS -----------------------------------------------------------------------

at_target("SELECT livesync.alter_connector('c', ssh_tunnel => '')");
goes_on('the tunnel is taken away');
no_client_is_left('and its clients with it');

SKIP:
{
	my $made = system("openssl req -new -x509 -days 3650 -nodes -subj /CN=source.example -keyout $dir/tls.key -out $dir/tls.crt 2>/dev/null");
	skip('there is no openssl', 2) if $made != 0;
	$source->append_conf('postgresql.conf', "ssl = on\nssl_key_file = '$dir/tls.key'\nssl_cert_file = '$dir/tls.crt'");
	$source->restart;
	at_target("SELECT livesync.alter_connector('c', source => 'host=source.example hostaddr=127.0.0.1 port=" . $source->port
		  . " dbname=postgres user=$user sslmode=verify-full sslrootcert=$dir/tls.crt', ssh_tunnel => '$ssh')");
	goes_on('TLS to the source works through it, with the name in its certificate');
	is(at_source("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'livesync%'"), 't', 'it is on');
}

# --- a drop ----------------------------------------------------------------------------------

at_target("SELECT livesync.pause_connector('c')");
at_target("SELECT livesync.drop_connector('c')");
poll($target, 'postgres', 'SELECT count(*) = 0 FROM livesync.cleanup');
is(at_source('SELECT count(*) FROM pg_replication_slots'), 0, 'a drop removes the slot through it');
no_client_is_left('none is left of a dropped connector');
wait_until(sub { !(my @left = glob("$data/pg_livesync/*")) });
is(join(',', glob("$data/pg_livesync/*")), '', 'nor any file');

check_logs($source, $target);
done_testing();
