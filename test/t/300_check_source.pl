# livesync.check_source() and livesync.source_tables() tell everything at once and never raise for it.
#
# Whoever prepares a source learns from them what is missing and what to do, without making a connector
# and without a round of errors, each behind the other.  So each prerequisite that is broken here must
# be a row of its own with a hint, all others must still be told, and no password may show up anywhere.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(source_db => 'shop', source_conf => "autovacuum = off\n", target_conf => "max_replication_slots = 20\n");
my $password = 'Sesame99';
my $conninfo = conninfo($source, 'shop');
my $limited  = "$conninfo user=limited password=$password";

sub check
{
	my ($arguments, $condition) = @_;
	$condition //= "status <> 'ok'";
	return $target->safe_psql('postgres', "SELECT concat_ws('|', \"check\", object, status) FROM "
		  . "livesync.check_source($arguments) WHERE $condition ORDER BY 1");
}

sub told
{
	my ($arguments, $check, $object, $columns) = @_;
	$columns //= 'status, detail, hint';
	return $target->safe_psql('postgres', "SELECT concat_ws('|', $columns) FROM livesync.check_source($arguments) "
		  . "WHERE \"check\" = '$check' AND coalesce(object, '') = '$object'");
}

my $good = quote_literal($conninfo);
my $poor = quote_literal($limited);

# --- nothing is wrong ------------------------------------------------------------------------

$source->safe_psql('shop', <<'SQL');
CREATE TABLE orders (id int PRIMARY KEY, at timestamptz NOT NULL, note text);
CREATE PUBLICATION orders FOR TABLE orders;
SQL
is(check("$good, '{orders}'"), '', 'a good source and a published table: nothing to say');
is(check("$good, tables => '{public.orders}'"), '', 'the same with tables');
is(check($good), '', 'the same with every table');
my @all = split /\n/, check("$good, '{orders}'", 'true');
for my $name ('reachable', 'direct connection', 'version', 'tls', 'primary', 'wal_level', 'replication slots',
	'wal senders', 'replication right', 'encoding', 'wal_sender_timeout', 'max_slot_wal_keep_size',
	'replication connection', 'publication', 'select', 'replica identity', 'target table', 'worker processes',
	'origins')
{
	is(scalar(grep { /^\Q$name\E\|/ } @all), 1, "there is one row about: $name");
}

# --- rights ----------------------------------------------------------------------------------

