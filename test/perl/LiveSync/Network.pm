=pod

=head1 NAME

LiveSync::Network - a network between target and source that can be lost

=head1 SYNOPSIS

  my $network = LiveSync::Network->new($source);
  create_connector($target, 'postgres', 'c', $network->conninfo);
  $network->lose;     # packets vanish: nobody is told, nothing is closed or refused
  $network->heal;     # what was sent meanwhile arrives, connections go on
  $network->replace;  # a new network: connections made before are dead for good, and nobody is told
  $network->move($standby);   # new connections lead to another server

=head1 DESCRIPTION

A process that passes bytes on between a TCP port and the source's socket.  While the network is lost it
reads, accepts and closes nothing.  Keepalives of TCP are answered all the same, by the kernel: as behind a
tunnel or a balancer.

=cut

package LiveSync::Network;

use strict;
use warnings;

use IO::Handle;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);

use constant MOST_PENDING => 256 * 1024;

my @pids;

sub new
{
	my ($class, $source) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50) or die "no port: $!";
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		# Not what the test does when it ends: it would stop the servers.
		$SIG{TERM} = 'DEFAULT';
		local $SIG{PIPE} = 'IGNORE';
		close $ours;
		_run($listener, $theirs, _path($source));
		POSIX::_exit(0);
	}
	push @pids, $pid;
	close $theirs;
	$ours->autoflush(1);
	my $self = { orders => $ours, port => $listener->sockport };
	close $listener;
	return bless $self, $class;
}

# However the test ends.
END
{
	local $?;
	kill 'TERM', @pids if @pids;
}

sub _path { my ($node) = @_; return $node->host . '/.s.PGSQL.' . $node->port }

sub conninfo
{
	my ($self, $db) = @_;
	my $user = getpwuid $>;
	return "host=127.0.0.1 port=$self->{port} user=$user dbname=" . ($db // 'postgres') . ' sslmode=disable gssencmode=disable connect_timeout=2';
}

sub lose    { return $_[0]->_order('lose') }
sub heal    { return $_[0]->_order('heal') }
sub replace { return $_[0]->_order('replace') }
sub move    { return $_[0]->_order('move ' . _path($_[1])) }

# Returns when it is so.
sub _order
{
	my ($self, $order) = @_;
	print { $self->{orders} } "$order\n";
	my $orders = $self->{orders};
	my $done   = <$orders>;
	die 'the network is gone' unless defined $done;
	return;
}

# --- the process -----------------------------------------------------------------------------

my (%ends, $is_lost, $path);    # ends: by file number, { socket, other, pending }

sub _run
{
	my ($listener, $orders, $to) = @_;
	$path = $to;
	$orders->autoflush(1);
	while (1)
	{
		my ($readable, $writable) = _wait_for($listener, $orders);
		_take_order($orders) if vec($readable, fileno $orders, 1);
		next if $is_lost;
		_connect($listener) if vec($readable, fileno $listener, 1);
		for my $number (keys %ends)
		{
			_receive($number) if $ends{$number} && vec($readable, $number, 1);
			_send($number)    if $ends{$number} && vec($writable, $number, 1);
		}
	}
	return;
}

sub _wait_for
{
	my ($listener, $orders) = @_;
	my ($readable, $writable) = ('', '');
	vec($readable, fileno $orders, 1) = 1;
	if (!$is_lost)
	{
		vec($readable, fileno $listener, 1) = 1;
		for my $number (keys %ends)
		{
			my $end = $ends{$number};
			next if $end->{is_dead};
			vec($readable, $number, 1) = 1 if length ${ $ends{ $end->{other} }{pending} } < MOST_PENDING;
			vec($writable, $number, 1) = 1 if length ${ $end->{pending} };
		}
	}
	select($readable, $writable, undef, undef) >= 0 or return ('', '');
	return ($readable, $writable);
}

sub _take_order
{
	my ($orders) = @_;
	my $order = <$orders> // POSIX::_exit(0);
	$is_lost = 1 if $order =~ /^lose/;
	$is_lost = 0 if $order =~ /^(?:heal|replace)/;
	$path    = $1 if $order =~ /^move (.*)/;
	if ($order =~ /^replace/)
	{
		$_->{is_dead} = 1 for values %ends;
	}
	print {$orders} "done\n";
	return;
}

sub _connect
{
	my ($listener) = @_;
	my $client = $listener->accept or return;
	my $server = IO::Socket::UNIX->new(Peer => $path);
	return close $client unless $server;
	$_->blocking(0) for $client, $server;
	$ends{ fileno $client } = { socket => $client, other => fileno $server, pending => \(my $a = '') };
	$ends{ fileno $server } = { socket => $server, other => fileno $client, pending => \(my $b = '') };
	return;
}

sub _receive
{
	my ($number) = @_;
	my $other = $ends{ $ends{$number}{other} };
	my $size = sysread($ends{$number}{socket}, ${ $other->{pending} }, 65536, length ${ $other->{pending} });
	return if $size || (!defined $size && $!{EAGAIN});
	_send($ends{$number}{other});    # last words
	return _close($number);
}

sub _send
{
	my ($number) = @_;
	my $end = $ends{$number};
	my $size = syswrite($end->{socket}, ${ $end->{pending} });
	return substr(${ $end->{pending} }, 0, $size) = '' if defined $size;
	return $!{EAGAIN} ? undef : _close($number);
}

sub _close
{
	my ($number) = @_;
	my $end = delete $ends{$number} or return;
	close $end->{socket};
	my $other = delete $ends{ $end->{other} } or return;
	return close $other->{socket};
}

1;
