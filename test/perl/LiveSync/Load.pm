=pod

=head1 NAME

LiveSync::Load - pgbench beside a test

=head1 DESCRIPTION

Its end is waited for by name, since a session ends after its client.

=cut

package LiveSync::Load;

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use IPC::Run ();

use LiveSync::Waiting qw(poll);

our @EXPORT = qw(start_pgbench stop_pgbench run_pgbench);

=pod

=head1 FUNCTIONS

=over

=item start_pgbench($node, $db, @arguments)

Starts pgbench and returns at once; its end is waited for by

=item stop_pgbench($pgbench)

which asks it to end now (what it was doing is rolled back), and by

=item stop_pgbench($pgbench, wait => 1)

which lets it do what it was told.  Neither minds a server that went away meanwhile and is back.

=item run_pgbench($node, $db, @arguments)

Runs pgbench to its end; any error ends the test file.

=back

=cut

my $pgbench_count = 0;

sub start_pgbench
{
	my ($node, $db, @arguments) = @_;
	my $output  = '';
	my $name    = 'pgbench_' . ++$pgbench_count;
	my $harness = IPC::Run::start([ 'pgbench', '-n', @arguments, $node->connstr($db) . " application_name=$name" ],
		'<', \undef, '>&', \$output);
	return { harness => $harness, output => \$output, node => $node, name => $name };
}

sub stop_pgbench
{
	my ($pgbench, %opt) = @_;
	$pgbench->{harness}->signal('TERM') unless $opt{wait};
	$pgbench->{harness}->finish;
	# A session ends a moment after its client, and may still commit what it was told to.
	poll($pgbench->{node}, 'postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '$pgbench->{name}'");
	return;
}

sub run_pgbench
{
	my ($node, $db, @arguments) = @_;
	my $output = '';
	IPC::Run::run([ 'pgbench', '-n', @arguments, $node->connstr($db) ], '<', \undef, '>&', \$output)
	  or croak "pgbench @arguments failed:\n$output";
	return;
}

1;
