# The source may be the name of a foreign server, so that no password is in any call, table of ours, or log.
#
# The server says where the source is, a user mapping who somebody is there.  Both are looked up for each connection with
# the rights of the connector's owner: a server that he may not use, somebody else's mapping, or a file that only the
# server's operating system user may read, must not become his by this way.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

use PostgreSQL::Test::Utils ();

my ($source, $target) = pair(target_conf => "log_statement = none\n");
my ($password, $second) = ('Erstes-Wort', 'Zweites-Wort');
$source->safe_psql('postgres', <<"SQL");
CREATE ROLE reader LOGIN REPLICATION PASSWORD '$password';
CREATE ROLE trusted LOGIN REPLICATION;
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i;
CREATE PUBLICATION p FOR TABLE t;
GRANT SELECT ON t TO reader, trusted;
SQL
my $hba = $source->data_dir . '/pg_hba.conf';
PostgreSQL::Test::Utils::append_to_file("$hba.new", "local all,replication reader scram-sha-256\n" . PostgreSQL::Test::Utils::slurp_file($hba));
rename("$hba.new", $hba) or die $!;
$source->reload;
my $where = "host '" . $source->host . "', port '" . $source->port . "', dbname 'postgres'";
$target->safe_psql('postgres', <<'SQL');
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA livesync TO alice, bob;
GRANT CREATE ON SCHEMA public TO alice, bob;
SQL

my $said = '';
sub as
{
	my ($role, $sql) = @_;
	my ($out, $err);
	$target->psql('postgres', $sql, stdout => \$out, stderr => \$err, on_error_stop => 1,
		connstr => $target->connstr('postgres') . " user=$role");
	$said .= "$out\n$err\n";
	return "$out$err";
}