$source->safe_psql('shop', <<SQL);
CREATE ROLE limited LOGIN PASSWORD '$password';
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE TABLE guarded (id int PRIMARY KEY);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA public TO limited;
GRANT SELECT ON guarded TO limited;
SQL
is(check("$poor, tables => '{public.orders,public.guarded,public.nowhere}'"), <<'ROWS' =~ s/\n\z//r, 'rights');
create publication|shop|error
owner|public.guarded|error
owner|public.orders|error
replication right|limited|error
select|public.guarded|error
select|public.orders|error
table|public.nowhere|error
ROWS
like(told("$poor, '{orders}'", 'select', 'public.orders'), qr/GRANT SELECT ON public\.orders TO limited/,
	'the hint is the statement to run');
like(told($poor, 'replication right', 'limited'), qr/ALTER ROLE limited REPLICATION/, 'here as well');
$source->safe_psql('shop', 'CREATE ROLE rds_superuser; CREATE ROLE rds_replication NOLOGIN');
like(told($poor, 'replication right', 'limited'), qr/GRANT rds_replication TO limited/, 'on Amazon RDS it is another');
$source->safe_psql('shop', 'GRANT rds_replication TO limited');
like(told($poor, 'replication right', 'limited'), qr/^ok\|/, 'membership of rds_replication counts');
like(told($poor, 'replication connection', ''), qr/^error\|.*(?:superuser|REPLICATION|permission)/si,
	'but the server itself has the last word');
$source->safe_psql('shop', 'DROP ROLE rds_superuser; DROP ROLE rds_replication');

# --- the tables there ------------------------------------------------------------------------

$source->safe_psql('shop', <<'SQL');
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE keyless (x int);
CREATE TABLE whole (x int);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE typed (id int PRIMARY KEY, mail citext, feeling mood[]);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE PUBLICATION changes FOR TABLE keyless, whole;
CREATE PUBLICATION inserts FOR TABLE keyless WITH (publish = 'insert');
CREATE PUBLICATION nothing;
SQL
is(check("$good, '{changes,missing,nothing}'"), <<'ROWS' =~ s/\n\z//r, 'publications and replica identities');
publication|missing|error
publication|nothing|warning
replica identity|public.keyless|error
replica identity|public.whole|warning
ROWS
is(check("$good, '{inserts}'"), 'publication|inserts|warning', 'a table without key of which only inserts are published');
is(check("$good, tables => '{public.typed,public.unlogged}'"), <<'ROWS' =~ s/\n\z//r, 'types that are missing here');
extension|citext|error
table|public.unlogged|error
type|public.typed|error
type|public.typed|error
ROWS
like(told("$good, tables => '{public.typed}'", 'type', 'public.typed'), qr/CREATE EXTENSION citext/, 'the extension is named');

# --- the tables here -------------------------------------------------------------------------

$source->safe_psql('shop', <<'SQL');
CREATE TABLE fits (id int PRIMARY KEY, v text);
CREATE TABLE differs (id int PRIMARY KEY, v text, w int, x int);
CREATE TABLE unkeyed (id int PRIMARY KEY);
CREATE TABLE filled (id int PRIMARY KEY);
CREATE TABLE a_view (id int PRIMARY KEY);
SQL
$target->safe_psql('postgres', <<'SQL');
CREATE TABLE fits (id int PRIMARY KEY, v text, more int);
CREATE TABLE differs (id bigint PRIMARY KEY, v text NOT NULL, more int NOT NULL, x int GENERATED ALWAYS AS (1) STORED);
CREATE TABLE unkeyed (id int);
CREATE UNIQUE INDEX ON unkeyed (id) WHERE id > 0;
CREATE TABLE filled (id int PRIMARY KEY);
INSERT INTO filled VALUES (1);
CREATE VIEW a_view AS SELECT 1 AS id;
SQL
is($target->safe_psql('postgres', <<SQL), <<'ROWS' =~ s/\n\z//r, 'tables that are here already');
SELECT object, status, detail FROM livesync.check_source($good, tables => '{public.fits,public.differs,public.unkeyed,public.filled,public.a_view}')
WHERE "check" = 'target table' ORDER BY 1, detail COLLATE "C"
SQL
public.a_view|error|what has this name here is not a table
public.differs|error|columns here that the source does not fill are NOT NULL and have no default: more
public.differs|warning|columns of another type here: id (integer, here bigint)
public.differs|warning|columns that are NOT NULL here: v
public.differs|error|columns that it lacks here: w, x
public.filled|warning|it holds rows
public.fits|ok|it exists here, is empty and fits
public.unkeyed|warning|it has no unique index, not deferrable, on exactly the columns of the key
ROWS

# --- the servers -----------------------------------------------------------------------------

$source->append_conf('postgresql.conf', <<'CONF');
wal_level = replica
max_replication_slots = 1
max_slot_wal_keep_size = '1GB'
CONF
$source->restart;
$source->safe_psql('shop', "SELECT pg_create_physical_replication_slot('taken')");
$target->append_conf('postgresql.conf', "max_worker_processes = 5\nmax_replication_slots = 0\n");
$target->restart;
is(check("$good, '{orders}'"), <<'ROWS' =~ s/\n\z//r, 'settings of both servers');
max_slot_wal_keep_size|warning
origins|target|error
replication slots|error
wal_level|error
worker processes|target|warning
ROWS
like(told($good, 'wal_level', ''), qr/ALTER SYSTEM SET wal_level = logical/, 'the hint is the statement to run');

# --- no source -------------------------------------------------------------------------------

for my $case (
	[ "host=127.0.0.1 port=1 password=$password", 'nothing listens' ],
	[ "postgresql://u:$password\@x\@127.0.0.1/db", 'a password that breaks the address' ],
	[ "password=$password nonsense",               'no connection string' ],
	[ "$conninfo dbname=nope password=$password",  'no such database' ])
{
	my ($string, $what) = @$case;
	my $rows = $target->safe_psql('postgres', 'SELECT * FROM livesync.check_source(' . quote_literal($string) . ')');
	like($rows, qr/^reachable\|\|error\|.+\|.+/s, "one row with a hint: $what");
	unlike($rows, qr/$password/, 'the password is not in it');
}
unlike($target->safe_psql('postgres', "SELECT * FROM livesync.check_source($poor)"), qr/$password/, 'nor in any other');
is(check(quote_literal($target->connstr('postgres')), q{"check" = 'another database'}), 'another database|error',
	'the very same database is told');

# What stands between the two gives each session a process id of its own, as poolers do.
my $pooler = start_pooler($source);
my $pooled = quote_literal("$conninfo host=127.0.0.1 port=$pooler->{port}");
like($target->safe_psql('postgres', "SELECT * FROM livesync.check_source($pooled)"),
	qr/^direct connection\|\|error\|.*pooler.*\|.*5432/s, 'a connection pooler is recognised');
kill 'KILL', $pooler->{pid};
waitpid $pooler->{pid}, 0;

for my $case (
	[ 'NULL',                                  qr/connection string must be given/ ],
	[ "$good, '{a}', '{b.c}'",                 qr/cannot be given together/ ],
	[ "$good, tables => '{}'",                 qr/must not be empty/ ],
	[ "$good, publications => '{a,NULL}'",     qr/must not contain NULL/ ])
{
	my ($code, $out, $err) = $target->psql('postgres', "SELECT * FROM livesync.check_source($case->[0])");
	like($err, $case->[1], "refused: $case->[0]" =~ s/'host=[^']*'/.../r =~ s/port=\S+//r);
}

# --- source_tables() -------------------------------------------------------------------------

$source->safe_psql('shop', <<'SQL');
CREATE SCHEMA "Odd One";
CREATE TABLE "Odd One"."a.b" (device int, ts timestamp NOT NULL, created_at timestamptz NOT NULL, PRIMARY KEY (device, ts));
CREATE TABLE indexed (id int PRIMARY KEY, made timestamptz NOT NULL, seen date NOT NULL);
CREATE INDEX ON indexed (seen);
CREATE TABLE named (id int PRIMARY KEY, updated_at timestamptz NOT NULL, recorded_at timestamptz NOT NULL, maybe timestamptz);
CREATE TABLE keyed (id int, begun timestamptz NOT NULL, seen timestamptz NOT NULL, PRIMARY KEY (id, seen));
CREATE INDEX ON keyed (begun);
CREATE TABLE partly (id int PRIMARY KEY, other date NOT NULL, maybe timestamptz);
CREATE INDEX ON partly (maybe);
CREATE TABLE types (id int PRIMARY KEY, d date NOT NULL, t timestamp NOT NULL, z timestamptz NOT NULL);
CREATE TABLE timeless (id int PRIMARY KEY, maybe timestamptz, wall time NOT NULL);
CREATE TABLE log (id int, d date, PRIMARY KEY (d, id)) PARTITION BY RANGE (d);
CREATE TABLE log1 PARTITION OF log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
INSERT INTO log SELECT i, '2020-01-01'::date + i % 300 FROM generate_series(1, 5000) i;
ANALYZE log1;
ALTER PUBLICATION changes ADD TABLE log;
SQL
is($target->safe_psql('postgres', <<SQL), <<'ROWS' =~ s/\n\z//r, 'what could be synced');
SELECT source_table, kind, estimated_rows, replica_identity, key_columns, publications, suggested_time_column, cardinality(problems)
FROM livesync.source_tables($good) WHERE source_table ~ 'Odd|indexed|named|log|keyless|whole|keyed|partly|types|timeless' ORDER BY source_table COLLATE "C"
SQL
Odd One.a.b|table||default|{device,ts}||ts|
public.indexed|table||default|{id}||seen|
public.keyed|table||default|{id,seen}||seen|
public.keyless|table||default||{changes,inserts}||1
public.log|partitioned table|5000|default|{d,id}|{changes}|d|
public.named|table||default|{id}||recorded_at|
public.partly|table||default|{id}||other|
public.timeless|table||default|{id}|||
public.types|table||default|{id}||z|
public.unkeyed|table||default|{id}|||
public.unlogged|unlogged table||default|{id}|||1
public.whole|table||full||{changes}||1
ROWS
is($target->safe_psql('postgres', "SELECT bytes FROM livesync.source_tables($good) WHERE source_table = 'public.log'"),
	$source->safe_psql('shop', "SELECT pg_table_size('log1')"), 'the size is that of the leaves');
my ($code, $out, $err) = $target->psql('postgres',
	"SELECT * FROM livesync.source_tables('host=127.0.0.1 port=1 password=$password')");
like($err, qr/could not connect to the source/, 'source_tables raises when there is no source');
unlike($err, qr/$password/, 'without the password');
$target->psql('postgres', "SET log_statement = none; SELECT * FROM livesync.source_tables('host=127.0.0.1 port=1 password=Unlogged77')");
unlike(PostgreSQL::Test::Utils::slurp_file($target->logfile), qr/Unlogged77/, 'nor is it in the log of the server');

# --- who may call them -----------------------------------------------------------------------

$target->safe_psql('postgres', 'CREATE ROLE nobody; GRANT USAGE ON SCHEMA livesync TO nobody');
for my $call ("check_source('')", "source_tables('')")
{
	($code, $out, $err) = $target->psql('postgres', "SET ROLE nobody; SELECT livesync.$call");
	like($err, qr/permission denied for function/, "not for everybody: $call");
}

check_logs($source, $target);
done_testing();

# A process that passes everything on, but changes the process id that the server tells its client.
sub start_pooler
{
	my ($node) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "no listener: $!";
	my $port     = $listener->sockport;
	my $pid      = fork() // die "no fork: $!";
	return { pid => $pid, port => $port } if $pid;
	$SIG{TERM} = sub { POSIX::_exit(0) };
	require POSIX;
	while (my $client = $listener->accept)
	{
		my $server = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or POSIX::_exit(1);
		my $select = IO::Select->new($client, $server);
	  PASS: while (my @ready = $select->can_read)
		{
			for my $from (@ready)
			{
				my $to = $from == $client ? $server : $client;
				sysread($from, my $data, 65536) or last PASS;
				$data =~ s/K\x00\x00\x00\x0c....(....)/K\x00\x00\x00\x0c\x00\x00\x01\x01$1/s if $from == $server;
				syswrite($to, $data);
			}
		}
		close $_ for $client, $server;
	}
	POSIX::_exit(0);
}
