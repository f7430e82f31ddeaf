# Values that stream in binary form arrive as they were, whatever the source and the target do meanwhile.
#
# The bytes of a value mean something only together with its type: taken for another one they are another
# value, and nothing says so.  And what is told apart by its bytes, as keys are when changes are folded,
# must never be compared across the two forms.  So here:
#
#  - all types that may come in that form, at their limits, through each kind of change and identity;
#  - tables that do not allow it join, change and leave: the connector goes to text and comes back;
#  - changes of one table wait in its spool in both forms, also while its target gets other types;
#  - the source refuses to send a value in that form.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = pair(
	source_init => [ '--encoding=UTF8', '--no-locale' ],
	target_init => [ '--encoding=UTF8', '--no-locale' ],
	source_conf => "log_replication_commands = on\nlogical_decoding_work_mem = 64kB\ntimezone = 'Asia/Kolkata'\ndatestyle = 'SQL, DMY'",
	target_conf => "timezone = 'America/St_Johns'\ndatestyle = 'German'\nintervalstyle = 'iso_8601'\nextra_float_digits = 0");

# both sides are read in one style, which is neither's own
$ENV{PGOPTIONS} = '-c datestyle=ISO -c timezone=UTC -c intervalstyle=postgres -c extra_float_digits=3';

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }
sub caught_up { return wait_caught_up($source, $target, $_[0] // 'c') }

# all has come, be it to wait in a spool
sub has_come
{
	my ($connector) = @_;
	my $lsn = source_lsn($source);
	return poll($source, 'postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name LIKE 'livesync\\_${connector}\\_%'");
}

sub same
{
	my ($name, @tables) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } @tables ], $name);
}

sub form      { my ($connector) = @_; return at_target("SELECT is_binary FROM livesync.connector WHERE name = '$connector'") eq 't' ? 'binary' : 'text' }
sub form_told { my ($connector) = @_; return at_target("SELECT string_agg(event, ' ' ORDER BY at) FROM livesync.events WHERE connector = '$connector' AND event LIKE 'stream_in%'") }

sub becomes
{
	my ($connector, $form) = @_;
	return poll($target, 'postgres', "SELECT is_binary FROM livesync.connector WHERE name = '$connector'", $form eq 'binary' ? 't' : 'f');
}

sub connect_again
{
	my ($connector) = @_;
	at_target("SELECT livesync.pause_connector('$connector')");
	at_target("SELECT livesync.resume_connector('$connector')");
	return has_come($connector);
}

sub allow_binary
{
	my ($how) = @_;
	at_target("ALTER SYSTEM SET livesync.binary_values = $how");
	at_target('SELECT pg_reload_conf()');
	return poll($target, 'postgres', 'SHOW livesync.binary_values', $how);
}

# --- every type at its limits ----------------------------------------------------------------

# There are releases (17.11 and 18.6 among them) that do not read what they write.
sub reads_empty_tsquery
{
	my $file = PostgreSQL::Test::Utils::tempdir() . '/tsquery';
	at_target("COPY (SELECT ''::tsquery) TO '$file' (FORMAT binary)");
	my $failed = $target->psql('postgres', "CREATE TEMPORARY TABLE q (q tsquery); COPY q FROM '$file' (FORMAT binary)");
	return $failed == 0;
}

