=pod

=head1 NAME

LiveSync::Servers - the servers of a test, and connectors between them

=head1 DESCRIPTION

The two servers have room for many workers and sessions.

=cut

package LiveSync::Servers;

use strict;
use warnings;

use Exporter qw(import);

use PostgreSQL::Test::Cluster;

our @EXPORT = qw(pair source_node target_node conninfo create_connector quote_literal);

# Cluster names must differ within a test file, also when it makes several pairs.
my %used_names;

sub _new_node
{
	my ($name, %opt) = @_;
	my $number = ++$used_names{$name};
	my @where = $opt{install_path} ? (install_path => $opt{install_path}) : ();
	return PostgreSQL::Test::Cluster->new($number > 1 ? "$name$number" : $name, @where);
}

# What both sides get: room for many workers and sessions; a killed worker must not end the server, nor a machine that
# stands still for a minute a session that is just beginning.
sub _common_conf
{
	my (%opt) = @_;
	my $fsync = $opt{fsync} ? 'on' : 'off';
	return <<"CONF";
fsync = $fsync
restart_after_crash = on
shared_buffers = 32MB
max_connections = 60
max_wal_senders = 20
max_replication_slots = 20
max_worker_processes = 32
max_prepared_transactions = 10
max_wal_size = 512MB
log_lock_waits = on
authentication_timeout = '10min'
CONF
}

=pod

=head1 FUNCTIONS

=over

=item pair(%options)

Makes and starts a source and a target and creates the extension in the target database.  Returns
both nodes.  Options:

  source_conf, target_conf   lines for postgresql.conf, after the defaults
  source_db, target_db       databases to make when they are not 'postgres'
  source_init, target_init   arguments for initdb, as arrays
  fsync => 1                 sync to disk, for tests that crash a whole server
  extension => 0             do not create the extension
  preload => 0               do not preload the library

=cut

sub pair
{
	my (%opt) = @_;
	return (source_node('source', %opt), target_node('target', %opt));
}

=pod

=item source_node($name, %options), target_node($name, %options)

One of the two, with the same options; a source may also have

  install_path => $folder    of another server than the one that is tested

=cut

sub source_node
{
	my ($name, %opt) = @_;
	my $node = _new_node($name, %opt);
	$node->init(allows_streaming => 'logical', extra => $opt{source_init} || []);
	# The library of 18 sets it, also for servers that do not know it.
	$node->adjust_conf('postgresql.conf', 'autovacuum_worker_slots') if $opt{install_path};
	$node->append_conf('postgresql.conf', _common_conf(%opt));
	$node->append_conf('postgresql.conf', $opt{source_conf}) if defined $opt{source_conf};
	$node->start;
	_create_database($node, $opt{source_db});
	return $node;
}

sub target_node
{
	my ($name, %opt) = @_;
	my $preload = $opt{preload} // 1;
	my $node    = _new_node($name);
	$node->init(allows_streaming => 'logical', extra => $opt{target_init} || []);
	$node->append_conf('postgresql.conf', _common_conf(%opt));
	# From 18 on the slots do not count for the origins, of which each connector has one.
	$node->append_conf('postgresql.conf', 'max_active_replication_origins = 20') if $node->pg_version >= 18;
	if ($preload)
	{
		$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'pg_livesync'
livesync.poll_interval = '200ms'
livesync.retry_delay = '100ms'
CONF
	}
	$node->append_conf('postgresql.conf', $opt{target_conf}) if defined $opt{target_conf};
	$node->start;
	_create_database($node, $opt{target_db});
	$node->safe_psql($opt{target_db} // 'postgres', 'CREATE EXTENSION pg_livesync')
	  if $preload && ($opt{extension} // 1);
	return $node;
}

sub _create_database
{
	my ($node, $db) = @_;
	return if !defined $db || $db eq 'postgres';
	(my $quoted = $db) =~ s/"/""/g;
	$node->safe_psql('postgres', qq{CREATE DATABASE "$quoted"});
	return;
}

=pod

=item conninfo($source, $db)

The connection string of a database at the source, by default 'postgres'.  It lets a machine that stands still for a
while answer all the same.

=cut

sub conninfo
{
	my ($source, $db) = @_;
	return $source->connstr($db // 'postgres') . ' connect_timeout=60';
}

=pod

=item create_connector($target, $target_db, $name, $conninfo, %arguments)

Calls livesync.create_connector().  Arguments are those of the function; arrays become text[]:

  create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.t'], copy_workers => 2);

=cut

sub create_connector
{
	my ($target, $db, $name, $conninfo, %args) = @_;
	my @arguments = (quote_literal($name), quote_literal($conninfo));
	push @arguments, map { "$_ => " . _sql_value($args{$_}) } sort keys %args;
	$target->safe_psql($db, 'SELECT livesync.create_connector(' . join(', ', @arguments) . ')');
	return;
}

sub _sql_value
{
	my ($value) = @_;
	return 'NULL' unless defined $value;
	return 'ARRAY[' . join(', ', map { quote_literal($_) } @$value) . ']::text[]' if ref $value;
	return $value if $value =~ /^(?:true|false|\d+)$/;
	return quote_literal($value);
}

=pod

=item quote_literal($text)

=back

=cut

sub quote_literal
{
	my ($text) = @_;
	(my $quoted = $text) =~ s/'/''/g;
	return $quoted =~ /\\/ ? 'E' . "'" . ($quoted =~ s/\\/\\\\/gr) . "'" : "'$quoted'";
}

1;
