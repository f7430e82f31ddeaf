# Broken messages of the stream end the connection with a clear error, and nothing else: the server stays
# up, no table fails, no change is lost, and the position never moves to where the damage points.
#
# What comes over the network decides where memory is read and how far the position moves.  A source that
# is damaged, or is no PostgreSQL at all, must not be able to take the target's server down, nor make it
# confirm what was never applied.
#
# Between the two servers stands a proxy that passes everything on, and damages the first message of a
# kind as it is told to.

use strict;
use warnings;

use lib 'test/perl';
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use LiveSync;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my ($source, $target) = pair(source_conf => "logical_decoding_work_mem = 64kB\nautovacuum = off\n");

# --- the damages -----------------------------------------------------------------------------

# A message is a string; its first byte says what it is.  Numbers in it are big-endian.
sub cut   { my ($keep) = @_; return sub { substr($_[0], 0, $keep < 0 ? length($_[0]) + $keep : $keep) } }
sub put   { my ($at, $bytes) = @_; return sub { my $it = $_[0]; substr($it, $at < 0 ? length($it) + $at : $at, length $bytes) = $bytes; $it } }
sub twice { my ($first) = @_; return sub { return ($first // $_[0], $_[0]) } }

# Where the columns of an INSERT begin: 'I', relation, 'N', their number; each is a kind, a length, bytes.
use constant { COUNT => 6, FIRST_KIND => 8, FIRST_LENGTH => 9 };

sub first_column_only
{
	return sub { substr($_[0], 0, COUNT) . "\0\1" . substr($_[0], FIRST_KIND, 5 + unpack('N', substr($_[0], FIRST_LENGTH, 4))) };
}

# name => [ the kind of message, how it is damaged, what the error says ]
my %damage = (
	'a BEGIN without its end'             => [ 'B', cut(-1), qr/message ends too early/ ],
	'a BEGIN within a transaction'        => [ 'B', twice(), qr/BEGIN message that does not belong there/ ],
	'a COMMIT without its end'            => [ 'C', cut(9), qr/message ends too early/ ],
	'a COMMIT after the end'              => [ 'C', twice(), qr/COMMIT message that does not belong there/ ],
	'a COMMIT of another position'        => [ 'C', put(2, "\x7f"), qr/commit position/ ],
	'a COMMIT that ends before it begins' => [ 'C', put(10, "\0" x 8), qr/commit position/ ],
	'a COMMIT that ends where nobody is'  => [ 'C', put(10, "\x7f"), qr/commit position/ ],
	'a relation with too many columns'    => [ 'R', put(-1, "\xff\xff"), qr/unexpected bytes|ends too early/ ],
	'a relation without an end of names'  => [ 'R', sub { $_[0] =~ s/\0/x/gr }, qr/message ends too early/ ],
	'a relation of an unknown identity'   => [ 'R', sub { $_[0] =~ s/\0d\0/\0?\0/r }, qr/invalid value/ ],
	'an INSERT without columns'           => [ 'I', cut(COUNT), qr/message ends too early/ ],
	'an INSERT of too many columns'       => [ 'I', put(COUNT, "\xff\xff"), qr/message ends too early/ ],
	'an INSERT of a column too few'       => [ 'I', first_column_only(), qr/columns/ ],
	'an INSERT of no columns'             => [ 'I', sub { substr($_[0], 0, COUNT) . "\0\0" }, qr/columns/ ],
	'an INSERT with a long value'         => [ 'I', put(FIRST_LENGTH, "\x7f\xff\xff\xff"), qr/message ends too early/ ],
	'an INSERT with a negative length'    => [ 'I', put(FIRST_LENGTH, "\xff\xff\xff\xff"), qr/invalid value/ ],
	'an INSERT with a value of no kind'   => [ 'I', put(FIRST_KIND, '?'), qr/invalid value/ ],
	'an INSERT outside of a transaction'  => [ 'B', sub { () }, qr/INSERT message that does not belong there|RELATION message that does not/ ],
	'an INSERT with more than it has'     => [ 'I', sub { "$_[0]more" }, qr/unexpected bytes/ ],
	'an UPDATE without a row'             => [ 'U', cut(5), qr/message ends too early/ ],
	'an UPDATE of a column too few'       => [ 'U', first_column_only(), qr/columns/ ],
	'an UPDATE with two new rows'         => [ 'U', sub { $_[0] . substr($_[0], 5) }, qr/unexpected bytes/ ],
	'a DELETE without a key'              => [ 'D', sub { substr($_[0], 0, COUNT) . "\0\0" }, qr/columns/ ],
	'a DELETE of no kind'                 => [ 'D', put(5, 'N'), qr/invalid value/ ],
	'a TRUNCATE of more than it names'    => [ 'T', put(1, "\x7f\xff\xff\xff"), qr/message ends too early/ ],
	'a message of no kind'                => [ 'I', put(0, "\xfe"), qr/unknown message type/ ],
	'an empty message'                    => [ 'I', sub { '' }, qr/message ends too early/ ],
	'a piece in a piece'                  => [ 'S', twice(), qr/STREAM START message/ ],
	'a piece without its beginning'       => [ 'S', sub { () }, qr/invalid value|too early|unexpected bytes|does not belong there|without describing/ ],
	'an end of a piece too many'          => [ 'E', twice(), qr/STREAM STOP message/ ],
	'a transaction in a piece'            => [ 'E', sub { ("B" . "\0" x 20, $_[0]) }, qr/BEGIN message/ ],
	'a streamed COMMIT without its end'   => [ 'c', cut(-8), qr/message ends too early/ ],
	'a streamed COMMIT of nobody'         => [ 'c', put(1, "\x12\x34\x56\x78"), qr/transaction 305419896/ ],
	'a streamed COMMIT of no position'    => [ 'c', put(6, "\0" x 16), qr/commit position/ ],
	'a streamed COMMIT of the future'     => [ 'c', put(14, "\x7f"), qr/commit position/ ],
	'an abort without a transaction'      => [ 'A', cut(5), qr/message ends too early/ ],
	'a message of another protocol'       => [ 'C', sub { ('P' . "\0" x 29 . "x\0", $_[0]) }, qr/PREPARE message/ ]);

# The first value is a number of four bytes in binary form.  The message is whole, but no row can be made of it.
sub number_of { my ($size) = @_; return sub { substr($_[0], 0, FIRST_LENGTH) . pack('N', $size) . "\0" x $size . substr($_[0], FIRST_LENGTH + 8) } }
my %broken_value = (
	'a number that is too short' => [ 'I', number_of(3), qr/(?:insufficient|no) data left in message/ ],
	'a number that is too long'  => [ 'I', number_of(5), qr/binary value that is longer than its type's/ ],
	'a number of no bytes'       => [ 'I', number_of(0), qr/(?:insufficient|no) data left in message/ ],
	'a text that is none'        => [ 'U', sub { $_[0] =~ s/changed\z/\xffhanged/r }, qr/invalid byte sequence/ ],
	'a text with an end in it'   => [ 'U', sub { $_[0] =~ s/changed\z/\0hanged/r }, qr/invalid byte sequence/ ]);
%damage = (%damage, %broken_value);

# What makes the source send a message of that kind.
my $big = q{INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1000, 2500) i;};
my %cause = (
	(map { $_ => q{BEGIN; INSERT INTO t VALUES (50, 'new'); UPDATE t SET v = 'changed' WHERE id = 50; DELETE FROM t WHERE id = 49; COMMIT} } qw(B C R I U D)),
	T => q{BEGIN; INSERT INTO t VALUES (50, 'gone'); TRUNCATE t; INSERT INTO t SELECT i, 'after' FROM generate_series(1, 49) i; COMMIT},
	(map { $_ => "BEGIN; $big COMMIT" } qw(S E c)),
	A => "BEGIN; SAVEPOINT s; $big ROLLBACK TO s; INSERT INTO t VALUES (50, 'kept'); $big COMMIT");

# --- the proxy -------------------------------------------------------------------------------

my $orders = PostgreSQL::Test::Utils::tempdir() . '/order';

sub order  { my ($name) = @_; append_to_file("$orders.new", $name); rename("$orders.new", $orders) or die "order: $!"; return }
sub ordered { return -e $orders ? slurp_file($orders) : undef }

# CopyData of the stream: 'w', three numbers of 8 bytes, a message of pgoutput.
sub pass_on
{
	my ($type, $body) = @_;
	return ($body) unless $type eq 'd' && substr($body, 0, 1) eq 'w' && length($body) > 25;
	my $name = ordered();
	return ($body) unless defined $name && $damage{$name}[0] eq substr($body, 25, 1);
	unlink $orders;
	return map { substr($body, 0, 25) . $_ } $damage{$name}[1]->(substr($body, 25));
}

sub whole_messages
{
	my ($pending) = @_;
	my $out = '';
	while (length($$pending) >= 5 && length($$pending) >= 1 + unpack('N', substr($$pending, 1, 4)))
	{
		my $type = substr($$pending, 0, 1);
		my $body = substr($$pending, 5, unpack('N', substr($$pending, 1, 4)) - 4);
		substr($$pending, 0, 5 + length $body) = '';
		$out .= $type . pack('N', 4 + length $_) . $_ for pass_on($type, $body);
	}
	return $out;
}

sub write_all
{
	my ($to, $bytes) = @_;
	while (length $bytes)
	{
		my $written = syswrite($to, $bytes);
		return 0 unless defined $written;
		substr($bytes, 0, $written) = '';
	}
	return 1;
}

sub run_proxy
{
	my ($listener, $path) = @_;
	my $select = IO::Select->new($listener);
	my %link;    # by socket: the other one, and what is not whole yet of what comes from the server
	while (my @ready = $select->can_read)
	{
		for my $from (@ready)
		{
			if ($from == $listener)
			{
				my $client = $listener->accept or next;
				my $server = IO::Socket::UNIX->new(Peer => $path);
				if (!$server) { close $client; next; }
				$link{$client} = { to => $server };
				$link{$server} = { to => $client, pending => \(my $pending = '') };
				$select->add($client, $server);
				next;
			}
			my $link = $link{$from} or next;
			my $size = sysread($from, my $bytes, 65536);
			if ($size && $link->{pending})
			{
				${ $link->{pending} } .= $bytes;
				$bytes = whole_messages($link->{pending});
			}
			next if $size && write_all($link->{to}, $bytes);
			for my $socket ($from, $link->{to})
			{
				$select->remove($socket);
				delete $link{$socket};
				close $socket;
			}
		}
	}
	return;
}

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20) or die "no port: $!";
my $proxy = fork // die "fork: $!";
if ($proxy == 0)
{
	# Not what the test does when it ends: it would stop the servers.
	$SIG{TERM} = 'DEFAULT';
	local $SIG{PIPE} = 'IGNORE';
	run_proxy($listener, $source->host . '/.s.PGSQL.' . $source->port);
	POSIX::_exit(0);
}
# However the test ends.
END
{
	local $?;
	kill 'KILL', $proxy if $proxy;
}
my $port = $listener->sockport;
close $listener;

# --- the test --------------------------------------------------------------------------------

$source->safe_psql('postgres', "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'first' FROM generate_series(1, 49) i");
create_connector($target, 'postgres', 'c', "host=127.0.0.1 port=$port dbname=postgres user=@{[scalar getpwuid $>]} sslmode=disable gssencmode=disable");
wait_sync($source, $target, 'c');
my $postmaster = $target->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

# Connections that are cut on the way say something else before.
sub said_in_the_end
{
	my ($says) = @_;
	my $end  = time + $PostgreSQL::Test::Utils::timeout_default;
	my $said = '';
	while ($said !~ $says && time < $end)
	{
		usleep(20_000);
		$said = $target->safe_psql('postgres', "SELECT string_agg(detail, '; ') FROM livesync.events WHERE event = 'connector_failed'");
	}
	return $said;
}

is($target->safe_psql('postgres', 'SELECT is_binary FROM livesync.connector'), 't', 'values come in binary form');
for my $name (sort grep { !$broken_value{$_} } keys %damage)
{
	my ($kind, undef, $says) = @{ $damage{$name} };
	$target->safe_psql('postgres', "DELETE FROM livesync.event WHERE event = 'connector_failed'");
	$source->safe_psql('postgres', "DELETE FROM t WHERE id > 49; INSERT INTO t VALUES (49, 'first') ON CONFLICT DO NOTHING");
	wait_caught_up($source, $target, 'c');
	# A walsender describes each relation once.
	cut_connections($source) if $kind eq 'R';
	order($name);
	$source->safe_psql('postgres', $cause{$kind});
	like(said_in_the_end($says), $says, $name);
	wait_caught_up($source, $target, 'c');
	same_tables($source, 'postgres', $target, 'postgres', ['public.t'], "$name: undamaged, all comes again");
}

# The value is to blame, not the connection: what is asked for again as text is undamaged.
for my $name (sort keys %broken_value)
{
	my ($kind, undef, $says) = @{ $broken_value{$name} };
	$target->safe_psql('postgres', "DELETE FROM livesync.event WHERE event = 'value_unreadable'; UPDATE livesync.connector SET unreadable_types = '{}'");
	$target->safe_psql('postgres', "SELECT livesync.pause_connector('c')");
	$target->safe_psql('postgres', "SELECT livesync.resume_connector('c')");
	$source->safe_psql('postgres', 'DELETE FROM t WHERE id > 49; INSERT INTO t VALUES (49) ON CONFLICT DO NOTHING');
	wait_caught_up($source, $target, 'c');
	is($target->safe_psql('postgres', 'SELECT is_binary FROM livesync.connector'), 't', 'values come in binary form again');
	order($name);
	$source->safe_psql('postgres', $cause{$kind});
	poll($target, 'postgres', "SELECT count(*) > 0 FROM livesync.events WHERE event = 'value_unreadable'");
	like($target->safe_psql('postgres', "SELECT detail FROM livesync.events WHERE event = 'value_unreadable'"), $says, $name);
	wait_sync($source, $target, 'c');
	same_tables($source, 'postgres', $target, 'postgres', ['public.t'], "$name: undamaged, all comes again");
}
is($target->safe_psql('postgres', "SELECT string_agg(detail, '; ') FROM livesync.events WHERE event = 'table_failed'"), '', 'no table failed');

is($target->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $postmaster, 'the server stayed up');
unlike(slurp_file($target->logfile), qr/terminated by signal/, 'and no process of it crashed');

check_logs($source, $target);
done_testing();