my %limits = (
	bool        => [qw(true false)],
	'"char"'    => [ q('a'), q('') ],
	name        => [ q('a name'), q('äöü') ],
	bytea       => [ q('\x'), q('\x00ff5c27'), q(decode(repeat('00ff', 2000), 'hex')) ],
	int2        => [qw(-32768 32767 0)],
	int4        => [qw(-2147483648 2147483647 0)],
	int8        => [qw(-9223372036854775808 9223372036854775807 0)],
	oid         => [ '4294967295', '0' ],
	float4      => [ q('NaN'), q('-Infinity'), q('-0'), '1e-45', '3.4028235e38', '0.1' ],
	float8      => [ q('NaN'), q('Infinity'), q('-0'), '5e-324', '1.7976931348623157e308', '0.1' ],
	numeric     => [ q('NaN'), q('Infinity'), q('-Infinity'), '0.000', '1e131071', '-1e-16383', '1.10', "'1' || repeat('2', 500) || '.' || repeat('3', 500)" ],
	'numeric(9,2)' => [ '9999999.99', '-0.01', q('NaN') ],
	text        => [ q(''), q('äöü€𝄞'), q(E'two\nlines\\\\'), q(repeat('long ', 3000)) ],
	varchar     => [ q(''), q('x ') ],
	'varchar(7)' => [ q('seven c') ],
	'char(5)'   => [ q(''), q('ab'), q('äöü€𝄞') ],
	date        => [ q('infinity'), q('-infinity'), q('4713-01-01 BC'), q('5874897-12-31'), q('2000-01-01') ],
	time        => [ q('00:00'), q('24:00'), q('12:34:56.789012') ],
	timetz      => [ q('00:00+15:59'), q('24:00-15:59') ],
	timestamp   => [ q('infinity'), q('-infinity'), q('4713-01-01 00:00 BC'), q('294276-12-31 23:59:59.999999') ],
	'timestamp(0)' => [ q('2024-02-29 12:00:00') ],
	timestamptz => [ q('infinity'), q('-infinity'), q('4713-01-01 00:00+00 BC'), q('2024-03-31 02:30+01') ],
	interval    => [ q('178000000 years'), q('-178000000 years'), q('1 mon -1 day 00:00:00.000001'), q('24:00') ],
	uuid        => [ q('00000000-0000-0000-0000-000000000000'), q('ffffffff-ffff-ffff-ffff-ffffffffffff') ],
	json        => [ q('{"a":1, "a":2}'), q('null') ],
	jsonb       => [ q('null'), q('{}'), q('{"a": [1.00, "\u00e4", null]}'), q('1e1000') ],
	jsonpath    => [ q('$.a[*] ? (@ > 1)') ],
	inet        => [ q('::1'), q('10.1.2.3/8'), q('ffff:ffff::/128') ],
	cidr        => [ q('10.0.0.0/8'), q('::/0') ],
	macaddr     => [ q('ff:ff:ff:ff:ff:ff') ],
	macaddr8    => [ q('00:00:00:ff:fe:00:00:00') ],
	'bit(3)'    => [ q(B'101') ],
	varbit      => [ q(B''), q(B'1011011101111') ],
	point       => [ q('(1e300,-0)'), q('(NaN,Infinity)') ],
	line        => [ q('{1,2,3}') ],
	lseg        => [ q('[(1,2),(3,4)]') ],
	box         => [ q('(3,4),(1,2)') ],
	path        => [ q('[(1,2),(3,4)]'), q('((1,2),(3,4))') ],
	polygon     => [ q('((1,2),(3,4),(5,6))') ],
	circle      => [ q('<(1,2),3>') ],
	tsvector    => [ q(''), q('a:1A,2 b:16383') ],
	tsquery     => [ (reads_empty_tsquery() ? q('') : ()), q('a & (b | !c) <-> d:*') ],
	pg_lsn      => [ q('FFFFFFFF/FFFFFFFF'), q('0/0') ],
	xid8        => [ q('18446744073709551615') ],
	int2vector  => [ q('1 2 3') ],
	oidvector   => [ q('1 4294967295') ],
	'int4[]'    => [ q('{}'), q('{1,NULL,3}'), q('[2:3][5:5]={{1},{2}}') ],
	'text[]'    => [ q('{}'), q('{"",NULL,"NULL","a,b","\\\\"}') ],
	'numeric[]' => [ q('{NaN,1.00,-Infinity}') ],
	'timestamptz[]' => [ q('{infinity,2024-01-01 00:00+00}') ],
	'float8[]'  => [ q('{NaN,-0}') ],
	'jsonb[]'   => [ q('{null,"{\"a\": 1.0}"}') ],
	int4range   => [ q('empty'), q('(,)'), q|'[1,2147483647)'| ],
	numrange    => [ q|'(-Infinity,1.10]'|, q('[1.0,1.00]') ],
	tstzrange   => [ q|'[-infinity,infinity)'|, q|'(,2024-01-01 00:00+00]'| ],
	daterange   => [ q|'[2024-01-01,)'| ],
	int4multirange => [ q('{}'), q|'{[1,2],[5,)}'| ],
	'int4range[]'  => [ q|'{empty,"[1,3)"}'| ],
);

