# Whatever is wrong with a call or with the source is said at once or in the views, in words that tell what to do; a
# password is in none of them; nothing half made stays behind at the source; and one bad table stops no other.
#
# A replication slot that a failed call leaves behind keeps WAL until the source's disk is full, so each failed call is
# followed by a look at the source.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Test::More;

use PostgreSQL::Test::Utils ();

my $secret = 'geheim-und-lang';
my ($source, $target) = pair(
	# The test servers log all statements; by default a server logs those that fail, and that is what is looked at here.
	source_conf => "max_replication_slots = 5\nlog_statement = none\n",
	target_conf => "log_statement = none\n");

$source->safe_psql('postgres', <<"SQL");
CREATE TABLE good (id int PRIMARY KEY, v text);
INSERT INTO good VALUES (1, 'one');
CREATE PUBLICATION p FOR TABLE good;
CREATE ROLE sam LOGIN REPLICATION PASSWORD '$secret';
CREATE ROLE nobody LOGIN;
CREATE ROLE repl LOGIN REPLICATION;
SQL
my $hba = $source->data_dir . '/pg_hba.conf';
PostgreSQL::Test::Utils::append_to_file("$hba.new", "local all sam scram-sha-256\n" . PostgreSQL::Test::Utils::slurp_file($hba));
rename("$hba.new", $hba) or die $!;
$source->reload;

my $host = $source->host;
my $port = $source->port;
my $base = "host=$host port=$port dbname=postgres";
my ($said, %everything);

# Runs SQL that must fail; all it said is searched for passwords at the end.
sub fails
{
	my ($sql, $message, $hint, $name) = @_;
	my ($out, $err);
	$target->psql('postgres', $sql, stdout => \$out, stderr => \$err, on_error_stop => 1);
	$said .= $err;
	like($err, qr/ERROR:  [^\n]*$message/, "$name: says what is wrong");
	like($err, qr/HINT:  [^\n]*$hint/, "$name: says what to do") if defined $hint;
	# a connector that was made all the same would make everything after it fail with another error
	BAIL_OUT("$name: the call succeeded: $sql") if $err !~ /ERROR/ && $sql =~ /create_connector/;
	return;
}

