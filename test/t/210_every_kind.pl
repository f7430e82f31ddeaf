# Every kind of source table is copied into every kind of target table under load, and ends equal.
#
# What a copy relies on differs from table to table: what tells rows apart, what the changes carry, which
# index the target has to tell that a row comes twice, whether the rows of one table go to another one's
# partitions.  Each of these is tested alone elsewhere; a way that two of them do not get along would
# show here first.  All pairs of the two lists below are tables of two connectors, copied in chunks of
# one block by several workers while three sessions insert, update, change keys, delete, truncate and roll
# back to savepoints.  Then all of it once more, with a worker, the network and the server breaking down
# in the middle.

use strict;
use warnings;

use lib 'test/perl';
use IPC::Run ();
use LiveSync;
use PostgreSQL::Test::Utils;
use Test::More;

# Much is to be done, and other tests may run beside this one.
use constant PATIENCE => 600;

my ($source, $target) = pair(
	source_conf => "autovacuum = off\ndeadlock_timeout = 50ms\nlog_min_messages = fatal\n",
	target_conf => "livesync.chunk_size = '8kB'\n");

# --- the source's side -----------------------------------------------------------------------

# Every table has these columns, which the load writes to, and perhaps others.
my @common = qw(id n big pad);

# columns: further ones.  key: what the constraint says.  then: statements, with %s for the table.
# in: the publication.  where: what is published.  is: parts that are tables at the target, by their suffix.
my %source_kind = (
	plain     => { key => 'PRIMARY KEY (id)' },
	composite => { key => 'PRIMARY KEY (part, id)', columns => { part => "text NOT NULL DEFAULT 'a'" } },
	by_index  => { then => ['CREATE UNIQUE INDEX by_index_id ON %s (id)', 'ALTER TABLE %s REPLICA IDENTITY USING INDEX by_index_id'] },
	full      => { key => 'PRIMARY KEY (id)', then => ['ALTER TABLE %s REPLICA IDENTITY FULL'] },
	keyless   => { then => ['ALTER TABLE %s REPLICA IDENTITY FULL'] },
	nothing   => { then => ['ALTER TABLE %s REPLICA IDENTITY NOTHING'], in => 'inserts' },
	inserts   => { key => 'PRIMARY KEY (id)', in => 'inserts' },
	by_leaf   => { key => 'PRIMARY KEY (id)', partitions => 1, is => [ '_low', '_high' ] },
	by_root   => { key => 'PRIMARY KEY (id)', partitions => 1, in => 'root' },
	family    => {
		key  => 'PRIMARY KEY (id)',
		then => [ 'CREATE TABLE %1$s_child (PRIMARY KEY (id)) INHERITS (%1$s)', 'INSERT INTO %s_child (id, n) SELECT i, 1 FROM generate_series(500, 540) i' ],
		is   => [ '', '_child' ]
	},
	empty    => { key => 'PRIMARY KEY (id)', rows => 0 },
	one_page => { key => 'PRIMARY KEY (id)', rows => 5 },
	dropped  => {
		key  => 'PRIMARY KEY (id)',
		drop => { gone => 'bigint DEFAULT 7', gone_too => "text DEFAULT 'x'" },
	},
	generated => {
		key     => 'PRIMARY KEY (id)',
		columns => { twice => 'int GENERATED ALWAYS AS (n * 2) STORED', number => 'bigint GENERATED ALWAYS AS IDENTITY' },
	},
	types => {
		key     => 'PRIMARY KEY (id)',
		columns => {
			mood    => "w.mood DEFAULT 'very happy'",
			count   => 'w.positive DEFAULT 7',
			pair    => "w.pair DEFAULT ROW(NULL, 'p, q')",
			range   => "int4range DEFAULT '[1,5)'",
			texts   => q(text[] DEFAULT '{"a,b",NULL,"\"\\\\"}'),
			moods   => "w.mood[] DEFAULT '{sad}'",
			store   => q(w.hstore DEFAULT 'a=>1, b=>NULL'),
			anycase => "w.citext DEFAULT 'AbC'",
			bytes   => q(bytea DEFAULT '\x00ff5c'),
			at      => "timestamptz DEFAULT '2024-02-29 12:00+05'",
			class   => "regclass DEFAULT 'w.mine'",
			classes => "regtype[] DEFAULT '{w.mood,int4}'",
			doc     => q(jsonb DEFAULT '{"a": [1.0, null]}'),
		},
	},
	filtered    => { key => 'PRIMARY KEY (id)', where => 'id % 3 > 0' },
	two_filters => { key => 'PRIMARY KEY (id)', where => 'id < 70', or => 'id % 2 = 0' },
	some_columns => { key => 'PRIMARY KEY (id)', columns => { hidden => 'int DEFAULT 1' }, listed => 1 },
);