my @types  = sort keys %limits;
my $fields = join ', ', map { "c$_ $types[$_]" } 0 .. $#types;
my ($most) = sort { $b <=> $a } map { scalar @{ $limits{$_} } } @types;

sub row_of
{
	my ($number) = @_;
	return join ', ', map { my $values = $limits{$_}; my $v = $values->[ $number % @$values ]; "($v)::$_" } @types;
}

sub write_rows
{
	my ($table) = @_;
	at_source("INSERT INTO $table SELECT $_, @{[row_of($_)]}") for 1 .. $most;
	at_source("INSERT INTO $table (id) VALUES (100), (101)");
	# every value becomes another one, and comes back from a row of nothing
	at_source("UPDATE $table SET (@{[join ', ', map { qq(c$_) } 0 .. $#types]}) = (SELECT @{[row_of($_ + 1)]}) WHERE id = $_") for 2, 3, 101;
	at_source("UPDATE $table SET id = id + 50 WHERE id IN (1, 3)");
	at_source("DELETE FROM $table WHERE id IN (4, 100)");
	return;
}

my @all_types = qw(by_key by_whole_row by_triggers);
at_source("CREATE TABLE $_ (id int" . ($_ eq 'by_whole_row' ? '' : ' PRIMARY KEY') . ", $fields)") for @all_types;
at_source('ALTER TABLE by_whole_row REPLICA IDENTITY FULL');
create_connector($target, 'postgres', 'all_types', conninfo($source), tables => [ map { "public.$_" } @all_types ]);
wait_sync($source, $target, 'all_types');
# applied one by one, in the order of the source
at_target(<<'SQL');
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER fires AFTER INSERT OR UPDATE ON by_triggers FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE by_triggers ENABLE ALWAYS TRIGGER fires;
SQL
is(form('all_types'), 'binary', 'tables of built-in types stream in binary form');
write_rows($_) for @all_types;
caught_up('all_types');
same("all types at their limits: $_", $_) for @all_types;
is(at_target("SELECT count(*) FROM livesync.stats WHERE replayed_batches > 0 OR update_missing + delete_missing + insert_exists > 0"), '0', 'without a conflict');
is(at_source('SELECT count(*) FROM by_key WHERE c0 IS NULL'), '0', 'and all were written');
cmp_ok(at_source('SELECT count(*) FROM by_whole_row'), '>', 5, 'in every table');
like(slurp_file($source->logfile), qr/START_REPLICATION SLOT "\w*all_types\w*".*binary 'true'/, 'the source was asked for it');
is(form_told('all_types'), '', 'which is nothing to tell');