sub nothing_left
{
	my ($name, $node) = @_;
	is( ($node // $source)->safe_psql('postgres', <<'SQL'), '0|0', "$name: neither slot nor publication stays at the source");
SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'livesync%'),
	(SELECT count(*) FROM pg_publication WHERE pubname LIKE 'livesync%')
SQL
	is($target->safe_psql('postgres', 'SELECT count(*) FROM livesync.connector'), '0', "$name: no connector stays");
	return;
}

sub create
{
	my ($connection, $rest) = @_;
	return 'SELECT livesync.create_connector(' . quote_literal('c') . ', ' . quote_literal($connection) . ($rest // '') . ')';
}

# --- the connection ---------------------------------------------------------------------------

my @connections = (
	[ 'not a connection string', "nonsense $secret", 'invalid connection string', 'keyword=value' ],
	[ 'unknown keyword', "$base pasword=$secret", 'invalid connection string', 'keyword=value' ],
	[ 'unfinished quote', "$base password='$secret", 'invalid connection string', 'keyword=value' ],
	[ 'URI with an @ in the password', "postgresql://sam:x\@$secret\@localhost/postgres", 'invalid connection string', '%40' ],
	[ 'URI with a / in the password', "postgresql://sam:x/$secret\@localhost/postgres", 'invalid connection string', '%2F' ],
	[ 'no server at that socket', "host=$host/nowhere dbname=postgres password=$secret", 'could not connect to the source', 'host' ],
	[ 'wrong password', "$base user=sam password=$secret-wrong", 'could not connect to the source', 'password' ],
	[ 'wrong password in a URI', "postgresql://sam:$secret-wrong\@/postgres?host=$host&port=$port", 'could not connect to the source', 'password' ],
	[ 'no password', "$base user=sam", 'could not connect to the source', 'password' ],
	[ 'no such host', "host=nowhere.invalid dbname=postgres password=$secret", 'could not connect to the source', 'host name' ],
	[ 'no such port', "host=127.0.0.1 port=1 dbname=postgres password=$secret", 'could not connect to the source', 'port' ],
	[ 'no such database', "host=$host port=$port dbname=nowhere password=$secret", 'could not connect to the source', 'database' ],
	[ 'no such user', "$base user=unknown password=$secret", 'could not connect to the source', 'user' ]);
for my $case (@connections)
{
	my ($name, $connection, $message, $hint) = @$case;
	fails(create($connection), $message, $hint, $name);
}
# Looking at a source needs its connection string as well.  check_source() may tell what is wrong in a line of its result.
for my $call ('check_source', 'source_tables')
{
	for my $connection ("nonsense $secret", "$base user=sam password=$secret-wrong")
	{
		my ($out, $err);
		$target->psql('postgres', "SELECT * FROM livesync.$call(" . quote_literal($connection) . ')', stdout => \$out, stderr => \$err);
		$said .= $out . $err;
		like($out . $err, qr/invalid connection string|could not connect|password authentication failed/, "$call: says what is wrong");
	}
	fails("SELECT * FROM livesync.$call(NULL)", 'must|source', undef, "$call: NULL");
}
fails("SELECT * FROM livesync.check_source('dbname=x password=$secret', '{p}', '{a.b}')", 'cannot be given together', undef, 'check_source: publications and tables');
nothing_left('wrong connections');

# --- what the source must be able to do ---------------------------------------------------------

fails(create("$base user=nobody"), 'may not replicate', 'REPLICATION', 'role without REPLICATION');
fails(create("$base user=repl"), 'may not create a publication', 'GRANT CREATE', 'role without CREATE');
fails(create($base, ", publications => '{p,nope,\"No Way\"}'"), 'publications do not exist.*"No Way".*nope', 'upper and lower case', 'no such publication');
nothing_left('what the source refuses');

my $poor = source_node('poor', source_conf => "wal_level = replica\n");
my $at_poor = conninfo($poor);
fails(create($at_poor), 'wal_level at the source is not logical', 'wal_level = logical', 'wal_level');
$poor->append_conf('postgresql.conf', "wal_level = logical\nmax_replication_slots = 0\n");
$poor->restart;
fails(create($at_poor), 'no free replication slot', 'max_replication_slots', 'no free slot');
$poor->append_conf('postgresql.conf', "max_replication_slots = 5\nmax_wal_senders = 0\n");
$poor->restart;
fails(create($at_poor), 'no free walsender', 'max_wal_senders', 'no free walsender');
nothing_left('a source without room', $poor);
$poor->stop;

$source->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($source, 'b', has_streaming => 1);
$standby->start;
fails(create(conninfo($standby)), 'the source is a standby', 'primary', 'standby');
$standby->stop;
nothing_left('standby');

# --- a pooler -----------------------------------------------------------------------------------

# A stand-in: a server in between that tells a process id of its own, as poolers do.
sub start_pooler
{
	my $listen = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die $!;
	my $pid = fork() // die $!;
	return ($pid, $listen->sockport) if $pid;
	$SIG{CHLD} = 'IGNORE';
	while (my $client = $listen->accept)
	{
		next if fork();
		my $server = IO::Socket::UNIX->new(Peer => "$host/.s.PGSQL.$port") or POSIX::_exit(1);
		my $select = IO::Select->new($client, $server);
		my $told = 0;
		while (my @ready = $select->can_read)
		{
			for my $from (@ready)
			{
				sysread($from, my $bytes, 65536) or POSIX::_exit(0);
				$told ||= $bytes =~ s/K\x00\x00\x00\x0c..../K\x00\x00\x00\x0c\x00\x00\x00\x07/s if $from == $server;
				syswrite($from == $server ? $client : $server, $bytes);
			}
		}
	}
	POSIX::_exit(0);
}
use POSIX ();
my ($pooler, $pooler_port) = start_pooler();
my $me = $source->safe_psql('postgres', 'SELECT current_user');
fails(create("host=127.0.0.1 port=$pooler_port dbname=postgres user=$me sslmode=disable gssencmode=disable"),
	'connection pooler', 'server itself', 'pooler');
kill 'KILL', $pooler;
waitpid($pooler, 0);
nothing_left('pooler');

# --- arguments ----------------------------------------------------------------------------------

my $long = 'n' x 41;
my @calls = (
	[ 'no name', "create_connector(NULL, 'dbname=x')", 'name', undef ],
	[ 'empty name', "create_connector('', 'dbname=x')", 'name', undef ],
	[ 'too long a name', "create_connector('$long', 'dbname=x')", 'too long', undef ],
	[ 'no source', "create_connector('c', NULL)", 'source', undef ],
	[ 'no copy workers', "create_connector('c', 'dbname=x', copy_workers => 0)", 'copy_workers', undef ],
	[ 'empty list of tables', "create_connector('c', 'dbname=x', tables => '{}')", '"tables" must not be empty', 'name at least one' ],
	[ 'empty list of publications', "create_connector('c', 'dbname=x', publications => '{}')", '"publications" must not be empty', 'name at least one' ],
	[ 'NULL among tables', "create_connector('c', 'dbname=x', tables => '{NULL}')", '"tables" must not contain NULL', undef ],
	[ 'tables and publications', "create_connector('c', 'dbname=x', tables => '{a.b}', publications => '{p}')", 'cannot be given together', 'tables alone' ],
	[ 'table without schema', "create_connector('c', 'dbname=x', tables => '{good}')", 'not the name of a table with its schema', 'schema\.table' ],
	[ 'table without name', "create_connector('c', 'dbname=x', tables => '{public.}')", 'not the name of a table with its schema', 'schema\.table' ],
	[ 'no such table', 'create_connector(' . quote_literal('c') . ', ' . quote_literal($base) . ", tables => '{public.good,public.nope,other.*}')", 'not.* exist.*public\.nope', 'schema' ]);
for my $case (@calls)
{
	my ($name, $call, $message, $hint) = @$case;
	fails("SELECT livesync.$call", $message, $hint, $name);
}
for my $function ('alter_connector(%s)', 'pause_connector(%s)', 'resume_connector(%s)', 'drop_connector(%s)',
	'refresh_connector(%s)', "retry_table(%s, 'a.b')", 'wait_for_lsn(%s)')
{
	fails('SELECT livesync.' . sprintf($function, "'nobody'"), 'connector "nobody" does not exist', 'livesync\.connectors', "$function: unknown");
	fails('SELECT livesync.' . sprintf($function, 'NULL'), 'must', undef, "$function: NULL");
}
fails("SELECT livesync.wait_for_sync('nobody')", 'does not exist', 'livesync\.connectors', 'wait_for_sync: unknown');
nothing_left('arguments');

# --- a password that works ------------------------------------------------------------------------

create_connector($target, 'postgres', 'c', "$base user=sam password=$secret", publications => ['p']);
fails("SELECT livesync.create_connector('c', 'dbname=x')", 'already exists', undef, 'duplicate name');
fails("SELECT livesync.retry_table('c', 'public.nope')", 'has no table "public.nope"', 'livesync\.tables', 'unknown table');
fails("SELECT livesync.retry_table('c', NULL)", 'must', undef, 'no table');
fails("SELECT livesync.alter_connector('c', source => '$base user=sam password=$secret-wrong')", 'could not connect', 'password', 'alter: wrong password');
fails("SELECT livesync.drop_connector('c')", 'is not paused', 'pause_connector', 'drop before pause');

# sam may not read the table: the table says so, and streams by itself once the right is there.
my ($error, $hint) = failure_of($target, 'postgres', 'c', 'public.good');
like($error, qr/permission denied for table good/, 'no right to read: the view says so');
like($hint, qr/\w/, 'no right to read: there is a hint');
$source->safe_psql('postgres', 'GRANT SELECT ON good TO sam');
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.good'], 'with the right granted the table streams without a call');
$source->safe_psql('postgres', "ALTER ROLE sam PASSWORD 'changed'");
$source->safe_psql('postgres', "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL");
poll($target, 'postgres', "SELECT status = 'failing' AND last_error LIKE '%authentication failed%' FROM livesync.connectors");
like($target->safe_psql('postgres', 'SELECT last_error FROM livesync.connectors'), qr/password authentication failed/, 'a password that stopped working is told in the view');
like($target->safe_psql('postgres', 'SELECT hint FROM livesync.connectors'), qr/password/, '... with a hint');

# --- where passwords must not be --------------------------------------------------------------------

my $views = join "\n", map { $target->safe_psql('postgres', "SELECT * FROM livesync.$_") } qw(connectors tables progress stats events);
$views .= $target->safe_psql('postgres', 'SELECT backend_type, application_name, query FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
my %places = (
	'errors' => $said,
	'views' => $views,
	'log of the target' => PostgreSQL::Test::Utils::slurp_file($target->logfile));
$places{'log of the source'} = PostgreSQL::Test::Utils::slurp_file($source->logfile);
for my $place (sort keys %places)
{
	my @lines = grep { /\Q$secret\E/ } split /\n/, $places{$place};
	is(scalar @lines, 0, "no password in the $place") or diag(join "\n", splice(@lines, 0, 5));
}
like($target->safe_psql('postgres', 'SELECT source FROM livesync.connectors'), qr/user='sam'/, 'the view shows the source without its password');

$source->safe_psql('postgres', "ALTER ROLE sam PASSWORD '$secret'");
poll($target, 'postgres', 'SELECT status FROM livesync.connectors', 'streaming');

# The way to keep a password out of calls and of our tables.
my $passfile = PostgreSQL::Test::Utils::tempdir() . '/passfile';
PostgreSQL::Test::Utils::append_to_file($passfile, "*:*:*:sam:$secret\n");
chmod 0600, $passfile or die $!;
$target->safe_psql('postgres', "SELECT livesync.alter_connector('c', source => '$base user=sam passfile=$passfile')");
$source->safe_psql('postgres', "INSERT INTO good VALUES (3, 'by password file')");
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.good'], 'a password file will do');
$target->safe_psql('postgres', "SELECT livesync.pause_connector('c')");
$target->safe_psql('postgres', "SELECT livesync.drop_connector('c')");
poll($source, 'postgres', "SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name LIKE 'livesync%'");

# --- tables that cannot be taken -----------------------------------------------------------------------

$source->safe_psql('postgres', <<'SQL');
CREATE SCHEMA many;
CREATE TABLE many.missing_column (id int PRIMARY KEY, v text, extra text);
CREATE TABLE many.bad_value (id int PRIMARY KEY, v text);
CREATE TABLE many.bad_type (id int PRIMARY KEY, v text);
CREATE TABLE many.is_view (id int PRIMARY KEY, v text);
CREATE TABLE many.forced_rls (id int PRIMARY KEY, v text);
CREATE TYPE many.mood AS ENUM ('sad', 'happy');
CREATE TABLE many.missing_type (id int PRIMARY KEY, v many.mood);
CREATE TABLE many.fine (id int PRIMARY KEY, v text);
INSERT INTO many.missing_column VALUES (1, 'a', 'b');
INSERT INTO many.bad_value VALUES (1, 'no number');
INSERT INTO many.bad_type VALUES (1, 'no point');
INSERT INTO many.is_view VALUES (1, 'a');
INSERT INTO many.forced_rls VALUES (1, 'a');
INSERT INTO many.missing_type VALUES (1, 'sad');
INSERT INTO many.fine VALUES (1, 'a');
CREATE PUBLICATION many FOR TABLES IN SCHEMA many;
SQL
$target->safe_psql('postgres', <<'SQL');
CREATE ROLE plain;
CREATE SCHEMA many;
GRANT ALL ON SCHEMA many TO plain;
CREATE TABLE many.missing_column (id int PRIMARY KEY, v text);
CREATE TABLE many.bad_value (id int PRIMARY KEY, v int);
CREATE TABLE many.bad_type (id int PRIMARY KEY, v point);
CREATE VIEW many.is_view AS SELECT 1 AS id, 'x'::text AS v;
CREATE TABLE many.forced_rls (id int PRIMARY KEY, v text);
ALTER TABLE many.forced_rls OWNER TO plain;
ALTER TABLE many.forced_rls ENABLE ROW LEVEL SECURITY;
ALTER TABLE many.forced_rls FORCE ROW LEVEL SECURITY;
SQL
create_connector($target, 'postgres', 'many', conninfo($source), publications => ['many']);
my %expected = (
	missing_column => qr/missing replicated column: "extra"/,
	bad_value => qr/invalid input syntax for type integer/,
	bad_type => qr/invalid input syntax for type point/,
	is_view => qr/is not a table/,
	forced_rls => qr/row-level security/,
	missing_type => qr/type "many\.mood" does not exist/);
for my $table (sort keys %expected)
{
	my ($error, $hint) = failure_of($target, 'postgres', 'many', "many.$table");
	like($error, $expected{$table}, "$table: the view says what is wrong");
	like($hint, qr/\w{3}/, "$table: the view says what to do");
}
$source->safe_psql('postgres', "INSERT INTO many.fine VALUES (2, 'b')");
wait_state($target, 'postgres', 'many', 'many.fine', 'streaming');
poll($target, 'postgres', 'SELECT count(*) FROM many.fine', '2');
same_tables($source, 'postgres', $target, 'postgres', ['many.fine'], 'the other table of the connector streams on');
like($target->safe_psql('postgres', 'SELECT status FROM livesync.connectors'), qr/^(?:streaming|copying)$/, 'the connector is not failing');

# Mended, they stream without a call.
$target->safe_psql('postgres', <<'SQL');
ALTER TABLE many.missing_column ADD extra text;
ALTER TABLE many.bad_value ALTER v TYPE text;
ALTER TABLE many.bad_type DROP v, ADD v text;
DROP VIEW many.is_view;
ALTER TABLE many.forced_rls NO FORCE ROW LEVEL SECURITY;
CREATE TYPE many.mood AS ENUM ('sad', 'happy');
SQL
wait_sync($source, $target, 'many');
same_tables($source, 'postgres', $target, 'postgres',
	[ map { "many.$_" } sort(keys %expected) ], 'mended, they are copied and stream without a call');
$target->safe_psql('postgres', "SELECT livesync.pause_connector('many')");
$target->safe_psql('postgres', "SELECT livesync.drop_connector('many')");
poll($source, 'postgres', "SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name LIKE 'livesync%'");

check_logs($source, $target);
done_testing();
