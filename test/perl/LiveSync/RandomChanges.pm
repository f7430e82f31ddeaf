=pod

=head1 NAME

LiveSync::RandomChanges - random tables and random changes of them, as SQL text

=head1 SYNOPSIS

  use LiveSync::RandomChanges;

  srand($seed);
  my $world = make_world('w1', unordered => 0);
  $source->safe_psql('postgres', source_ddl($world));
  $target->safe_psql('postgres', target_ddl($world));
  my $burst = random_burst($world, 20);          # of so many transactions

=head1 DESCRIPTION

Nothing here talks to a server: all randomness is Perl's rand(), so a seed always gives the same text.

A table is a hash: name, kind, columns (name, type, target_type, value: sub giving an SQL literal),
key (names of columns), and what is said of it at both sides.  Values come from small pools, so that
keys meet again and again; statements are not made to succeed: they run in psql with
ON_ERROR_ROLLBACK, where one that breaks a unique index is a rolled back subtransaction, as
applications have them.

=cut

package LiveSync::RandomChanges;

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(shuffle);

our @EXPORT = qw(make_world source_ddl target_ddl random_rows random_burst random_transaction
  tables_of set_columns pick chance);

sub pick   { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

sub between { return $_[0] + int rand($_[1] - $_[0] + 1); }

sub quoted { return "'" . ($_[0] =~ s/'/''/gr) . "'"; }

# Long enough to be stored out of line when nothing may be compressed.
sub long_text { return sprintf("repeat('%s%03d', %d)", pick('a'..'e'), between(0, 999), between(600, 900)); }

# name => [ source type, target types, a value, the same for where equal values must be identical ]
#
# Without a key the rows to change are found by equality, and of several equal rows that do not look
# alike (1.0 and 1.00) any may be taken: there the pools have one form of each value.
my %type = (
	small  => [ 'smallint', [ 'smallint', 'int', 'bigint' ], sub { between(-5, 30) } ],
	int    => [ 'int', [ 'int', 'bigint', 'numeric' ], sub { between(-3, 30) } ],
	bigint => [ 'bigint', [ 'bigint', 'numeric' ], sub { pick(1, 2, -7, 1099511627776, 9223372036854775807, between(1, 20)) } ],
	numeric => [ 'numeric', ['numeric'],
		sub { pick(qw(1 1.0 1.00 2 2.0 2.50 2.5 -3.100 0 0.000 12345678901234567890.123), "'NaN'", between(3, 12) . pick('', '.0', '.00')) },
		sub { pick(qw(1 2.0 2.50 -3.100 0.000 12345678901234567890.123), "'NaN'", between(3, 12)) } ],
	scaled => [ 'numeric(8,2)', [ 'numeric(8,2)', 'numeric(12,2)', 'numeric' ], sub { pick('0', '1.25', between(1, 20), '-999.99') } ],
	float8 => [ 'float8', ['float8'],
		sub { pick('0.1', '1e-300', "'-0'", '0', "'NaN'", "'-Infinity'", between(1, 9), '123456789.123456789') },
		sub { pick('0.1', '1e-300', '0', "'NaN'", "'-Infinity'", between(1, 9), '123456789.123456789') } ],
	float4 => [ 'float4', [ 'float4', 'float8' ], sub { pick('0.1', '0', '1e-30', "'Infinity'", between(1, 9)) } ],
	text => [ 'text', ['text'],
		sub { pick("''", "'a'", "'A'", "'b '", quoted("it's"), "E'back\\\\slash'", "E'two\\nlines\\tand tab'", "'äöü€'", "'\\N'", "'null'",
			  sprintf("'v%d'", between(1, 15))) } ],
	varchar => [ 'varchar(20)', [ 'varchar(20)', 'varchar(40)', 'text' ], sub { pick("''", "'x'", sprintf("'w%d'", between(1, 15))) } ],
	char    => [ 'char(5)', [ 'char(5)', 'text' ], sub { pick("''", "'a'", sprintf("'c%d'", between(1, 9))) } ],
	bytea   => [ 'bytea', ['bytea'], sub { pick("'\\x'", "'\\x00'", "'\\x00ff5c'", sprintf("'\\x%04x'", between(1, 15))) } ],
	bool    => [ 'bool', ['bool'], sub { pick('true', 'false') } ],
	date    => [ 'date', ['date'], sub { pick("'infinity'", "'0044-03-15 BC'", sprintf("'2024-02-%02d'", between(1, 29))) } ],
	timestamp => [ 'timestamp', ['timestamp'], sub { sprintf("'2024-03-31 02:%02d:00.5'", between(0, 20)) } ],
	timestamptz => [ 'timestamptz', ['timestamptz'],
		sub { pick("'infinity'", "'0001-01-01 00:00:00+00 BC'", "'2024-03-31 02:30:00.123456+02'", sprintf("'2024-10-27 0%d:30:00+01'", between(0, 9))) } ],
	interval => [ 'interval', ['interval'],
		sub { pick("'1 day'", "'24 hours'", "'-1 mon +2 days'", sprintf("'%d min'", between(1, 9))) },
		sub { pick("'1 day'", "'-1 mon +2 days'", sprintf("'%d min'", between(1, 9))) } ],
	uuid => [ 'uuid', ['uuid'], sub { sprintf("'00000000-0000-4000-8000-%012d'", between(1, 20)) } ],
	jsonb => [ 'jsonb', ['jsonb'],
		sub { pick("'null'", "'{}'", q('{"a": 1.0}'), q('{"a": 1.00}'), q('[1, "two", null]'), sprintf(q('{"k": %d}'), between(1, 15))) },
		sub { pick("'null'", "'{}'", q('{"a": 1.0}'), q('[1, "two", null]'), sprintf(q('{"k": %d}'), between(1, 15))) } ],
	ints => [ 'int[]', [ 'int[]', 'bigint[]' ], sub { pick("'{}'", "'{1,NULL,3}'", "'[2:3]={1,2}'", "'{{1,2},{3,4}}'", sprintf("'{%d}'", between(1, 9))) } ],
	texts => [ 'text[]', ['text[]'], sub { pick("'{}'", q('{"",NULL,"NULL"}'), q(E'{"a\\\\"b","c,d"}'), sprintf("'{t%d}'", between(1, 9))) } ],
	mood  => [ 'w.mood', ['w.mood'], sub { pick(map { quoted($_) } 'sad', 'ok', 'very happy') } ],
	small_number => [ 'w.small_number', [ 'w.small_number', 'int' ], sub { between(0, 25) } ],
	inet  => [ 'inet', ['inet'], sub { pick("'::1'", "'10.0.0.0/8'", sprintf("'10.0.0.%d'", between(1, 9))) } ],
	bits  => [ 'bit(3)', [ 'bit(3)', 'varbit' ], sub { pick("B'000'", "B'101'", "B'111'") } ],
	range => [ 'int4range', ['int4range'], sub { pick("'empty'", "'(,5)'", sprintf("'[%d,20)'", between(1, 9))) } ],
	pair  => [ 'w.pair', ['w.pair'], sub { pick("ROW(NULL, NULL)::w.pair", sprintf("ROW(%d, 'p')::w.pair", between(1, 5))) } ],
	large => [ 'text', ['text'], sub { chance(0.3) ? quoted('short') : long_text() } ],
	# No equality operator: such rows are compared by their text.
	json  => [ 'json', ['json'], sub { pick("'null'", q('{"a":1, "a":2}'), sprintf("'[%d]'", between(1, 9))) } ],
	point => [ 'point', ['point'], sub { sprintf("'(%d,2)'", between(1, 5)) } ],
	points => [ 'point[]', ['point[]'], sub { sprintf(q('{"(%d,2)"}'), between(1, 5)) } ],
	tsvector => [ 'tsvector', ['tsvector'], sub { pick("''", "'a:1 b:2'", sprintf("'w%d'", between(1, 9))) } ],
);

my @plain_types = grep { !/^(?:large|json|point|points|tsvector)$/ } sort keys %type;
my @key_types   = qw(int int int bigint text numeric uuid timestamptz bytea mood small_number date interval float8 char ints jsonb varchar);

# --- tables ----------------------------------------------------------------------------------

# Only what may stream in binary form: built-in types, the same on both sides.
my $is_binary;

sub _column
{
	my ($name, $kind, %opt) = @_;
	if ($is_binary)
	{
		$kind = 'int' if $kind =~ /^(?:mood|small_number|pair)$/;
		$opt{same_type} = 1;
	}
	my ($source, $targets, $value, $exact) = @{ $type{$kind} };
	my $plain = $opt{exact} && $exact ? $exact : $value;
	my $draw  = $opt{value} // $plain;
	return {
		name => $name, kind => $kind, type => $source, target_type => $opt{same_type} ? $source : pick(@$targets),
		not_null => $opt{not_null} // 0, external => $kind eq 'large' || $opt{external},
		value => sub { !$opt{not_null} && chance(0.15) ? 'NULL' : $draw->() },
	};
}

my $column_number = 0;

sub _columns
{
	my ($count, %opt) = @_;
	my @types = ($opt{odd} ? qw(json point points tsvector) : (), @plain_types);
	my @kinds = (shuffle @types)[ 0 .. $count - 1 ];
	push @kinds, 'large' if $opt{large} // chance(0.6);
	return map { $column_number++; _column(chance(0.1) ? qq{Col "$column_number"} : "c$column_number", $_, %opt) } @kinds;
}

# A number column k that has more values than others, so that bulk statements find many rows.
sub _number_key { return _column($_[0] // 'k', 'int', not_null => 1, value => sub { between(1, 80) }); }

my %maker = (
	one_key => sub {
		my @key = (_column('k', pick(@key_types), not_null => 1));
		return { columns => [ @key, _columns(3) ], key => ['k'] };
	},
	number_key => sub { return { columns => [ _number_key(), _columns(4) ], key => ['k'], identity_column => 1 } },
	composite_key => sub {
		my @key = map { _column("k$_", pick(@key_types), not_null => 1) } 1 .. between(2, 3);
		return { columns => [ _columns(1), @key, _columns(2) ], key => [ map { $_->{name} } reverse @key ] };
	},
	only_key => sub {
		my @key = map { _column("k$_", pick(@key_types), not_null => 1) } 1 .. 2;
		return { columns => \@key, key => [ 'k1', 'k2' ] };
	},
	scale_key => sub { return { columns => [ _column('k', 'numeric', not_null => 1), _columns(2) ], key => ['k'] } },
	long_key => sub {
		my $value = sub { my $n = between(1, 8); chance(0.2) ? "'k$n'" : "rpad('k$n', 2300, 'key')" };
		my @key = (_column('k', 'text', not_null => 1, external => 1, value => $value));
		push @key, _column('n', 'int', not_null => 1, value => sub { between(1, 3) }) if chance(0.5);
		return { columns => [ @key, _columns(2) ], key => [ map { $_->{name} } @key ] };
	},
	by_index => sub {
		# The identity is a unique index, the primary key is another one in the way.
		my @columns = (_number_key('id'), _column('code', pick(qw(int text numeric uuid)), not_null => 1), _columns(3));
		return { columns => \@columns, key => ['code'], primary => ['id'], identity => 'index', swaps => 'id' };
	},
	full_with_key => sub { return { columns => [ _number_key(), _columns(3) ], key => ['k'], identity => 'full' } },
	full_with_index => sub {
		return { columns => [ _column('k', 'int', not_null => 1), _columns(3, exact => 1) ], key => ['k'], primary => [], identity => 'full' };
	},
	no_key => sub { return { columns => [ _columns(between(2, 4), exact => 1, large => 0) ], key => [], identity => 'full' } },
	no_key_large => sub { return { columns => [ _columns(2, exact => 1, large => 1) ], key => [], identity => 'full' } },
	no_key_odd => sub { return { columns => [ _columns(2, exact => 1, odd => 1) ], key => [], identity => 'full', native => 0 } },
	two_unique => sub {
		my @columns = (_number_key(), _column('u', 'int', value => sub { between(1, 60) }), _column('active', 'bool'), _columns(2));
		return { columns => \@columns, key => ['k'], swaps => 'u',
			unique => [ 'CREATE UNIQUE INDEX ON %s (u)', chance(0.5) ? () : 'CREATE UNIQUE INDEX ON %s ((u %% 40)) WHERE active' ] };
	},
	into_partitions => sub {
		my @key = (_number_key(), chance(0.5) ? _column('k2', pick(qw(text date mood)), not_null => 1) : ());
		return { columns => [ @key, _columns(3) ], key => [ map { $_->{name} } @key ], target_partitions => pick('hash', 'range') };
	},
	no_key_into_partitions => sub {
		my @columns = (_column('k', 'int', same_type => 1), _columns(2, exact => 1));
		return { columns => \@columns, key => [], identity => 'full', target_partitions => pick('hash', 'range') };
	},
	# The target is partitioned by a column that is not in the source's key: its key has one column more.
	wider_target_key => sub {
		my @columns = (_number_key(), _column('region', 'int', not_null => 1, same_type => 1, value => sub { between(1, 60) }), _columns(2));
		return { columns => \@columns, key => ['k'], target_key => [ 'k', 'region' ], target_partitions => 'range',
			partition_by => 'region', native => 0 };
	},
	from_partitions => sub {
		my @columns = (_number_key(), _columns(3));
		return { columns => \@columns, key => ['k'], source_partitions => pick('hash', 'range') };
	},
	# A table that only the target has refers to it: TRUNCATE is refused there.
	referred_to => sub { return { columns => [ _number_key(), _columns(2) ], key => ['k'], native => 0, target_child => 1 } },
	# The number that the source made anew at an UPDATE has to arrive, though no UPDATE may set such a column.
	always_identity => sub {
		my $number = _column('number', 'bigint', same_type => 1);
		$number->{default} = 'GENERATED ALWAYS AS IDENTITY';
		return { columns => [ _number_key(), $number, _columns(2) ], key => ['k'] };
	},
	always_identity_key => sub {
		my $key = _column('k', 'bigint', same_type => 1, value => sub { between(1, 40) });
		$key->{default} = 'GENERATED ALWAYS AS IDENTITY';
		return { columns => [ $key, _columns(3) ], key => ['k'] };
	},
	no_key_always_identity => sub {
		my $number = _column('number', 'bigint', same_type => 1);
		$number->{default} = 'GENERATED ALWAYS AS IDENTITY';
		return { columns => [ $number, _columns(2, exact => 1) ], key => [], identity => 'full' };
	},
	# Published in part: rows that come to match the filter, or match it no more.
	filtered => sub { return { columns => [ _number_key(), _columns(3, large => 0) ], key => ['k'], where => 'k < 40' } },
	# A row that begins to match comes without its TOAST values: the server's own apply has NULL then.
	filtered_large => sub { return { columns => [ _number_key(), _columns(2, large => 1) ], key => ['k'], where => 'k < 40', native => 0 } },
	filtered_full => sub {
		my @columns = (_number_key(), _column('b', 'bool'), _columns(2, large => 1));
		return { columns => \@columns, key => ['k'], identity => 'full', where => pick('b', 'k < 30 OR b', 'b IS NULL'), native => 0 };
	},
	some_columns => sub {
		my @columns = (_columns(2), _number_key(), _columns(2));
		return { columns => \@columns, key => ['k'], listed => [ shuffle 'k', map { $_->{name} } @columns[ 1, $#columns ] ] };
	},
	# A trigger that fires here, too: changes are applied one by one.
	fires_trigger => sub { return { columns => [ _number_key(), _columns(3) ], key => ['k'], trigger => 1 } },
	generated => sub {
		my $double = { name => 'double', kind => 'int', type => 'int', target_type => 'int', not_null => 0, external => 0,
			default => 'GENERATED ALWAYS AS (k * 2) STORED', value => sub { 0 } };
		return { columns => [ _number_key(), $double, _columns(2) ], key => ['k'] };
	},
	# Keys that are equal and do not look alike, by the column's collation.
	any_case_key => sub {
		my $value = sub { quoted(pick(qw(ab aB Ab AB cd cD CD ef eF Ef EF gh GH))) };
		my $key = _column('k', 'text', not_null => 1, value => $value);
		$key->{type} = $key->{target_type} = 'text COLLATE w.any_case';
		return { columns => [ $key, _columns(2) ], key => ['k'] };
	},
	# Not enforced while replicating: to the target this is no unique index.
	deferrable_target_key => sub { return { columns => [ _number_key(), _columns(2) ], key => ['k'], target_deferrable => 1, native => 0 } },
	exclusion => sub {
		my $range = _column('r', 'range', value => sub { my $from = between(1, 40); "'[$from," . ($from + between(0, 3)) . ")'" });
		return { columns => [ _number_key(), $range, _columns(2) ], key => ['k'], unique => ['ALTER TABLE %s ADD EXCLUDE USING gist (r WITH &&)'] };
	},
	# The source checks at commit only; the target at once.
	deferred_unique => sub {
		my @columns = (_number_key(), _column('u', 'int', value => sub { between(1, 60) }), _columns(2));
		return { columns => \@columns, key => ['k'], swaps => 'u', swaps_directly => 1, native => 0, may_fail => 1,
			source_unique => ['ALTER TABLE %s ADD UNIQUE (u) DEFERRABLE INITIALLY DEFERRED'], target_unique => ['CREATE UNIQUE INDEX ON %s (u)'] };
	},
	# Published leaf by leaf into a table with the same leaves.
	leaf_by_leaf => sub {
		my $how = pick('hash', 'range');
		my @columns = (_number_key(), map { $_->{target_type} = $_->{type}; $_ } _columns(2));
		$columns[0]{target_type} = 'int';
		return { columns => \@columns, key => ['k'], source_partitions => $how, target_partitions => $how, by_leaf => 1 };
	},
	inherited => sub { return { columns => [ _number_key(), _columns(2) ], key => ['k'], heir => 1 } },
	family => sub { return { columns => [ _number_key(), _columns(2) ], key => ['k'], children => 1 } },
);

sub _make_table
{
	my ($world, $kind) = @_;
	$column_number = 0;
	my $it = $maker{$kind}->();
	%$it = (native => 1, identity => 'default', unique => [], %$it, kind => $kind, name => "$world->{schema}.$kind");
	$it->{primary} //= $it->{key};
	$it->{spare} = [];
	$it->{extra} = [ $kind =~ /^(?:only_key|leaf_by_leaf)$/ ? () : grep { chance(0.4) } "extra text NOT NULL DEFAULT 'here'", 'extra_number serial',
		'extra_sum int GENERATED ALWAYS AS (7 * 6) STORED' ];
	# Columns that the target has from the start, and the source gets later.
	if (chance(0.7) && $kind !~ /partitions|full_with_index|family|some_columns|inherited|leaf_by_leaf/)
	{
		my $column = _column('added', pick(qw(int text jsonb)), same_type => 1, exact => 1);
		$column->{default} = 'DEFAULT ' . $column->{value}->();
		$it->{spare} = [$column];
	}
	# Few rows to a block, in two ways: with room for row versions, and without.
	if ($world->{opt}{many_blocks})
	{
		$it->{fillfactor} = 10 if chance(0.5) && !$it->{source_partitions};
		push @{ $it->{columns} }, { name => 'pad', kind => 'text', type => 'text', target_type => 'text', not_null => 0, external => 0,
			value => sub { sprintf("rpad('p%d', %d, 'pad')", between(1, 3), pick(10, 500, 1500, 1500)) } } unless $kind eq 'only_key';
	}
	# Where all columns find the row, the server's own replication compares those that only the target has, too.
	$it->{native} = 0 if !@{ $it->{primary} } && @{ $it->{extra} } + @{ $it->{spare} };
	return $it;
}

sub make_world
{
	my ($schema, %opt) = @_;
	my $world = { schema => $schema, opt => \%opt, tables => [] };
	$is_binary = $opt{binary};
	my @kinds = $opt{kinds} ? @{ $opt{kinds} } : sort keys %maker;
	push @{ $world->{tables} }, _make_table($world, $_) for @kinds;
	for my $table (grep { $_->{children} } @{ $world->{tables} })
	{
		my $child = { kind => 'child', name => "$schema.child", native => 1, identity => 'default', unique => [], spare => [], extra => [],
			key => ['id'], primary => ['id'], parent => $table->{name},
			columns => [ _number_key('id'), _column('parent', 'int', same_type => 1, value => sub { between(1, 80) }), _columns(2) ] };
		$child->{columns}[1]{target_type} = $table->{columns}[0]{target_type};
		push @{ $world->{tables} }, $child;
		$table->{child} = $child->{name};
	}
	for my $table (grep { $_->{heir} } @{ $world->{tables} })
	{
		push @{ $world->{tables} }, { %$table, kind => 'heir', name => "$schema.heir", heir => 0, inherits => $table->{name}, extra => [] };
		$table->{extra} = [];
	}
	return $world;
}

sub tables_of { return @{ $_[0]{tables} }; }

sub name_of { return '"' . ($_[0] =~ s/"/""/gr) . '"'; }
sub names   { return join(', ', map { name_of($_) } @_); }

my $types = <<'SQL';
CREATE SCHEMA w;
CREATE TYPE w.mood AS ENUM ('sad', 'ok', 'very happy');
CREATE DOMAIN w.small_number AS int CHECK (VALUE >= 0);
CREATE COLLATION w.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE w.pair AS (a int, b text);
SQL

sub _partitions
{
	my ($table, $how, $at_target) = @_;
	my $base = $table->{name};
	return map { "CREATE TABLE ${base}_p$_ PARTITION OF $base FOR VALUES WITH (MODULUS 3, REMAINDER $_);\n" } 0 .. 2 if $how eq 'hash';
	# One of them was a table of its own once, with other columns.
	my $columns = join(', ', map { name_of($_->{name}) . " $_->{ $at_target ? 'target_type' : 'type' }" . ($_->{not_null} ? ' NOT NULL' : '') } reverse @{ $table->{columns} });
	return (
		$table->{source_partitions}
		? "CREATE TABLE ${base}_p0 (gone int, $columns);\nALTER TABLE ${base}_p0 DROP COLUMN gone;\n"
		  . "ALTER TABLE $base ATTACH PARTITION ${base}_p0 FOR VALUES FROM (MINVALUE) TO (10);\n"
		: "CREATE TABLE ${base}_p0 PARTITION OF $base FOR VALUES FROM (MINVALUE) TO (10);\n",
		"CREATE TABLE ${base}_p1 PARTITION OF $base FOR VALUES FROM (10) TO (40);\n",
		"CREATE TABLE ${base}_p2 PARTITION OF $base DEFAULT;\n");
}

sub _table_ddl
{
	my ($table, $at_target) = @_;
	my $name = $table->{name};
	my @columns = $at_target ? shuffle(@{ $table->{columns} }, @{ $table->{spare} }) : @{ $table->{columns} };
	@columns = grep { my $it = $_; grep { $_ eq $it->{name} } @{ $table->{listed} } } @columns if $at_target && $table->{listed};
	my @lines = map {
		join ' ', name_of($_->{name}), $at_target ? $_->{target_type} : $_->{type},
		  $_->{default} // (), $_->{not_null} ? 'NOT NULL' : ();
	} @columns;
	@lines = () if $table->{inherits};
	s/(?<= int)(?= NOT NULL)/ GENERATED BY DEFAULT AS IDENTITY/
	  for $table->{identity_column} && !$at_target ? grep { /^"k"/ } @lines : ();
	if ($at_target)
	{
		push @lines, @{ $table->{extra} };
		@lines = shuffle(@lines) unless $table->{inherits};
	}
	my @key = $at_target && $table->{target_key} ? @{ $table->{target_key} } : @{ $table->{primary} };
	push @lines, 'PRIMARY KEY (' . names(@key) . ')' . ($at_target && $table->{target_deferrable} ? ' DEFERRABLE' : '') if @key;
	push @lines, "FOREIGN KEY (parent) REFERENCES $table->{parent} ON UPDATE CASCADE ON DELETE CASCADE" if $table->{parent};
	my $how = $at_target ? $table->{target_partitions} : $table->{source_partitions};
	my $by  = name_of($table->{partition_by} // ($table->{key}[0] // 'k'));
	my $parent = $table->{inherits} ? " INHERITS ($table->{inherits})" : '';
	my $with = $table->{fillfactor} && !$at_target ? " WITH (fillfactor = $table->{fillfactor})" : '';
	my $sql = "CREATE TABLE $name (\n\t" . join(",\n\t", @lines) . ")$parent$with" . ($how ? " PARTITION BY $how ($by)" : '') . ";\n";
	$sql .= join '', _partitions($table, $how, $at_target) if $how;
	$sql .= "ALTER TABLE $name ALTER " . name_of($_->{name}) . " SET STORAGE EXTERNAL;\n" for grep { $_->{external} } @columns;

	if ($table->{identity} eq 'index' || $table->{kind} eq 'full_with_index')
	{
		my $index = "$table->{kind}_identity";
		$sql .= "CREATE UNIQUE INDEX $index ON $name (" . names(@{ $table->{key} }) . ");\n";
		$sql .= "ALTER TABLE $name REPLICA IDENTITY USING INDEX $index;\n" if $table->{identity} eq 'index';
	}
	$sql .= "ALTER TABLE $name REPLICA IDENTITY FULL;\n" if $table->{identity} eq 'full' && !$at_target;
	$sql .= sprintf("$_;\n", $name) for @{ $table->{unique} }, @{ $table->{ $at_target ? 'target_unique' : 'source_unique' } // [] };
	if ($at_target)
	{
		my @indexable = grep { $_->{kind} =~ /^(?:small|int|bigint|numeric|text|date|uuid|mood|bool)$/ } @columns;
		$sql .= "CREATE INDEX ON $name (" . names(pick(@indexable)->{name}) . ");\n" if @indexable && chance(0.5);
		$sql .= "CREATE TABLE ${name}_seen (k text);\n"
		  . "CREATE FUNCTION ${name}_see() RETURNS trigger LANGUAGE plpgsql AS "
		  . "'BEGIN INSERT INTO ${name}_seen VALUES (coalesce(NEW.k, OLD.k)); RETURN coalesce(NEW, OLD); END';\n"
		  . "CREATE TRIGGER see BEFORE INSERT OR UPDATE OR DELETE ON $name FOR EACH ROW EXECUTE FUNCTION ${name}_see();\n"
		  . "ALTER TABLE $name ENABLE ALWAYS TRIGGER see;\n" if $table->{trigger};
		$sql .= "CREATE TABLE ${name}_child (parent $table->{columns}[0]{target_type} REFERENCES $name);\n" if $table->{target_child};
	}
	return $sql;
}

sub _ddl
{
	my ($world, $at_target) = @_;
	return $types . "CREATE SCHEMA $world->{schema};\n" . join '', map { _table_ddl($_, $at_target) } tables_of($world);
}

sub source_ddl { return _ddl($_[0], 0); }
sub target_ddl { return _ddl($_[0], 1); }

# What the source has by now: ALTER TABLE may have been rolled back.
sub set_columns
{
	my ($table, @names) = @_;
	my %is_there = map { $_ => 1 } @names;
	push @{ $table->{columns} }, grep { $is_there{ $_->{name} } } @{ $table->{spare} };
	$table->{spare}   = [ grep { !$is_there{ $_->{name} } } @{ $table->{spare} } ];
	$table->{columns} = [ grep { $is_there{ $_->{name} } } @{ $table->{columns} } ];
	return;
}

# --- statements ------------------------------------------------------------------------------

sub _writable { return grep { ($_->{default} // '') !~ /^GENERATED/ } @{ $_[0]{columns} }; }

sub _row { return '(' . join(', ', map { $_->{value}->() } @_) . ')'; }

sub _insert
{
	my ($table, $count, $tail) = @_;
	my @columns = _writable($table);
	my @rows = map { _row(@columns) } 1 .. $count;
	my @copies = map { pick(@rows) } 1 .. (@{ $table->{key} } ? 0 : between(0, 2));
	return "INSERT INTO $table->{name} (" . names(map { $_->{name} } @columns) . ') VALUES ' . join(', ', @rows, @copies) . ($tail // '');
}

sub _column_named { my ($table, $name) = @_; return (grep { $_->{name} eq $name } @{ $table->{columns} })[0]; }

sub _key_columns { my ($table) = @_; return map { _column_named($table, $_) } @{ $table->{key} }; }

sub _is { my ($column, $value) = @_; return name_of($column->{name}) . ($value eq 'NULL' ? ' IS NULL' : " = $value"); }

# The comparison that a column of this kind has, if only by its text.
sub _matches
{
	my ($column) = @_;
	my $value = $column->{value}->();
	return name_of($column->{name}) . "::text = ($value)::$column->{type}::text"
	  if $column->{kind} =~ /^(?:json|points?|tsvector|large)$/ && $value ne 'NULL';
	return _is($column, $value);
}

sub _one_key { return join ' AND ', map { _is($_, $_->{value}->()) } _key_columns($_[0]); }

sub _one_row
{
	my ($table) = @_;
	return _one_key($table) if @{ $table->{key} };
	my $some = _matches(pick(@{ $table->{columns} }));
	return chance(0.6) ? "ctid = (SELECT min(ctid) FROM $table->{name} WHERE $some)"
	  : "ctid = (SELECT max(ctid) FROM $table->{name})";
}

sub _some_rows
{
	my ($table) = @_;
	return _one_row($table) if chance(0.6);
	my @key = _key_columns($table);
	return name_of($key[0]{name}) . pick(' < ', ' >= ') . $key[0]{value}->() if @key && chance(0.4) && $key[0]{kind} ne 'jsonb';
	return _matches(pick(@{ $table->{columns} })) if chance(0.8);
	return 'true';
}

sub _assign { return name_of($_[0]{name}) . ' = ' . $_[0]{value}->(); }

sub _update
{
	my ($table, $where) = @_;
	my %is_key = map { $_ => 1 } @{ $table->{key} };
	my @others = grep { !$is_key{ $_->{name} } } _writable($table);
	my ($always) = grep { !$is_key{ $_->{name} } && ($_->{default} // '') =~ /^GENERATED ALWAYS/ } @{ $table->{columns} };
	return "UPDATE $table->{name} SET " . name_of($always->{name}) . " = DEFAULT WHERE $where" if $always && chance(0.3);
	return _move($table, $where) unless @others;
	# Nothing changed is an update too.
	return "UPDATE $table->{name} SET " . join(', ', map { name_of($_->{name}) . ' = ' . name_of($_->{name}) } pick(@others)) . " WHERE $where" if chance(0.05);
	my @set = (shuffle @others)[ 0 .. between(0, $#others) ];
	return "UPDATE $table->{name} SET " . join(', ', map { _assign($_) } @set) . " WHERE $where";
}

# A change of the key, alone or with other columns.
sub _move
{
	my ($table, $where) = @_;
	my @key = _key_columns($table) or return _update($table, $where);
	return "UPDATE $table->{name} SET k = DEFAULT WHERE $where" if $table->{kind} eq 'always_identity_key';
	my @set = (pick(@key), chance(0.3) ? pick(_writable($table)) : ());
	pop @set if @set == 2 && $set[0] == $set[1];
	return "UPDATE $table->{name} SET " . join(', ', map { _assign($_) } @set) . " WHERE $where";
}

sub _swap
{
	my ($table) = @_;
	my ($column) = shuffle _key_columns($table);
	return (_move($table, _one_row($table))) unless $column && !$column->{default} && $column->{kind} =~ /^(?:int|bigint|numeric|text)$/ && !$column->{external};
	my ($a, $b) = ($column->{value}->(), $column->{value}->());
	my $spare = $column->{kind} eq 'text' ? "'swapping'" : '777';
	my $name  = name_of($column->{name});
	return map { "UPDATE $table->{name} SET $name = $_->[1] WHERE $name = $_->[0]" } [ $a, $spare ], [ $b, $a ], [ $spare, $b ];
}

# Two rows take each other's value in a unique index that is not the identity; or all rows the next one's.
sub _swap_unique
{
	my ($table) = @_;
	my $name = $table->{swaps};
	my ($a, $b) = (between(1, 60), between(1, 60));
	# Where the source looks at commit only, one statement does it, or two that are wrong in between.
	return "UPDATE $table->{name} SET $name = CASE WHEN $name = $a THEN $b ELSE $a END WHERE $name IN ($a, $b)" if $table->{swaps_directly} && chance(0.5);
	return ("UPDATE $table->{name} SET $name = $name + 1 WHERE $name < $a", "UPDATE $table->{name} SET $name = $name - 1 WHERE $name < $b")
	  if $table->{swaps_directly};
	my $rest = "WHERE $name BETWEEN 5000 AND 5999";
	return ("UPDATE $table->{name} SET $name = $name + 5000 WHERE $name IN ($a, $b)",
		"UPDATE $table->{name} SET $name = CASE WHEN $name = 5000 + $a THEN $b ELSE $a END $rest") if chance(0.6);
	return ("UPDATE $table->{name} SET $name = $name + 5000 WHERE $name < $a", "UPDATE $table->{name} SET $name = $name - 4999 $rest");
}

# All keys by one, there and perhaps back: chains of keys that others leave.
sub _shift
{
	my ($table) = @_;
	my ($column) = _key_columns($table);
	return (_move($table, _one_row($table))) if $column && $column->{default};
	return (_update($table, 'true')) unless $column && $column->{kind} =~ /^(?:int|numeric)$/;
	my ($name, $by, $where) = (name_of($column->{name}), between(1, 3), '< ' . between(5, 40));
	my @steps = ("UPDATE $table->{name} SET $name = $name + 1000 WHERE $name $where",
		"UPDATE $table->{name} SET $name = $name - 1000 + $by WHERE $name >= 900");
	push @steps, "UPDATE $table->{name} SET $name = $name - 1000 WHERE $name >= 900" if chance(0.3);
	return @steps;
}

sub _upsert
{
	my ($table) = @_;
	return (_insert($table, 1)) unless @{ $table->{key} } && !grep { $_->{default} } _key_columns($table);
	my %is_key = map { $_ => 1 } @{ $table->{key} };
	my @set = map { name_of($_->{name}) . ' = EXCLUDED.' . name_of($_->{name}) } grep { !$is_key{ $_->{name} } } _writable($table);
	return (_insert($table, 1, ' ON CONFLICT (' . names(@{ $table->{key} }) . ') DO ' . (@set ? 'UPDATE SET ' . join(', ', @set) : 'NOTHING')));
}

sub _delete_insert
{
	my ($table) = @_;
	my @columns = _writable($table);
	my @key = _key_columns($table);
	return ("DELETE FROM $table->{name} WHERE " . _one_row($table), _insert($table, 1)) if !@key || $key[0]{default};
	my %value = map { $_->{name} => $_->{value}->() } @columns;
	my $where = join ' AND ', map { _is($_, $value{ $_->{name} }) } @key;
	my @steps = ("DELETE FROM $table->{name} WHERE $where",
		"INSERT INTO $table->{name} (" . names(map { $_->{name} } @columns) . ') VALUES (' . join(', ', map { $value{ $_->{name} } } @columns) . ')');
	push @steps, _update($table, $where) if chance(0.4);
	push @steps, "DELETE FROM $table->{name} WHERE $where" if chance(0.2);
	return @steps;
}

# The same row again and again.
sub _hot_row
{
	my ($table) = @_;
	my $where = _one_row($table);
	return map { chance(0.1) ? _move($table, $where) : _update($table, $where) } 1 .. between(2, 12);
}

sub _truncate
{
	my ($world, $table) = @_;
	my @names = ($table->{name});
	push @names, $table->{child} if $table->{child};
	push @names, pick(grep { $_ != $table && !$_->{child} && !$_->{heir} } tables_of($world))->{name} if chance(0.4);
	my %seen;
	return 'TRUNCATE ' . join(', ', grep { !$seen{$_}++ } @names) . pick('', '', ' RESTART IDENTITY') . ($table->{child} && chance(0.5) ? ' CASCADE' : '');
}

sub _conflict { return @{ $_[0]{key} } ? ' ON CONFLICT DO NOTHING' : ''; }

sub _statements
{
	my ($world, $table) = @_;
	return _swap_unique($table) if $table->{swaps} && chance(0.15);
	my $roll = rand;
	return (_insert($table, between(1, 4), _conflict($table))) if $roll < 0.22;
	return (_update($table, _some_rows($table)))               if $roll < 0.44;
	return ('DELETE FROM ' . $table->{name} . ' WHERE ' . _some_rows($table)) if $roll < 0.53;
	return (_move($table, _some_rows($table)))                 if $roll < 0.62;
	return _swap($table)                                       if $roll < 0.67;
	return _shift($table)                                      if $roll < 0.71;
	return _upsert($table)                                     if $roll < 0.78;
	return _delete_insert($table)                              if $roll < 0.88;
	return _hot_row($table)                                    if $roll < 0.96;
	return (_insert($table, between(40, 90), _conflict($table))) if $roll < 0.99;
	return (_truncate($world, $table))                         if $world->{opt}{truncate} // 1;
	return (_insert($table, 2));
}

# A column of the source comes that the target has already.  None goes: that makes the table fail, until
# somebody does at the target what the source did.
sub _alter
{
	my ($table) = @_;
	my ($spare) = @{ $table->{spare} };
	return _insert($table, 1) if !$spare || $table->{native} && !@{ $table->{primary} };    # see _make_table()
	return "ALTER TABLE $table->{name} ADD COLUMN " . name_of($spare->{name}) . " $spare->{type} $spare->{default}";
}

sub random_rows
{
	my ($table, $count) = @_;
	my @columns = _writable($table);
	# One by one: a row that breaks a unique index must not take the others with it.
	return join '', map { _insert($table, 1) . ";\n" } 1 .. $count;
}

sub random_transaction
{
	my ($world) = @_;
	my @all   = tables_of($world);
	my $hot   = pick(@all);
	my $count = chance(0.35) ? 1 : between(2, 10);
	my @lines;
	my $alter = chance($world->{opt}{alter} // 0.01);
	for my $i (1 .. $count)
	{
		my $table = chance(0.5) ? $hot : pick(@all);
		if (chance(0.08))
		{
			push @lines, 'SAVEPOINT s', _statements($world, $table), _statements($world, pick(@all)), pick('ROLLBACK TO s', 'ROLLBACK TO s', 'RELEASE s');
			next;
		}
		push @lines, _statements($world, $table);
	}
	splice @lines, between(0, scalar @lines), 0, _alter($hot) if $alter;
	return "VACUUM FULL $hot->{name};\n" if chance($world->{opt}{rewrite} // 0);
	return join('', map { "$_;\n" } @lines) if @lines == 1;
	my @end = chance(0.07) ? ('ROLLBACK') : ('COMMIT');
	if (chance(0.04))
	{
		my $name = "'" . join('', map { pick('a'..'z') } 1 .. 12) . "'";
		@end = ("PREPARE TRANSACTION $name", pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED $name");
	}
	return join('', map { "$_;\n" } 'BEGIN', @lines, @end);
}

sub random_burst
{
	my ($world, $count) = @_;
	return join '', map { random_transaction($world) } 1 .. $count;
}

1;