# Each of them as the key: found, folded and moved.
for my $type (grep { !/^(?:json|jsonpath|point|line|lseg|box|path|polygon|circle|int2vector)$/ } @types)
{
	at_source('CREATE TABLE k' . ($type =~ s/\W/_/gr) . " (k $type PRIMARY KEY, v int)");
}
my @keyed = split /\n/, at_source("SELECT relname FROM pg_class WHERE relname ~ '^k' AND relkind = 'r' ORDER BY 1");
create_connector($target, 'postgres', 'keys', conninfo($source), tables => [ map { "public.$_" } @keyed ]);
wait_sync($source, $target, 'keys');
is(form('keys'), 'binary', 'keys of all these types stream in binary form');
my %type_of = map { ('k' . (s/\W/_/gr) => $_) } @types;
for my $table (@keyed)
{
	my @values = grep { !/repeat/ } @{ $limits{ $type_of{$table} } };
	at_source("BEGIN; " . join('; ', map { "INSERT INTO $table VALUES (($values[$_])::$type_of{$table}, $_)" } 0 .. $#values)
		  . "; UPDATE $table SET v = v + 10; COMMIT");
	at_source("UPDATE $table SET v = v + 100; DELETE FROM $table WHERE k = ($values[0])::$type_of{$table}; INSERT INTO $table VALUES (($values[0])::$type_of{$table}, -1)");
	at_source("UPDATE $table SET k = ($values[0])::$type_of{$table}, v = -2 WHERE k = ($values[-1])::$type_of{$table}") if @values == 1;
}
caught_up('keys');
same('rows are found by each of them', @keyed);
is(at_target("SELECT count(*) FROM livesync.stats WHERE connector = 'keys' AND (replayed_batches > 0 OR update_missing + delete_missing + insert_exists > 0)"),
	'0', 'and none is missed');
at_target("SELECT livesync.pause_connector('$_')") for 'keys', 'all_types';

# --- large values ----------------------------------------------------------------------------

at_source(<<'SQL');
CREATE TABLE large (id numeric PRIMARY KEY, v int, doc text);
CREATE TABLE filtered (id timestamptz NOT NULL, v int NOT NULL, doc text);
CREATE UNIQUE INDEX filtered_key ON filtered (id, v);
ALTER TABLE filtered REPLICA IDENTITY USING INDEX filtered_key;
CREATE TABLE plain (id int PRIMARY KEY, v text);
CREATE TABLE bag (id int, v numeric, doc text);
ALTER TABLE bag REPLICA IDENTITY FULL;
ALTER TABLE large ALTER doc SET STORAGE EXTERNAL;
ALTER TABLE filtered ALTER doc SET STORAGE EXTERNAL;
ALTER TABLE bag ALTER doc SET STORAGE EXTERNAL;
CREATE PUBLICATION p FOR TABLE large, filtered WHERE (v > 0), plain, bag WITH (publish_via_partition_root);
SQL
create_connector($target, 'postgres', 'c', conninfo($source), publications => ['p']);
wait_sync($source, $target, 'c');
is(form('c'), 'binary', 'the connector streams in binary form');
my $doc = "repeat(md5('%s' || i), 200)";
at_source(<<"SQL");
INSERT INTO large SELECT i + 0.50, i, @{[sprintf $doc, 'a']} FROM generate_series(1, 20) i;
UPDATE large SET v = v + 1;
UPDATE large SET id = id + 100 WHERE v % 2 = 0;
INSERT INTO bag SELECT i % 3, 1.10, @{[sprintf $doc, 'b']} FROM generate_series(1, 9) i;
UPDATE bag SET v = v + 0.01 WHERE id = 1;
DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE id = 2 LIMIT 1);
INSERT INTO filtered SELECT to_timestamp(i * 1e6), -i, @{[sprintf $doc, 'c']} FROM generate_series(1, 9) i;
SQL
# its doc does not come: the row is fetched by its key
at_source('UPDATE filtered SET v = -v WHERE v > -5');
at_source(<<"SQL");
BEGIN;
INSERT INTO plain SELECT i, repeat('streamed ', 20) FROM generate_series(1, 2000) i;
SAVEPOINT s;
UPDATE plain SET v = 'never' WHERE id <= 1000;
ROLLBACK TO s;
UPDATE plain SET v = 'kept' WHERE id > 1990;
COMMIT;
SQL
caught_up();
poll($target, 'postgres', "SELECT livesync.wait_for_sync('c', '60 s')");
same('large values, also those that do not come', qw(large bag plain));
same_tables($source, 'postgres', $target, 'postgres', [ { source => 'public.filtered', where => 'v > 0' } ], 'and rows that begin to match a filter');

# --- both forms in one spool -----------------------------------------------------------------

my @spooled = qw(large bag plain);

sub park
{
	at_target("SELECT livesync.pause_table('c', 'public.$_')") for @spooled;
	wait_state($target, 'postgres', 'c', "public.$_", 'paused') for @spooled;
	return;
}

sub unpark
{
	at_target("SELECT livesync.resume_table('c', 'public.$_')") for @spooled;
	return poll($target, 'postgres', "SELECT livesync.wait_for_sync('c', '60 s')");
}

sub change_everything
{
	my ($number) = @_;
	at_source(<<"SQL");
INSERT INTO plain VALUES (5000, 'new $number') ON CONFLICT (id) DO UPDATE SET v = excluded.v;
UPDATE plain SET v = v || '$number' WHERE id % 7 = 0;
DELETE FROM plain WHERE id = 5000 AND $number % 3 = 2;
UPDATE plain SET id = -id WHERE id BETWEEN 1 AND 3 OR id BETWEEN -3 AND -1;
UPDATE large SET v = v + 1;
UPDATE large SET id = id + 0.01 WHERE v % 3 = 0;
UPDATE bag SET v = v + 0.01 WHERE id = 1;
INSERT INTO bag VALUES (1, $number, 'short');
DELETE FROM bag WHERE v = $number - 1;
SQL
	return;
}

