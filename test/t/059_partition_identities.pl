# What is proved: a root that is published under its own name takes no harm from partitions with another replica identity
# than its own.  Where their changes say enough, they are applied; where they do not, the table is refused before its copy, or
# fails as soon as such a partition comes or its first such change, and the error names the partition and what to run.
#
# Why it matters: ALTER TABLE root REPLICA IDENTITY does not reach partitions, and new ones begin at DEFAULT.  The source
# describes such changes by the root's identity, but fills their old rows by the partition's: what is not in them comes as NULL.
# Who believes that finds no row, or writes NULL where a large value stood, and nothing says so.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

# Looks at the source are made when this test wants them, so that changes come before one.
my ($source, $target) = pair(target_conf => "livesync.poll_interval = '1h'\nlivesync.retry_delay = '100ms'\n");
my $db = 'postgres';

sub change { return $source->safe_psql($db, join('; ', @_)) }
sub ask { return $target->safe_psql($db, $_[0]) }

sub same
{
	my ($table, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return same_tables($source, $db, $target, $db, ["public.$table"], $name);
}

# A root of these columns and one partition, with such identities.
sub tree
{
	my ($root, $columns, $of_root, $of_leaf) = @_;
	return ("CREATE TABLE $root (id int NOT NULL, part int NOT NULL, b int NOT NULL, v text, doc text" . ($columns ? ", $columns" : '') . ') PARTITION BY LIST (part)',
		"ALTER TABLE $root ALTER doc SET STORAGE EXTERNAL",
		"CREATE TABLE ${root}_1 PARTITION OF $root FOR VALUES IN (1)",
		"CREATE UNIQUE INDEX ON $root (b, part)",
		($columns ? () : "ALTER TABLE ${root}_1 ADD PRIMARY KEY (id, part)"),
		"ALTER TABLE $root REPLICA IDENTITY " . sprintf($of_root, $root), "ALTER TABLE ${root}_1 REPLICA IDENTITY " . sprintf($of_leaf, "${root}_1"),
		"INSERT INTO $root SELECT i, 1, 1000 + i, 'first', CASE WHEN i % 2 = 1 THEN repeat(i::text, 10000) END FROM generate_series(1, 50) i");
}

# All that may happen to a row: columns of this key and that, alone and together, large values that stay and that go.
sub every_change
{
	my ($root) = @_;
	return ("UPDATE $root SET v = 'second' WHERE id % 3 = 0", "UPDATE $root SET id = id + 100 WHERE id IN (1, 2)", "UPDATE $root SET b = b + 5000 WHERE id IN (3, 4)",
		"UPDATE $root SET id = id + 100, b = b + 5000 WHERE id IN (5, 6)", "UPDATE $root SET id = id + 100, doc = NULL WHERE id IN (7, 8)",
		"DELETE FROM $root WHERE id IN (9, 10)", "UPDATE $root SET v = NULL WHERE id = 11", "INSERT INTO $root VALUES (9, 1, 9, 'again', repeat('z', 10000))",
		"UPDATE $root SET id = id + 200 WHERE id = 9");
}

my $key      = 'PRIMARY KEY (id, part)';
my %of_table = (
	full_over_key => [ $key, 'FULL', 'DEFAULT' ],
	key_over_full => [ $key, 'DEFAULT', 'FULL' ],
	index_over_full => [ $key, 'USING INDEX %s_b_part_idx', 'FULL' ],
	full_over_full => [ $key, 'FULL', 'FULL' ],
);
change(map { tree($_, @{ $of_table{$_} }) } sort keys %of_table);

# --- what says enough --------------------------------------------------------------------------

my @good = sort keys %of_table;
create_connector($target, $db, 'good', conninfo($source), tables => [ map { "public.$_" } @good ]);
wait_sync($source, $target, 'good');
change(every_change($_)) for @good;
wait_caught_up($source, $target, 'good');
same($_, "streamed: $_") for @good;

for my $table (@good)
{
	ask("SELECT livesync.pause_table('good', 'public.$table')");
	wait_state($target, $db, 'good', "public.$table", 'paused');
}
change("TRUNCATE $_", "INSERT INTO $_ SELECT i, 1, 1000 + i, 'first', CASE WHEN i % 2 = 1 THEN repeat(i::text, 10000) END FROM generate_series(1, 50) i", every_change($_)) for @good;
ask("SELECT livesync.resume_table('good', 'public.$_')") for @good;
wait_sync($source, $target, 'good');
same($_, "caught up with: $_") for @good;
is(ask("SELECT string_agg(source_table || ': ' || detail, '; ') FROM livesync.events WHERE event = 'table_failed'"), '', 'no table failed');

# --- what does not, and is there before the copy -----------------------------------------------

my $index = 'USING INDEX %s_b_part_idx';
my %refused = (
	none_over_key   => [ '',   'DEFAULT', 'DEFAULT', '(id, part)',         'nothing' ],
	none_over_full  => [ '',   'DEFAULT', 'FULL',    'all columns (FULL)', 'nothing' ],
	full_over_other => [ '',   'FULL',    'DEFAULT', '(id, part)',         'all columns (FULL)' ],
	key_over_index  => [ $key, 'DEFAULT', $index,    '(part, b)',          '(id, part)' ],
	index_over_key  => [ $key, $index,    'DEFAULT', '(id, part)',         '(part, b)' ],
	full_over_index => [ $key, 'FULL',    $index,    '(part, b)',          'all columns (FULL)' ],
);
my @refused = sort keys %refused;
change(map { tree($_, @{ $refused{$_} }) } @refused);
change('CREATE PUBLICATION inserts FOR TABLE none_over_key WITH (publish_via_partition_root, publish = $$insert$$)',
	'CREATE PUBLICATION leaves FOR TABLE key_over_index');

sub told
{
	my ($rest) = @_;
	return ask('SELECT object, detail, hint FROM livesync.check_source(' . quote_literal(conninfo($source)) . ", $rest) WHERE \"check\" = 'replica identity' AND status = 'error' ORDER BY 1");
}

# What the server says itself of a table without an identity goes first.
is(told("tables => '{" . join(',', map { "public.$_" } @refused, @good) . "}'") =~ s/^public\.none_.*\n?//mgr =~ s/\|Run.*//mgr =~ s/\n\z//r, <<'ROWS' =~ s/\n\z//r, 'check_source() tells of each');
public.full_over_index|partition "public.full_over_index_1" is identified by (part, b), the table that it is published under by all columns (FULL), so changes would not find their rows
public.full_over_other|partition "public.full_over_other_1" is identified by (id, part), the table that it is published under by all columns (FULL), so changes would not find their rows
public.index_over_key|partition "public.index_over_key_1" is identified by (id, part), the table that it is published under by (part, b), so changes would not find their rows
public.key_over_index|partition "public.key_over_index_1" is identified by (part, b), the table that it is published under by (id, part), so changes would not find their rows
ROWS
is(told("publications => '{$_}'"), '', "but not where it does no harm: $_") for 'inserts', 'leaves';

create_connector($target, $db, 'refused', conninfo($source), tables => [ map { "public.$_" } @refused ]);
for my $table (@refused)
{
	my ($error, $hint) = failure_of($target, $db, 'refused', "public.$table");
	my (undef, undef, undef, $leaf, $root) = @{ $refused{$table} };
	is($error, qq{a partition of source table "public.$table" has another replica identity ("public.${table}_1" is identified by $leaf, the table that it is published under by $root, so changes would not find their rows.)}, "refused: $table");
	my ($sql) = $hint =~ /^Run at the source.*: (ALTER TABLE .*?);.* then call livesync\.retry_table\(\)\.$/ or diag("$table: $hint");
	# for the others as well, as it says
	change($table =~ /^none/ ? ($sql, "ALTER TABLE ${table}_1 REPLICA IDENTITY FULL") : $sql =~ s/\.\.\..*/${table}_1_b_part_idx/r);
}
ask(q{SELECT livesync.refresh_connector('refused')});
retry_table($target, $db, 'refused', "public.$_") for @refused;
wait_sync($source, $target, 'refused');
change(every_change($_)) for @refused;
wait_caught_up($source, $target, 'refused');
same($_, "mended as the hint says: $_") for @refused;

# What fits because rows are found by the key does not where nothing here says that they are unique.
change(tree('bare', $key, 'FULL', 'FULL'), tree('bare_before', $key, 'FULL', 'DEFAULT'));
ask("CREATE TABLE $_ (id int NOT NULL, part int NOT NULL, b int, v text, doc text)") for qw(bare bare_before);
create_connector($target, $db, 'bare', conninfo($source), tables => [ 'public.bare', 'public.bare_before' ]);
my ($bare) = failure_of($target, $db, 'bare', 'public.bare_before');
like($bare, qr/"public\.bare_before_1" is identified by \(id, part\), on which the target has no unique index,/, 'refused: no unique index here');
ask('ALTER TABLE bare_before ADD PRIMARY KEY (id, part)');
retry_table($target, $db, 'bare', 'public.bare_before');
wait_sync($source, $target, 'bare');
change(every_change('bare'), every_change('bare_before'), 'ALTER TABLE bare_1 REPLICA IDENTITY DEFAULT', 'DELETE FROM bare WHERE id IN (20, 21)');
wait_caught_up($source, $target, 'bare');
same('bare_before', 'and with one');
ask(q{SELECT livesync.refresh_connector('bare')});
($bare) = failure_of($target, $db, 'bare', 'public.bare');
like($bare, qr/"public\.bare_1" is identified by \(id, part\), on which the target has no unique index,/, 'nor does it when it comes later');
change('ALTER TABLE bare_1 REPLICA IDENTITY FULL');
ask(q{SELECT livesync.resync_table('bare', 'public.bare')});
wait_sync($source, $target, 'bare');
same('bare', 'copied again: bare');

# --- what does not, and comes later ------------------------------------------------------------

# These stood as they should when they were copied.  What comes before a look is met by what applies it.
my %later = (
	delete_without_key => [ [ 'DEFAULT', 'DEFAULT' ], 'DELETE FROM %s WHERE id = 9', qr/without the values that find its row/ ],
	update_without_key => [ [ 'DEFAULT', 'DEFAULT' ], 'UPDATE %s SET v = $$second$$ WHERE id = 9', qr/without the values that find its row/ ],
	borrowed_key       => [ [ 'FULL',    'DEFAULT' ], 'UPDATE %s SET b = b + 5000 WHERE id = 9', qr/without the values that find its row/ ],
	update_other_key   => [ [ $index,    'DEFAULT' ], 'UPDATE %s SET id = id + 100, b = b + 5000 WHERE id = 9', qr/without column "b" of the key of its row \(A partition/ ],
	delete_other_key   => [ [ $index,    'DEFAULT' ], 'DELETE FROM %s WHERE id = 9', qr/without column "b" of the key of its row \(A partition/ ],
);
my @later = sort keys %later;
change(map { tree($_, '', $later{$_}[0][0] eq $index ? ($index, $index) : ('FULL', 'FULL')) } @later);
create_connector($target, $db, 'later', conninfo($source), tables => [ map { "public.$_" } @later ]);
for my $table (@later)
{
	# a worker that begins again looks by itself
	wait_sync($source, $target, 'later');
	ask(q{SELECT livesync.refresh_connector('later')});
	my ($identity, $change, $expected) = @{ $later{$table} };
	change("ALTER TABLE $table REPLICA IDENTITY " . sprintf($identity->[0], $table), "ALTER TABLE ${table}_1 REPLICA IDENTITY " . sprintf($identity->[1], "${table}_1"), sprintf($change, $table));
	my ($error, $hint) = failure_of($target, $db, 'later', "public.$table");
	like($error, $expected, "a change before the look: $table");
	like($hint, qr/partition.*livesync\.resync_table\(\)/, 'and what to do');
	my ($root, $leaf) = $identity->[0] eq $index ? ($index, $index) : ('FULL', 'FULL');
	change("ALTER TABLE $table REPLICA IDENTITY " . sprintf($root, $table), "ALTER TABLE ${table}_1 REPLICA IDENTITY " . sprintf($leaf, "${table}_1"));
	ask("SELECT livesync.resync_table('later', 'public.$table')");
}
wait_sync($source, $target, 'later');
same($_, "copied again: $_") for @later;

# Made as a partition, it has its root's columns and indexes, but not its identity.
change('CREATE TABLE delete_other_key_2 PARTITION OF delete_other_key (PRIMARY KEY (id, part)) FOR VALUES IN (2)', q{INSERT INTO delete_other_key VALUES (1, 2, 1, 'new')});
ask(q{SELECT livesync.refresh_connector('later')});
my ($error, $hint) = failure_of($target, $db, 'later', 'public.delete_other_key');
like($error, qr/has another replica identity \("public\.delete_other_key_2" is identified by \(id, part\), the table that it is published under by \(part, b\)/, 'a new partition is found by the next look');
is($hint, 'Run at the source: ALTER TABLE public.delete_other_key_2 REPLICA IDENTITY USING INDEX ...; of its unique index on (part, b); then call livesync.resync_table(), as changes may have been missed meanwhile.', 'and what to do');
change('UPDATE delete_other_key SET b = b + 1 WHERE part = 2', 'ALTER TABLE delete_other_key_2 REPLICA IDENTITY USING INDEX delete_other_key_2_b_part_idx');
ask(q{SELECT livesync.resync_table('later', 'public.delete_other_key')});
ask(q{SELECT livesync.refresh_connector('later')});
poll($target, $db, q{SELECT count(*) = 2 FROM livesync.events WHERE source_table = 'public.delete_other_key' AND event = 'table_resynced'});
wait_sync($source, $target, 'later');
same('delete_other_key', 'and mended');

check_logs($source, $target);
done_testing();
