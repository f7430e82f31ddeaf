=pod

=head1 NAME

LiveSync::Sessions - psql sessions that stay open

=head1 DESCRIPTION

For transactions that stay open, and statements that wait.

=cut

package LiveSync::Sessions;

use strict;
use warnings;

use Exporter qw(import);

use LiveSync::Servers qw(quote_literal);
use LiveSync::Waiting qw(poll);

our @EXPORT = qw(session start_query finish_query wait_event wait_text);

=pod

=head1 FUNCTIONS

=over

=item session($node, $db, $name)

A psql session that stays open, for transactions that do: a PostgreSQL::Test::BackgroundPsql, with
query(), query_safe() and query_until().  $name becomes its application_name.

=cut

sub session
{
	my ($node, $db, $name) = @_;
	my $session = bless $node->background_psql($db, on_error_stop => 0), 'LiveSync::Session';
	# Each query may take as long as any other wait, however long the session has been open.
	$session->set_query_timer_restart;
	$session->query_safe('SET application_name = ' . quote_literal($name)) if defined $name;
	return $session;
}

=pod

=item start_query($session, $sql)

Sends a statement that will wait for something, and returns at once.

=cut

sub start_query
{
	my ($session, $sql) = @_;
	$session->query_until(qr/livesync: sent/, "\\echo 'livesync: sent'\n$sql;\n");
	return;
}

=pod

=item finish_query($session)

Waits for the end of it; returns what it printed, errors and warnings included.

=cut

sub finish_query
{
	my ($session) = @_;
	my $output = $session->query('');
	my $errors = $session->{stderr};
	$session->{stderr} = '';
	return join "\n", grep { $_ ne '' } $output, $errors;
}

=pod

=item wait_event($node, $name, $event)

Waits until the session of that application_name waits for that event or type of event:
'Lock', 'SyncRep', ...

=cut

sub wait_event
{
	my ($node, $name, $event) = @_;
	return poll($node, 'postgres',
		'SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = ' . quote_literal($name)
		  . ' AND ' . quote_literal($event) . ' IN (wait_event, wait_event_type)');
}

=pod

=item wait_text($target, $db, $connector, $table, $pattern)

Waits until livesync.tables.waiting_for of the table matches the regular expression.

=back

=cut

sub wait_text
{
	my ($target, $db, $connector, $table, $pattern) = @_;
	return poll($target, $db,
		'SELECT waiting_for ~ ' . quote_literal($pattern) . ' FROM livesync.tables WHERE connector = '
		  . quote_literal($connector) . ' AND source_table = ' . quote_literal($table));
}

# --- the session itself ------------------------------------------------------------------------

package LiveSync::Session;

use parent -norequire, 'PostgreSQL::Test::BackgroundPsql';

sub quit
{
	my ($self) = @_;
	$self->{timeout}->start;
	return $self->SUPER::quit;
}

1;