# --- the target's side -----------------------------------------------------------------------

# Each makes the table of a source kind: its name, columns ([name, type] in order), and the columns of the key.
my %target_kind = (
	created    => sub { return '' },
	same       => sub { return make_target(@_) },
	reordered  => sub {
		my ($name, $columns, $key) = @_;
		return make_target($name, [ [ 'first', "text NOT NULL DEFAULT 'here'" ], reverse(@$columns), [ 'last', 'serial' ] ], $key);
	},
	wider => sub {
		my ($name, $columns, $key) = @_;
		my %wider = (id => 'bigint NOT NULL', n => 'numeric', number => 'numeric', count => 'bigint', pad => 'text', at => 'timestamptz');
		return make_target($name, [ map { [ $_->[0], $wider{ $_->[0] } // $_->[1] ] } @$columns ], $key);
	},
	partitioned => sub {
		my ($name, $columns, $key) = @_;
		return make_target($name, $columns, $key, ' PARTITION BY HASH (id)')
		  . join '', map { "CREATE TABLE ${name}_p$_ PARTITION OF $name FOR VALUES WITH (MODULUS 3, REMAINDER $_);\n" } 0 .. 2;
	},
	indexed => sub {
		my ($name, $columns, $key) = @_;
		return make_target(@_) . "CREATE INDEX ON $name (n);\nCREATE INDEX ON $name (md5(big)) WHERE n > 0;\n"
		  . (@$key ? "CREATE UNIQUE INDEX ON $name (" . join(', ', map { "md5($_\::text)" } @$key) . ");\n" : '');
	},
	bare       => sub { return make_target($_[0], $_[1], []) },
	deferred   => sub { return make_target($_[0], $_[1], $_[2], '', ' DEFERRABLE') },
	triggered  => sub {
		my ($name) = @_;
		return make_target(@_) . "CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON $name FOR EACH ROW EXECUTE FUNCTION w.note();\n"
		  . "ALTER TABLE $name ENABLE ALWAYS TRIGGER note;\n";
	},
	moved => sub { my ($name, @rest) = @_; return make_target($name =~ s/^moved\./elsewhere./r, @rest) },
);

sub make_target
{
	my ($name, $columns, $key, $tail, $how) = @_;
	my @lines = map { "$_->[0] $_->[1]" } @$columns;
	push @lines, 'PRIMARY KEY (' . join(', ', @$key) . ')' . ($how // '') if @$key;
	return "CREATE TABLE $name (" . join(', ', @lines) . ')' . ($tail // '') . ";\n";
}

# By a file: a script that ends early leaves its writer with a broken pipe, and no word of why.
my $scripts_run = 0;

sub run_script
{
	my ($node, $sql) = @_;
	my $file = $node->basedir . '/script' . ++$scripts_run . '.sql';
	append_to_file($file, $sql);
	return $node->safe_psql('postgres', "\\i $file");
}

# --- the pairs -------------------------------------------------------------------------------

my @types = split /^/, <<'SQL';
CREATE SCHEMA w;
CREATE TYPE w.mood AS ENUM ('sad', 'ok', 'very happy');
CREATE DOMAIN w.positive AS int CHECK (VALUE > 0);
CREATE TYPE w.pair AS (a int, b text);
CREATE TABLE w.mine ();
CREATE EXTENSION hstore SCHEMA w;
CREATE EXTENSION citext SCHEMA w;
CREATE FUNCTION w.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN coalesce(NEW, OLD); END';
SQL

sub columns_of
{
	my ($kind) = @_;
	my $more = $kind->{columns} // {};
	return ([ 'id', 'int NOT NULL' ], [ 'n', 'int' ], [ 'big', 'text' ], [ 'pad', "text DEFAULT repeat('x', 300)" ],
		map { [ $_, $more->{$_} ] } sort keys %$more);
}

sub source_sql
{
	my ($name, $kind) = @_;
	my $drop = $kind->{drop} // {};
	my @columns = ((map { [ $_, $drop->{$_} ] } sort keys %$drop), columns_of($kind));
	my $sql = "CREATE TABLE $name (" . join(', ', (map { "$_->[0] $_->[1]" } @columns), $kind->{key} // ()) . ')'
	  . ($kind->{partitions} ? ' PARTITION BY RANGE (id)' : '') . ";\n";
	$sql .= "CREATE TABLE ${name}_low PARTITION OF $name FOR VALUES FROM (MINVALUE) TO (60);\n"
	  . "CREATE TABLE ${name}_high PARTITION OF $name FOR VALUES FROM (60) TO (MAXVALUE);\n" if $kind->{partitions};
	$sql .= "ALTER TABLE $name ALTER big SET STORAGE EXTERNAL;\n";
	$sql .= "INSERT INTO $name (id, n, big) SELECT i, 0, CASE WHEN i % 5 = 0 THEN repeat(i::text, 900) END FROM generate_series(1, "
	  . ($kind->{rows} // 100) . ") i;\n";
	# Room in early blocks, to which updates move rows.
	$sql .= "DELETE FROM $name WHERE id % 10 = 3;\n";
	$sql .= "ALTER TABLE $name DROP COLUMN $_;\n" for sort keys %$drop;
	$sql .= sprintf("$_;\n", $name) for @{ $kind->{then} // [] };
	return $sql;
}

# The tables that the target gets of it, and what of them is compared.
sub parts
{
	my ($name, $kind) = @_;
	my @columns = grep { !$kind->{listed} || $_->[0] ne 'hidden' } columns_of($kind);
	# A generated column is not sent, and so not made.
	@columns = grep { $_->[1] !~ /STORED/ } @columns if $name =~ /^created/;
	my @key = ($kind->{key} // '') =~ /\((.*)\)/ ? split(/, /, $1) : $kind->{then} && "@{ $kind->{then} }" =~ /USING INDEX/ ? 'id' : ();
	my $where = join ' OR ', grep { defined } @{$kind}{qw(where or)};
	my $only = $kind->{partitions} && !$kind->{is} ? '' : 'ONLY ';
	return map {
		{ name => "$name$_", source => "$only$name$_", target => ("$name$_" =~ s/^moved\./elsewhere./r),
			columns => \@columns, key => \@key, where => $where || 'true' }
	} @{ $kind->{is} // [''] };
}

my @pairs = map {
	my $to = $_;
	map { { to => $to, name => "$to.$_", kind => $source_kind{$_}, parts => [ parts("$to.$_", $source_kind{$_}) ] } } sort keys %source_kind
} sort keys %target_kind;

sub make_source
{
	my $sql = join '', @types, map { "CREATE SCHEMA $_;\n" } sort keys %target_kind;
	my (%published, %actions);
	for my $pair (@pairs)
	{
		my $kind = $pair->{kind};
		my ($whose, $in) = ($pair->{to} eq 'moved' ? 'moved' : 'all', $kind->{in} // 'changes');
		my $listed = $kind->{listed} ? ' (id, n, big, pad)' : '';
		$sql .= source_sql($pair->{name}, $kind);
		push @{ $published{"${whose}_$in"} }, "$pair->{name}$listed" . ($kind->{where} ? " WHERE ($kind->{where})" : '');
		push @{ $published{"${whose}_more"} }, "$pair->{name} WHERE ($kind->{or})" if $kind->{or};
	}
	my %with = (root => ' WITH (publish_via_partition_root)', inserts => " WITH (publish = 'insert, truncate')");
	$sql .= "CREATE PUBLICATION $_ FOR TABLE " . join(', ', @{ $published{$_} }) . ($with{ s/^.*_//r } // '') . ";\n" for sort keys %published;
	run_script($source, "$sql VACUUM;");
	return sort keys %published;
}

sub make_targets
{
	my $sql = join '', map { "CREATE SCHEMA $_;\n" } 'elsewhere', grep { $_ ne 'moved' } sort keys %target_kind;
	for my $pair (@pairs)
	{
		$sql .= $target_kind{ $pair->{to} }->($_->{name}, $_->{columns}, $_->{key}) for @{ $pair->{parts} };
	}
	run_script($target, $sql);
	return;
}

# --- the load --------------------------------------------------------------------------------

# One change of one table; what fails is rolled back alone, and so is one in five that does not.
my $load = <<'SQL';
CREATE TABLE load_table (number serial, name text, only_inserts bool, truncates bool);
CREATE TABLE load_end (at timestamptz);

CREATE FUNCTION change(t load_table) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	a int := random() * 140;
	b int := random() * 140;
	roll float := CASE WHEN t.only_inserts THEN 0 ELSE random() END;
BEGIN
	IF t.truncates AND random() < 0.01 THEN
		EXECUTE format('TRUNCATE %s', t.name);
	ELSIF t.only_inserts AND random() < 0.7 THEN
		RETURN;		-- nothing would make it smaller again
	ELSIF roll < 0.2 THEN
		EXECUTE format('INSERT INTO %s (id, n, big) VALUES ($1, $2, CASE WHEN $2 < 40 THEN repeat($1::text, 900) END), ($2 + 1000, 0, NULL)', t.name) USING a, b;
	ELSIF roll < 0.5 THEN
		EXECUTE format('UPDATE %s SET n = n + 1 WHERE id BETWEEN $1 AND $1 + 5', t.name) USING a;
	ELSIF roll < 0.6 THEN
		EXECUTE format('UPDATE %s SET big = repeat($2::text, 800) WHERE id = $1', t.name) USING a, b;
	ELSIF roll < 0.8 THEN
		EXECUTE format('UPDATE %s SET id = $2, n = n + 1 WHERE id = $1', t.name) USING a, b;
	ELSE
		EXECUTE format('DELETE FROM %s WHERE id IN ($1, $2, $1 + 1000)', t.name) USING a, b;
	END IF;
	IF random() < 0.2 THEN
		RAISE 'take it back';
	END IF;
EXCEPTION WHEN OTHERS THEN
	NULL;
END $$;

CREATE PROCEDURE change_until_end() LANGUAGE plpgsql AS $$
DECLARE
	t load_table;
	tables int := (SELECT count(*) FROM load_table);
BEGIN
	WHILE NOT EXISTS (SELECT FROM load_end) LOOP
		FOR i IN 1 .. 1 + random() * 4 LOOP
			SELECT * INTO t FROM load_table WHERE number = 1 + floor(random() * tables);
			PERFORM change(t);
		END LOOP;
		COMMIT;
		PERFORM pg_sleep(0.001);
	END LOOP;
END $$;
SQL

sub start_load
{
	$source->safe_psql('postgres', 'TRUNCATE load_end');
	return map {
		IPC::Run::start([ 'psql', '-Xq', '-d', $source->connstr('postgres'), '-c', "SET lock_timeout = '1s'", '-c', 'CALL change_until_end()' ],
			'<', \undef, '>&', \my $output)
	} 1 .. 3;
}

sub stop_load
{
	my (@load) = @_;
	$source->safe_psql('postgres', 'INSERT INTO load_end VALUES (now())');
	$_->finish for @load;
	return;
}

# --- both rounds -----------------------------------------------------------------------------

sub different_tables
{
	my %sum;
	for my $side ([ $source, 'source' ], [ $target, 'target' ])
	{
		my ($node, $which) = @$side;
		my $sql = join ' UNION ALL ', map {
			my $where = $which eq 'source' ? $_->{where} : 'true';
			"SELECT '$_->{name}', count(*), md5(string_agg(h, '' ORDER BY h COLLATE \"C\")) FROM (SELECT md5(ROW("
			  . join(', ', map { $_->[0] } @{ $_->{columns} }) . ")::text) h FROM $_->{$which} WHERE $where) x"
		} map { @{ $_->{parts} } } @pairs;
		push @{ $sum{ (split /\|/)[0] } }, $_ for split /\n/, run_script($node, $sql);
	}
	return grep { my $sums = $sum{ $_->{name} }; @$sums != 2 || $sums->[0] ne $sums->[1] } map { @{ $_->{parts} } } @pairs;
}

sub chunks_done { return $target->safe_psql('postgres', 'SELECT count(*) FROM livesync.chunk WHERE done_at IS NOT NULL'); }

sub wait_for_chunks
{
	my ($more) = @_;
	my $sofar = chunks_done();
	return poll($target, 'postgres', "SELECT count(*) >= $sofar + $more FROM livesync.chunk WHERE done_at IS NOT NULL", 't', PATIENCE);
}

sub copy_all
{
	my ($name, $publications, $break_down) = @_;
	make_targets();
	my @load = start_load();
	create_connector($target, 'postgres', 'all', conninfo($source), publications => [ grep { /^all/ } @$publications ], copy_workers => 4);
	create_connector($target, 'postgres', 'moved', conninfo($source), publications => [ grep { /^moved/ } @$publications ],
		copy_workers => 2, target_schema => 'elsewhere');
	$break_down->() if $break_down;
	poll($target, 'postgres', q{SELECT count(*) > 100 AND bool_and(state IN ('catching_up', 'streaming')) FROM livesync.tables}, 't', PATIENCE);
	stop_load(@load);
	wait_sync($source, $target, $_, seconds => PATIENCE) for 'all', 'moved';

	my @different = different_tables();
	ok(!@different, "$name: " . @pairs . ' pairs of tables are equal');
	same_tables($source, 'postgres', $target, 'postgres',
		[ { %$_, columns => [ map { $_->[0] } @{ $_->{columns} } ] } ], $_->{name}) for splice @different, 0, 5;
	is($target->safe_psql('postgres', "SELECT source_table, detail FROM livesync.events WHERE event = 'table_failed'"), '', "$name: no table failed");
	diag($target->safe_psql('postgres', q{SELECT format('%s tables, %s chunks, %s restarts', (SELECT count(*) FROM livesync.tables), }
			  . q{(SELECT count(*) FROM livesync.chunk), (SELECT count(*) FROM livesync.events WHERE event = 'table_restarted'))}));
	return;
}

my @publications = make_source();
run_script($source, $load . 'INSERT INTO load_table (name, only_inserts, truncates) VALUES '
	  . join(', ', map { "('$_->{name}', " . (($_->{kind}{in} // '') eq 'inserts' ? 'true' : 'false') . ', ' . ($_->{to} eq 'same' ? 'true' : 'false') . ')' } @pairs));
$target->safe_psql('postgres', join '', @types);

copy_all('under load', \@publications);

for my $connector ('all', 'moved')
{
	$target->safe_psql('postgres', "SELECT livesync.pause_connector('$connector')");
	$target->safe_psql('postgres', "SELECT livesync.drop_connector('$connector')");
}
poll($target, 'postgres', 'SELECT count(*) = 0 FROM livesync.cleanup');
run_script($target, 'SET client_min_messages = warning; TRUNCATE livesync.event;' . join '', map { "DROP SCHEMA $_ CASCADE;\n" } 'elsewhere', grep { $_ ne 'moved' } sort keys %target_kind);

# In the middle of a chunk a worker dies, and all others with it; then the network goes; then the server.
copy_all('under load, with crashes', \@publications, sub {
	my $log = -s $target->logfile;
	wait_for_chunks(200);
	failpoint($target, 'chunk_loaded=crash');
	$target->wait_for_log(qr/failpoint "chunk_loaded" ends this process/, $log);
	end_of_crashes($target);
	wait_for_chunks(200);
	cut_connections($source);
	wait_for_chunks(200);
	$target->stop('immediate');
	$target->start;
});

check_logs($source, $target);
done_testing();
