=pod

=head1 NAME

LiveSync::Crashes - holding and killing workers, cutting connections

=head1 DESCRIPTION

At failpoints, or wherever a process is.

=cut

package LiveSync::Crashes;

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use Time::HiRes qw(usleep);

use LiveSync::Servers qw(quote_literal);
use LiveSync::Waiting qw(poll try_psql);
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(
  failpoint failpoint_reached clear_failpoints end_of_crashes worker_pid
  kill_process try_kill_process flush_wal cut_connections
);

=pod

=head1 FAILPOINTS

=over

=item failpoint($target, 'name=wait', 'name/schema.table=error', ...)

Replaces the failpoints that are set and returns when a new session sees them.  wait holds the worker
until it is named no more, error raises an error, crash kills the process.

=cut

sub failpoint
{
	my ($target, @places) = @_;
	my $value = join(',', @places);
	for (@places)
	{
		croak "a failpoint is name[/schema.table]=wait|error|crash, not \"$_\""
		  unless $_ =~ m{^\w+(?:/[^=,]+)?=(?:wait|error|crash)$};
	}
	# Two calls: ALTER SYSTEM cannot run in the transaction that several statements in one are.
	$target->safe_psql('postgres',
		$value eq ''
		? 'ALTER SYSTEM RESET livesync.failpoints'
		: 'ALTER SYSTEM SET livesync.failpoints = ' . quote_literal($value));
	# One that kills may strike at once, and take this session with it.
	try_psql($target, 'postgres', 'SELECT pg_reload_conf()');
	return poll($target, 'postgres', 'SHOW livesync.failpoints', $value);
}

=pod

=item clear_failpoints($target)

=cut

sub clear_failpoints { return failpoint($_[0]); }

=pod

=item end_of_crashes($target)

Clears a failpoint that kills.  The server may be on its way down or up at any moment until then, so it
is stopped (immediately) and started: then no worker has the failpoint any more.

=cut

sub end_of_crashes
{
	my ($node) = @_;
	usleep(50_000) until try_psql($node, 'postgres', 'ALTER SYSTEM RESET livesync.failpoints');
	$node->stop('immediate');
	return $node->start;
}

=pod

=item failpoint_reached($target, $db, $name, $count)

Waits until a worker (or $count of them) waits at that failpoint.

=cut

sub failpoint_reached
{
	my ($target, $db, $name, $count) = @_;
	$count //= 1;
	return poll($target, $db,
		"SELECT count(*) >= $count FROM pg_stat_activity WHERE query = " . quote_literal("failpoint $name"));
}

=pod

=item worker_pid($target, $db, $kind)

The process id of a worker: 'launcher', 'connector' or 'copy'.  Waits until there is one; of several
it is one that a failpoint holds, if there is one (others may end at any moment), or else the oldest.

=back

=cut

sub worker_pid
{
	my ($target, $db, $kind) = @_;
	my $where = "backend_type = 'livesync $kind'";
	$where .= ' AND datname = ' . quote_literal($db) unless $kind eq 'launcher';
	poll($target, $db, "SELECT count(*) > 0 FROM pg_stat_activity WHERE $where");
	my $pid = $target->safe_psql($db,
		"SELECT pid FROM pg_stat_activity WHERE $where ORDER BY query LIKE 'failpoint %' DESC, backend_start, pid LIMIT 1");
	# It may have ended between the two queries.
	return $pid ne '' ? $pid : worker_pid($target, $db, $kind);
}

=pod

=head1 CRASHES

=over

=item kill_process($node, $pid)

SIGKILL to one process of a server; returns when the server has started again because of it.

=item try_kill_process($node, $pid)

The same, of a process that may have ended by itself: then it returns false, and the server goes on.

=cut

sub kill_process
{
	my ($node, $pid) = @_;
	return try_kill_process($node, $pid) || croak "there is no process $pid";
}

sub try_kill_process
{
	my ($node, $pid) = @_;
	my $offset = -s $node->logfile;
	# One that is stopped cannot end by itself between the look and the kill.
	kill('STOP', $pid) == 1 or return 0;
	my $stat = eval { local $SIG{__DIE__} = 'DEFAULT'; PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") };
	return 0 if !defined $stat || $stat =~ /\) Z /;
	kill('KILL', $pid);
	$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
	return poll($node, 'postgres', 'SELECT true');
}

=pod

=item flush_wal($node)

Flushes the WAL of everything that has committed, so that a crash keeps it: the workers commit
asynchronously.

=cut

sub flush_wal
{
	my ($node) = @_;
	# A transaction that wrote nothing would not wait for its commit record to be flushed.
	$node->safe_psql('postgres',
		"SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'livesync_test', '')");
	return;
}

=pod

=item cut_connections($source)

Ends all sessions that the workers have at the source, and returns how many.

=back

=cut

sub cut_connections
{
	my ($source) = @_;
	return $source->safe_psql('postgres',
		q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'livesync%'});
}

1;
