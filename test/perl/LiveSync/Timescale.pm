=pod

=head1 NAME

LiveSync::Timescale - pairs of servers whose target has TimescaleDB

=head1 SYNOPSIS

  use LiveSync;
  use LiveSync::Timescale;
  use Test::More;

  my ($source, $target) = timescale_pair();
  ...
  rows_are_in_chunks($target, 'public.metric');

=head1 DESCRIPTION

TimescaleDB is in few package archives: where the server has none, timescale_pair() skips the whole
file, and says so.

=cut

package LiveSync::Timescale;

use strict;
use warnings;

use Exporter qw(import);
use Test::More;

use LiveSync;

our @EXPORT = qw(timescale_pair add_timescaledb needs_told_aggregates rows_are_in_chunks compressed_chunks);

=pod

=over

=item timescale_pair(%options)

As pair() of LiveSync, with the extension timescaledb in the target database.

=cut

sub timescale_pair
{
	my (%opt) = @_;
	my $target = target_node('target', %opt, extension => 0);
	add_timescaledb($target, $opt{target_db}, 'timescaledb, pg_livesync');
	$target->safe_psql($opt{target_db} // 'postgres', 'CREATE EXTENSION pg_livesync');
	return (source_node('source', %opt), $target);
}

=pod

=item add_timescaledb($node, $db, $libraries)

Preloads the libraries, restarts the server and creates the extension; or skips the file.

=cut

sub add_timescaledb
{
	my ($node, $db, $libraries) = @_;
	if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'}) eq '0')
	{
		$node->stop;
		plan skip_all => 'TimescaleDB is not installed in this server';
	}
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = '$libraries'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 4
CONF
	$node->restart;
	$node->safe_psql($db // 'postgres', 'SET client_min_messages = error; CREATE EXTENSION timescaledb');
	return;
}

=pod

=item needs_told_aggregates($target)

Skips the whole file where continuous aggregates do not learn what was written as a replica: before 2.23 that was the
work of triggers, which do not fire then.

=cut

sub needs_told_aggregates
{
	my ($target) = @_;
	my $version = $target->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'});
	my ($major, $minor) = $version =~ /^(\d+)\.(\d+)/;
	return if $major * 1000 + $minor >= 2023;
	$target->stop;
	plan skip_all => "TimescaleDB $version does not tell continuous aggregates what a replica writes";
	return;
}

=pod

=item rows_are_in_chunks($target, $table)

One test: the table is a hypertable with rows, and none of them is in its root, where no query finds it.

=cut

sub rows_are_in_chunks
{
	my ($target, $table, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $counts = $target->safe_psql($db // 'postgres', <<"SQL");
SELECT count(*) > 0 FROM $table;
SELECT count(*) FROM show_chunks('$table') HAVING count(*) > 0;
SET timescaledb.restoring = on;
SELECT count(*) FROM ONLY $table;
SQL
	return like($counts, qr/^t\n\d+\n0$/, "the rows of $table are in its chunks, none in its root");
}

=pod

=item compressed_chunks($target, $table)

How many chunks of it are in the columnstore.

=back

=cut

sub compressed_chunks
{
	my ($target, $table, $db) = @_;
	return $target->safe_psql($db // 'postgres',
		"SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed AND hypertable_name = split_part('$table', '.', 2)");
}

1;
