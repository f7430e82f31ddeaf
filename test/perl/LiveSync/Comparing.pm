=pod

=head1 NAME

LiveSync::Comparing - what must be the same at both sides, and what no log may say

=head1 DESCRIPTION

One test each.

=cut

package LiveSync::Comparing;

use strict;
use warnings;

use Exporter qw(import);
use Test::More;

use LiveSync::Servers qw(quote_literal);
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(same_tables check_logs);

=pod

=head1 FUNCTIONS

=over

=item same_tables($source, $source_db, $target, $target_db, \@tables, $test_name)

One test: both sides have the same rows.  Whole tables are compared: every row as text, hashed, and
the hashes in order hashed again; when they differ, up to ten rows that only one side has are shown.
A table is 'schema.table', or a hash when the sides are not named alike or not all is compared:

  { source => 'public.t', target => 'app.t', columns => ['id', 'v'], where => 'id > 10' }

Columns are matched by name; by default those of the source.  Without tables: every ordinary and
partitioned table of the source's database.  An empty list of tables is a failure.

=cut

sub same_tables
{
	my ($source, $source_db, $target, $target_db, $tables, $test_name) = @_;
	my @tables = map { _table_pair($_) } $tables ? @$tables : _user_tables($source, $source_db);
	$test_name //= 'same rows: ' . join(', ', map { $_->{target} } @tables);

	my @different;
	for my $table (@tables)
	{
		my @columns = $table->{columns} ? @{ $table->{columns} } : _columns($source, $source_db, $table->{source});
		my @sides = ([ $source, $source_db, $table->{source} ], [ $target, $target_db, $table->{target} ]);
		my @sums = map { _hash_rows(@$_, \@columns, $table->{where}) } @sides;
		next if $sums[0] eq $sums[1] && $sums[0] =~ /^\d+\|/;
		push @different, "$table->{target}: rows|hash are $sums[0] at the source and $sums[1] at the target",
		  _different_rows(\@sides, \@columns, $table->{where});
	}
	push @different, 'no tables to compare' unless @tables;

	my $level = $Test::Builder::Level;
	local $Test::Builder::Level = $level + 1;
	my $same = ok(!@different, $test_name);
	diag($_) for @different;
	return $same;
}

sub _table_pair
{
	my ($table) = @_;
	$table = { source => $table } unless ref $table;
	return { %$table, target => $table->{target} // $table->{source} };
}

sub _user_tables
{
	my ($node, $db) = @_;
	return split /\n/, $node->safe_psql($db, <<'SQL');
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
	AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'livesync')
ORDER BY 1
SQL
}

sub _columns
{
	my ($node, $db, $table) = @_;
	return split /\n/, $node->safe_psql($db,
		'SELECT attname FROM pg_attribute WHERE attrelid = ' . quote_literal($table)
		  . '::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum');
}

sub _rows_query
{
	my ($table, $columns, $where) = @_;
	my $row = 'ROW(' . join(', ', map { '"' . s/"/""/gr . '"' } @$columns) . ')::text';
	return "SELECT $row AS r FROM $table" . (defined $where ? " WHERE $where" : '');
}

sub _hash_rows
{
	my ($node, $db, $table, $columns, $where) = @_;
	my ($out, $err);
	my $rows = _rows_query($table, $columns, $where);
	$node->psql($db,
		qq{SELECT count(*), md5(string_agg(h, '' ORDER BY h COLLATE "C")) FROM (SELECT md5(r) AS h FROM ($rows) x) y},
		stdout => \$out, stderr => \$err);
	return $err eq '' ? $out : $err;
}

sub _different_rows
{
	my ($sides, $columns, $where) = @_;
	my %count;
	my @names = ('source', 'target');
	for my $i (0, 1)
	{
		my ($node, $db, $table) = @{ $sides->[$i] };
		my ($out, $err);
		my $rows = _rows_query($table, $columns, $where);
		$node->psql($db, "SELECT left(translate(r, E'\\n', ' '), 200) || '  ' || md5(r) FROM ($rows) x",
			stdout => \$out, stderr => \$err);
		$count{$_} += $i == 0 ? 1 : -1 for split /\n/, $out;
	}
	my @only = grep { $count{$_} != 0 } sort keys %count;
	my $more = @only > 10 ? @only - 10 : 0;
	return (
		(map { '  only at the ' . $names[ $count{$_} > 0 ? 0 : 1 ] . ': ' . s/  \w{32}$//r } splice(@only, 0, 10)),
		$more ? "  and $more more" : ());
}

=pod

=item check_logs(@nodes)

One test: no server of these crashed on its own (no signal 6 or 11, no failed assertion, no PANIC), or
warned of something that was not released at the end of a transaction.  A worker that a failpoint killed
(signal 9) is no such thing.

=back

=cut

# What a server says of something that was not released at the end of a transaction, or written where it must not.
my $careless = 'leak: |resource was not closed|non-empty SPI stack|problem in |still active|seem to remain|own a lock| while in ';

sub check_logs
{
	my (@nodes) = @_;
	my @found;
	for my $node (@nodes)
	{
		my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
		push @found, map { $node->name . ": $_" } grep { /by signal (?:6|11)\b|TRAP: |PANIC: |WARNING:  .*(?:$careless)/ } split /\n/, $log;
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $clean = ok(!@found, 'no crash in the server logs');
	diag($_) for @found;
	return $clean;
}

1;