sub refused
{
	my ($role, $sql, $pattern, $name) = @_;
	like(as($role, $sql), $pattern, $name // "$role: $sql");
	return;
}

# --- what may stand where --------------------------------------------------------------------------

my $server = 'CREATE SERVER s FOREIGN DATA WRAPPER livesync OPTIONS';
refused('alice', "$server ($where)", qr/permission denied for foreign-data wrapper livesync/, 'a server needs USAGE on the wrapper');
$target->safe_psql('postgres', "$server ($where)");
for my $case (
	[ 'SERVER s OPTIONS (ADD nonsense \'x\')',             qr/invalid option "nonsense".*HINT:.*host/s ],
	[ 'SERVER s OPTIONS (ADD "HOST" \'x\')',               qr/invalid option "HOST"/ ],
	[ 'SERVER s OPTIONS (ADD user \'x\')',                 qr/option "user" is of the wrong place.*user mapping/s ],
	[ 'SERVER s OPTIONS (ADD password \'x\')',             qr/option "password" is of the wrong place/ ],
	[ 'SERVER s OPTIONS (ADD client_encoding \'x\')',      qr/invalid option "client_encoding"/ ],
	[ 'SERVER s OPTIONS (ADD replication \'database\')',   qr/invalid option "replication"/ ],
	[ 'FOREIGN DATA WRAPPER livesync OPTIONS (ADD host \'x\')', qr/invalid option "host".*no valid options/s ])
{
	refused('postgres', "ALTER $case->[0]", $case->[1]);
}
refused('postgres', "CREATE USER MAPPING FOR alice SERVER s OPTIONS (host 'x')", qr/option "host" is of the wrong place.*foreign server/s);

# --- whose it is -----------------------------------------------------------------------------------

my $create = "SELECT livesync.create_connector('c', 's', publications => '{p}')";
refused('alice', "SELECT livesync.create_connector('c', 'nowhere')", qr/foreign server "nowhere", the source, does not exist/, 'no such server');
refused('alice', $create, qr/permission denied for foreign server "s".*GRANT USAGE ON FOREIGN SERVER s TO alice/s, 'the owner needs USAGE');
$target->safe_psql('postgres', 'GRANT USAGE ON FOREIGN SERVER s TO alice');
refused('alice', $create, qr/role "alice" has no user mapping for foreign server "s".*CREATE USER MAPPING FOR alice SERVER s/s, 'and a user mapping');
is(as('alice', "CREATE USER MAPPING FOR alice SERVER s OPTIONS (user 'trusted')"), '', 'which is her own');
refused('alice', $create, qr/a password is required/, 'a password is needed');
as('alice', "ALTER USER MAPPING FOR alice SERVER s OPTIONS (ADD password 'x')");
refused('alice', $create, qr/the source did not ask for a password/, 'and must be asked for');
refused('alice', "ALTER USER MAPPING FOR alice SERVER s OPTIONS (ADD password_required 'false')", qr/is for superusers/, 'she cannot do without');
refused('alice', "ALTER USER MAPPING FOR alice SERVER s OPTIONS (ADD sslkey '/etc/passwd')", qr/is for superusers/, 'nor use the server\'s key');
is(as('alice', "ALTER USER MAPPING FOR alice SERVER s OPTIONS (SET user 'reader', SET password '$password')"), '', 'her own name and password');

# Who may make a server himself may not borrow files by it; a superuser may lend them.
$target->safe_psql('postgres', 'GRANT USAGE ON FOREIGN DATA WRAPPER livesync TO bob');
as('bob', "CREATE SERVER b FOREIGN DATA WRAPPER livesync OPTIONS ($where, passfile '/etc/passwd'); CREATE USER MAPPING FOR bob SERVER b OPTIONS (user 'reader', password '$password')");
refused('bob', "SELECT livesync.create_connector('b', 'b', publications => '{p}')", qr/permission denied to set connection option "passfile"/, 'no files by a server of his own');
$target->safe_psql('postgres', 'ALTER SERVER b OWNER TO postgres; GRANT USAGE ON FOREIGN SERVER b TO bob');
is(as('bob', "SELECT count(*) FROM livesync.source_tables('b')"), '1', 'a superuser\'s server may name one');
$target->safe_psql('postgres', "ALTER USER MAPPING FOR bob SERVER b OPTIONS (SET user 'trusted', DROP password, ADD password_required 'false')");
is(as('bob', "SELECT count(*) FROM livesync.source_tables('b')"), '1', 'and a superuser may let somebody in without a password');
$target->safe_psql('postgres', 'CREATE EXTENSION postgres_fdw; CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw; GRANT USAGE ON FOREIGN SERVER other TO alice');
refused('alice', "SELECT livesync.create_connector('c', 'other')", qr/foreign server "other" is not of foreign data wrapper "livesync"/, 'a server of another wrapper');

# --- it works --------------------------------------------------------------------------------------

is(as('alice', "SELECT \"check\", detail FROM livesync.check_source('s', '{p}') WHERE status = 'error'"), '', 'check_source');
is(as('alice', "SELECT source_table FROM livesync.source_tables('s')"), 'public.t', 'source_tables');
is(as('alice', $create), '', 'create_connector');
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.t']);
is(as('alice', 'SELECT source FROM livesync.connectors'), 's', 'the views show the name');
is(as('alice', "SELECT equal FROM livesync.compare_table('c', 'public.t')"), 't', 'compare_table');

# A new password counts from the next connection on.
$source->safe_psql('postgres', "ALTER ROLE reader PASSWORD '$second'");
$source->safe_psql('postgres', 'INSERT INTO t VALUES (1001, $$before$$)');
wait_caught_up($source, $target, 'c');
cut_connections($source);
poll($target, 'postgres', "SELECT last_error ~ 'could not connect to the source' FROM livesync.connectors");
$source->safe_psql('postgres', 'INSERT INTO t VALUES (1002, $$after$$)');
as('alice', "ALTER USER MAPPING FOR alice SERVER s OPTIONS (SET password '$second')");
poll($target, 'postgres', 'SELECT count(*) FROM t WHERE id = 1002', '1');
wait_caught_up($source, $target, 'c');
poll($target, 'postgres', 'SELECT last_error IS NULL FROM livesync.connectors');

# A mapping for everybody; a server that is another one or gone.
$target->safe_psql('postgres', "DROP USER MAPPING FOR alice SERVER s; CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'reader', password '$second')");
cut_connections($source);
$source->safe_psql('postgres', 'INSERT INTO t VALUES (1003, $$public$$)');
poll($target, 'postgres', 'SELECT count(*) FROM t WHERE id = 1003', '1');
$target->safe_psql('postgres', 'REVOKE USAGE ON FOREIGN SERVER s FROM alice');
cut_connections($source);
poll($target, 'postgres', "SELECT last_error ~ 'permission denied for foreign server' AND hint ~ 'GRANT USAGE' FROM livesync.connectors");
$target->safe_psql('postgres', "GRANT USAGE ON FOREIGN SERVER s TO alice; DROP SERVER s CASCADE");
cut_connections($source);
poll($target, 'postgres', "SELECT last_error ~ 'foreign server \"s\", the source, does not exist' AND hint ~ 'alter_connector' FROM livesync.connectors");
$target->safe_psql('postgres', "CREATE SERVER s2 FOREIGN DATA WRAPPER livesync OPTIONS ($where); GRANT USAGE ON FOREIGN SERVER s2 TO alice");
as('alice', "CREATE USER MAPPING FOR alice SERVER s2 OPTIONS (user 'reader', password '$second')");
is(as('alice', "SELECT livesync.alter_connector('c', source => 's2')"), '', 'alter_connector takes it to another server');
$source->safe_psql('postgres', 'INSERT INTO t VALUES (1004, $$another$$)');
poll($target, 'postgres', 'SELECT count(*) FROM t WHERE id = 1004', '1');
same_tables($source, 'postgres', $target, 'postgres', ['public.t']);

# --- no password anywhere --------------------------------------------------------------------------

my $tables = join "\n", map { $target->safe_psql('postgres', "SELECT x::text FROM livesync.$_ x") }
  split /\n/, $target->safe_psql('postgres', "SELECT relname FROM pg_class WHERE relnamespace = 'livesync'::regnamespace AND relkind IN ('r', 'v')");
unlike($tables, qr/$_/, 'no password in a table or view of ours') for $password, $second;
my @calls = grep { /livesync\./ } split /\n/, PostgreSQL::Test::Utils::slurp_file($target->logfile);
unlike("@calls", qr/$password|$second/, 'nor in the log of a call');
unlike($said, qr/$password|$second/, 'nor in what anybody was told');

as('alice', "SELECT livesync.pause_connector('c'); SELECT livesync.drop_connector('c')");
poll($source, 'postgres', "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'livesync%'", '0');

check_logs($source, $target);
done_testing();
