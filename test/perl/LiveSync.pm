=pod

=head1 NAME

LiveSync - what the tests in test/t share

=head1 SYNOPSIS

  use lib 'test/perl';
  use LiveSync;
  use Test::More;

  my ($source, $target) = pair();
  $source->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY, v text)');
  create_connector($target, 'postgres', 'c', conninfo($source));
  wait_sync($source, $target, 'c');

  failpoint($target, 'copy_before_chunk=wait');       # hold a worker there ...
  failpoint_reached($target, 'postgres', 'copy_before_chunk');
  clear_failpoints($target);                          # ... and let it go on

  wait_caught_up($source, $target, 'c');
  same_tables($source, 'postgres', $target, 'postgres', ['public.t']);
  check_logs($source, $target);
  done_testing();

=head1 DESCRIPTION

Everything here waits for a condition, never for a time.  What does not come true within
$PG_TEST_TIMEOUT_DEFAULT seconds (180) ends the test file with what the views said at that moment.
same_tables() and check_logs() are one test each; the other functions are none.

A file that provokes a crash of a server says so in a comment, or the log search after the run counts
it as a failure:

  # expected in the logs: PANIC

Its parts, each with a description of its own:

  LiveSync::Servers     pair source_node target_node conninfo create_connector quote_literal
  LiveSync::Waiting     poll wait_row wait_sync wait_caught_up wait_state failure_of retry_table ...
  LiveSync::Sessions    session start_query finish_query wait_event wait_text
  LiveSync::Crashes     failpoint failpoint_reached clear_failpoints end_of_crashes worker_pid kill_process ...
  LiveSync::Load        start_pgbench stop_pgbench run_pgbench
  LiveSync::Comparing   same_tables check_logs

=cut

package LiveSync;

use strict;
use warnings;

use Exporter qw(import);
use Test::More;

use LiveSync::Comparing;
use LiveSync::Crashes;
use LiveSync::Load;
use LiveSync::Servers;
use LiveSync::Sessions;
use LiveSync::Waiting;

our @EXPORT = (
	@LiveSync::Comparing::EXPORT, @LiveSync::Crashes::EXPORT,  @LiveSync::Load::EXPORT,
	@LiveSync::Servers::EXPORT,   @LiveSync::Sessions::EXPORT, @LiveSync::Waiting::EXPORT);

# What ends a test file is said where prove shows it, not only in the test's own log.
$SIG{__DIE__} = sub { diag($_[0]) unless $^S };

1;