park();
my @told = split ' ', form_told('c');
for my $round (1 .. 4)
{
	allow_binary($round % 2 ? 'off' : 'on');
	connect_again('c');
	is(form('c'), $round % 2 ? 'text' : 'binary', 'the form of the stream changes');
	change_everything($round);
	has_come('c');
}
is(form_told('c'), join(' ', @told, ('stream_in_text', 'stream_in_binary') x 2), 'the events tell it once each time');
unpark();
same('changes that were received in both forms', @spooled);
is(at_target("SELECT count(*) FROM livesync.stats WHERE connector = 'c' AND source_table = 'public.bag' AND update_missing + delete_missing > 0"), '0',
	'rows of a table without a key are found in both');

# The target gets other types while values of the old ones wait.
park();
change_everything(5);
has_come('c');
at_target('ALTER TABLE plain ALTER id TYPE bigint; ALTER TABLE large ALTER v TYPE text; ALTER TABLE bag ALTER v TYPE float8');
unpark();
same('values that wait for a column of another type', qw(plain large));
is(at_target('SELECT sum(v), count(*) FROM bag'), at_source('SELECT sum(v::float8), count(*) FROM bag'), 'also without a key');

# --- to text, and back -----------------------------------------------------------------------

# The target's types are not the source's any more.
at_source("UPDATE plain SET v = 'after' WHERE id = 4");
becomes('c', 'text');
caught_up();
same('a table whose target has other types', 'plain');
like(at_target("SELECT detail FROM livesync.events WHERE event = 'stream_in_text' ORDER BY at DESC LIMIT 1"), qr/^Column "\w+" of table "public\.\w+" has another type here, \w/, 'the event says why');
at_target('ALTER TABLE plain ALTER id TYPE int; ALTER TABLE large ALTER v TYPE int USING v::int; ALTER TABLE bag ALTER v TYPE numeric');
at_source("UPDATE plain SET v = 'mended' WHERE id = 4");
caught_up();
is(form('c'), 'text', 'nothing is done about it at once');
cut_connections($source);
becomes('c', 'binary');

# A column that a transaction adds in its middle, and one that is gone again before it is applied.
at_source("CREATE TYPE mood AS ENUM ('sad', 'happy')");
$_->safe_psql('postgres', "CREATE TYPE mood AS ENUM ('happy', 'other', 'sad')") for $target;
@told = split ' ', form_told('c');
at_source("BEGIN; UPDATE plain SET v = 'binary' WHERE id = 5; ALTER TABLE plain ADD m mood; UPDATE plain SET m = 'sad' WHERE id IN (5, 6); COMMIT");
caught_up();
is(form('c'), 'text', 'a column of a type of users');
same('comes with all of its transaction', 'plain');
like(at_target("SELECT detail FROM livesync.events WHERE event = 'stream_in_text' ORDER BY at DESC LIMIT 1"), qr/^Column "m" of table "public\.plain" has a type whose binary form/, 'the event says why');
connect_again('c');
is(form('c'), 'text', 'as long as it is there');
at_source('ALTER TABLE plain DROP m');
at_target('ALTER TABLE plain DROP m');
at_source("UPDATE plain SET v = 'without' WHERE id = 6");
caught_up();
connect_again('c');
is(form('c'), 'binary', 'then binary again');
is(form_told('c'), join(' ', @told, qw(stream_in_text stream_in_binary)), 'and each is told once');

# --- the source refuses ----------------------------------------------------------------------

# It finds that a part of the value has no such form when it is to send it.
at_source('CREATE TABLE odd (id int PRIMARY KEY, a aclitem[]); ALTER PUBLICATION p ADD TABLE odd');
poll($target, 'postgres', "SELECT count(*) = 1 FROM livesync.tables WHERE connector = 'c' AND source_table = 'public.odd' AND state = 'streaming'");
becomes('c', 'binary');
at_source(q{INSERT INTO odd SELECT 1, ARRAY[makeaclitem(oid, oid, 'SELECT', false)] FROM pg_roles WHERE rolname = current_user});
caught_up();
same('a value that the source cannot send in binary form', 'odd');
is(form('c'), 'text', 'comes as text');

is(at_target("SELECT string_agg(connector || ' ' || source_table || ' ' || detail, '; ') FROM livesync.events WHERE event = 'table_failed'"), '', 'no table has failed on the way');
check_logs($source, $target);
done_testing();
