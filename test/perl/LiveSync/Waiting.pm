=pod

=head1 NAME

LiveSync::Waiting - waiting for conditions

=head1 DESCRIPTION

Nothing waits for a time.  What does not come true ends the test file with what the views say.

=cut

package LiveSync::Waiting;

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use Test::More;
use Time::HiRes qw(usleep time);

use LiveSync::Servers qw(quote_literal);
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(
  poll wait_row wait_sync wait_caught_up wait_state failure_of retry_table slots_are_free source_lsn
);
our @EXPORT_OK = qw(try_psql);

my @parts = map { "LiveSync::$_" } qw(Servers Waiting Sessions Crashes Load Comparing);

=pod

=head1 FUNCTIONS

=over

=item poll($node, $db, $sql, $expected, $seconds)

Runs the query until it gives the expected text ('t' when left out); rows are separated by newlines,
columns by '|'.  An error of the query counts as "not yet", also that there is no connection.

=cut

sub poll
{
	my ($node, $db, $sql, $expected, $seconds) = @_;
	$expected //= 't';
	_poll($node, $db, $sql, sub { $_[0] eq $expected }, qq{"$expected"}, $seconds);
	return 1;
}

=pod

=item wait_row($node, $db, $sql)

Runs the query until it gives any row, and returns it.  For what is there now and then: who waits for it and asks what it
is in another query may find that it has just gone.

=cut

sub wait_row
{
	my ($node, $db, $sql) = @_;
	return _poll($node, $db, $sql, sub { $_[0] ne '' }, 'a row');
}

sub _poll
{
	my ($node, $db, $sql, $is_it, $expected, $seconds) = @_;
	$seconds //= _timeout();
	my $end = time() + $seconds;
	my ($out, $err);
	while (1)
	{
		try_psql($node, $db, $sql, stdout => \$out, stderr => \$err);
		return $out if $err eq '' && $is_it->($out);
		last if time() >= $end;
		usleep(50_000);
	}
	return give_up($node, $db, "after $seconds s this did not give $expected:\n$sql\nlast result: $out\n$err");
}

# As psql(), where there may be no server: false when it did not succeed, for whatever reason.  A psql that
# finds no server ends before it has read the query, and IPC::Run may then die of a broken pipe.
sub try_psql
{
	my ($node, $db, $sql, %params) = @_;
	my $status = eval { $node->psql($db, $sql, %params, on_error_die => 0, on_error_stop => 1) };
	return 1 if defined $status && $status == 0;
	if (!defined $status)
	{
		${ $params{stdout} } = '' if $params{stdout};
		${ $params{stderr} } = $@ if $params{stderr};
	}
	return 0;
}

sub _timeout { return $PostgreSQL::Test::Utils::timeout_default; }

# Ends the test file, saying where every connector stands.
sub give_up
{
	my ($node, $db, $message) = @_;
	my ($out, $err);
	for my $view (qw(connectors progress tables events))
	{
		my $tail = $view eq 'events' ? ' ORDER BY at DESC LIMIT 20' : '';
		try_psql($node, $db, "SELECT * FROM livesync.$view$tail", stdout => \$out, stderr => \$err, extra_params => ['-x']);
		diag("livesync.$view:\n$out") if defined $out && $out ne '';
	}
	diag('server log: ' . $node->logfile);
	# the error is the test's, not of the parts that it has called
	local @Carp::Internal{@parts} = (1) x @parts;
	croak $message;
}

=pod

=item source_lsn($source, $db)

A position at the source behind everything that has committed there so far, and flushed.

=cut

sub source_lsn
{
	my ($source, $db) = @_;
	# A message is WAL that has to be flushed at its commit, whatever earlier commits did.
	my $out = $source->safe_psql($db // 'postgres', <<'SQL');
SET synchronous_commit = local;
DO $$ BEGIN PERFORM pg_logical_emit_message(true, 'livesync_test', ''); END $$;
SELECT pg_current_wal_flush_lsn();
SQL
	return $out;
}

=pod

=item wait_caught_up($source, $target, $connector, %options)

Waits until everything that has committed at the source is applied.  Options: source_db, target_db,
seconds.  A table that is not streaming yet does not have it: see wait_sync().

=cut

sub wait_caught_up
{
	my ($source, $target, $connector, %opt) = @_;
	my $db  = $opt{target_db} // 'postgres';
	my $lsn = source_lsn($source, $opt{source_db});
	_wait_function($target, $db, "livesync.wait_for_lsn(%s, '$lsn', '%s s')", $connector, %opt);
	return;
}

=pod

=item wait_sync($source, $target, $connector, %options)

Waits until every table of the connector streams and everything that has committed at the source is
applied.  Options as above.

=cut

sub wait_sync
{
	my ($source, $target, $connector, %opt) = @_;
	_wait_function($target, $opt{target_db} // 'postgres', "livesync.wait_for_sync(%s, '%s s')",
		$connector, %opt);
	return wait_caught_up($source, $target, $connector, %opt);
}

sub _wait_function
{
	my ($target, $db, $call, $connector, %opt) = @_;
	my $seconds = $opt{seconds} // _timeout();
	my $sql     = 'SELECT ' . sprintf($call, quote_literal($connector), $seconds);
	my ($out, $err);
	my $status = $target->psql($db, $sql, stdout => \$out, stderr => \$err, timeout => $seconds + 30,
		timed_out => \my $timed_out);
	return if $status == 0 && $out eq 't';
	give_up($target, $db, "$sql gave \"$out\" $err" . ($timed_out ? ' (it did not return)' : ''));
}

=pod

=item wait_state($target, $db, $connector, $source_table, $state)

Waits for a state of a table: queued, copying, catching_up, streaming, paused, failed.

=cut

sub wait_state
{
	my ($target, $db, $connector, $table, $state) = @_;
	return poll($target, $db,
		'SELECT state FROM livesync.tables WHERE connector = '
		  . quote_literal($connector) . ' AND source_table = ' . quote_literal($table), $state);
}

=pod

=item failure_of($target, $db, $connector, $source_table)

Waits until a table has failed; returns its error and its hint.  A table whose copy fails is tried again by itself, and has
neither while it is.

=cut

sub failure_of
{
	my ($target, $db, $connector, $table) = @_;
	my $row = wait_row($target, $db,
		q{SELECT last_error, coalesce(hint, '') FROM livesync.tables WHERE state = 'failed' AND last_error IS NOT NULL AND connector = }
		  . quote_literal($connector) . ' AND source_table = ' . quote_literal($table));
	return split /\|/, $row, 2;
}

=pod

=item slots_are_free($source)

Waits until no walsender has a slot.  It ends a moment after the connector that was paused or dropped.

=cut

sub slots_are_free { return poll($_[0], 'postgres', 'SELECT count(*) = 0 FROM pg_replication_slots WHERE active') }

=pod

=item retry_table($target, $db, $connector, $source_table)

livesync.retry_table(), for a table that may be faster by itself.

=back

=cut

sub retry_table
{
	my ($target, $db, $connector, $table) = @_;
	my $call = 'SELECT livesync.retry_table(' . quote_literal($connector) . ', ' . quote_literal($table) . ')';
	my ($out, $err);
	try_psql($target, $db, $call, stdout => \$out, stderr => \$err)
	  or $err =~ /has not failed/
	  or give_up($target, $db, "$call failed: $err");
	return;
}

1;
