# What is proved: each row of livesync.check_source() that 300 does not break is told when it does not hold, with what to do
# about it: an old version, a connection that is not encrypted, a standby on either side, too few places for
# sessions, walsenders, workers and connectors, encodings, managed services, extensions that are missing here,
# and publications that leave out what their updates need.
#
# Why it matters: a row that always says ok is worse than none, because it is believed.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(source_db => 'shop', target_conf => "livesync.max_connectors = 1\n",
	source_conf => "listen_addresses = '127.0.0.1,127.0.0.2'\n");
$source->append_conf('pg_hba.conf', 'host all,replication all 127.0.0.0/8 trust');
$source->reload;
my $me   = $source->safe_psql('shop', 'SELECT current_user');
my $good = conninfo($source, 'shop');
my $tcp  = 'port=' . $source->port . " dbname=shop user=$me gssencmode=disable";

sub told
{
	my ($conninfo, $check, %opt) = @_;
	my $rest = $opt{rest} // '';
	return ($opt{node} // $target)->safe_psql($opt{db} // 'postgres',
		"SELECT concat_ws('|', status, object, detail, hint) FROM livesync.check_source(" . quote_literal($conninfo)
		  . "$rest) WHERE \"check\" = " . quote_literal($check));
}

$source->safe_psql('shop', <<'SQL');
CREATE TABLE orders (id int PRIMARY KEY, total int, note text);
CREATE PUBLICATION orders FOR TABLE orders;
CREATE ROLE limited LOGIN;
SQL

# --- the connection ----------------------------------------------------------------------------

my $none = "$tcp sslmode=disable";
like(told("$none host=127.0.0.1", 'tls'), qr/^ok\|not encrypted, within one machine/, 'tls: within one machine');
like(told("$none host=127.0.0.2", 'tls'), qr/^warning\|.*not encrypted.*sslmode=/, 'tls: not encrypted');
SKIP:
{
	my $keys = PostgreSQL::Test::Utils::tempdir();
	skip 'there is no openssl', 1
	  if system("openssl req -new -x509 -days 2 -nodes -subj /CN=here -out $keys/server.crt -keyout $keys/server.key >/dev/null 2>&1") != 0;
	chmod 0600, "$keys/server.key" or die $!;
	$source->append_conf('postgresql.conf', "ssl = on\nssl_cert_file = '$keys/server.crt'\nssl_key_file = '$keys/server.key'");
	$source->restart;
	like(told("$tcp host=127.0.0.2 sslmode=require", 'tls'), qr/^ok\|encrypted with TLS/, 'tls: encrypted');
}

# Another version is what the server says at the start of a session.
my ($number) = $source->safe_psql('shop', 'SHOW server_version') =~ /^(\d+\.\d+)/;
for my $case ([ '12.1', qr/^error\|.*Upgrade the source to PostgreSQL 13/ ], [ '15.1', qr/^warning\|.*15\.13 or later/ ])
{
	my ($version, $expected) = @$case;
	my $proxy = start_proxy($source, "server_version\0$number", "server_version\0" . $version . '0' x (length($number) - length($version)));
	like(told("$tcp host=127.0.0.1 port=$proxy->{port} sslmode=disable", 'version'), $expected, "version: $version");
	kill 'KILL', $proxy->{pid};
	waitpid $proxy->{pid}, 0;
}

# --- rights, as services give them ---------------------------------------------------------------

my $limited = "$good user=limited";
like(told($limited, 'replication right'), qr/^error\|limited\|.*ALTER ROLE limited REPLICATION;$/, 'replication right: none');
for my $case (
	[ 'azure_pg_admin',    qr/as the server's administrator: ALTER ROLE limited REPLICATION/ ],
	[ 'cloudsqlsuperuser', qr/as a member of cloudsqlsuperuser: ALTER ROLE limited REPLICATION/ ],
	[ 'alloydbsuperuser',  qr/as a member of alloydbsuperuser: ALTER ROLE limited REPLICATION/ ],
	[ 'rds_superuser',     qr/GRANT rds_replication TO limited/ ],
	[ 'neon_superuser',    qr/a role that was made in the console.*ALTER ROLE limited REPLICATION/ ])
{
	my ($role, $hint) = @$case;
	$source->safe_psql('shop', "CREATE ROLE $role");
	like(told($limited, 'replication right'), $hint, "replication right: where there is $role");
	if ($role eq 'neon_superuser')
	{
		$source->safe_psql('shop', "GRANT $role TO limited");
		like(told($limited, 'replication right'), qr/^ok\|limited\|it is member of neon_superuser/, 'and what it gives its members counts');
	}
	$source->safe_psql('shop', "DROP ROLE $role");
}
$source->safe_psql('shop', 'ALTER ROLE limited REPLICATION');
like(told($limited, 'replication right'), qr/^ok\|limited\|it has the REPLICATION attribute/, 'replication right: the attribute');
like(told($limited, 'connections'), qr/^ok\|/, 'connections: enough');
$source->safe_psql('shop', 'ALTER ROLE limited CONNECTION LIMIT 3');
like(told($limited, 'connections'), qr/^warning\|.*max_connections.*needs 6/, 'connections: too few');

# --- encodings -----------------------------------------------------------------------------------

$source->safe_psql('shop', q{CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$source->safe_psql('shop', q{CREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$target->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$target->safe_psql('postgres', q{CREATE DATABASE utf ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$source->safe_psql('shop', q{CREATE DATABASE utf ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$target->safe_psql($_, 'CREATE EXTENSION pg_livesync') for 'latin', 'utf';
like(told(conninfo($source, 'utf'), 'encoding', db => 'utf'), qr/^ok\|UTF8 at the source, UTF8 here$/, 'encoding: the same');
like(told(conninfo($source, 'latin'), 'encoding', db => 'utf'), qr/^ok\|LATIN1 .*converted/, 'encoding: of which all can be converted');
like(told(conninfo($source, 'utf'), 'encoding', db => 'latin'), qr/^warning\|UTF8 .*ENCODING 'UTF8'/, 'encoding: of which not all can be');
like(told(conninfo($source, 'bytes'), 'encoding', db => 'utf'), qr/^warning\|SQL_ASCII .*not converted/, 'encoding: none');

# --- what publications leave out -------------------------------------------------------------------

$source->safe_psql('shop', <<'SQL');
CREATE TABLE whole (id int PRIMARY KEY, v int);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE pair (a int NOT NULL, b int NOT NULL, v int, UNIQUE (a, b));
ALTER TABLE pair REPLICA IDENTITY USING INDEX pair_a_b_key;
CREATE PUBLICATION gaps FOR TABLE orders (total), whole (id), pair WHERE (a > 0 AND v > 0);
CREATE PUBLICATION only_new FOR TABLE orders (total), pair WHERE (v > 0) WITH (publish = 'insert');
CREATE PUBLICATION complete FOR TABLE orders (id, total), whole WHERE (v > 0), pair (a, b) WHERE (a > 0);
SQL
my $gaps = told($good, 'replica identity', rest => ", '{gaps}'");
like($gaps, qr/^error\|public\.orders\|the column list of publication "gaps" leaves out.*\(id\).*Publish these columns/m, 'replica identity: a column list without the key');
like($gaps, qr/^error\|public\.whole\|the column list .*\(v\)/m, 'replica identity: FULL, and a column list');
like($gaps, qr/^error\|public\.pair\|the row filter of publication "gaps" uses.*\(v\).*REPLICA IDENTITY FULL/m, 'replica identity: a filter by what is not in it');
unlike(told($good, 'replica identity', rest => ", '{complete}'"), qr/error/, 'replica identity: lists and filters that fit');
unlike(told($good, 'replica identity', rest => ", '{only_new}'"), qr/error/, 'replica identity: for inserts nothing is needed');
for my $table ('orders', 'whole', 'pair')
{
	$source->safe_psql('shop', "INSERT INTO $table VALUES (1, 1)");
	for my $all ('gaps', 'complete')
	{
		my @others = grep { $_ ne $all } 'gaps', 'complete', 'orders';
		my ($status, $out, $err) = $source->psql('shop', 'BEGIN; DROP PUBLICATION ' . join(', ', @others) . "; UPDATE $table SET " . ($table eq 'orders' ? 'total' : 'v') . ' = 2; ROLLBACK');
		like($err, $all eq 'gaps' ? qr/cannot update table "$table"/ : qr/^$/, "the server says the same: $table, $all");
	}
}

# --- extensions ------------------------------------------------------------------------------------

$source->safe_psql('shop', <<'SQL');
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist;
CREATE TABLE typed (id int PRIMARY KEY, mail citext);
CREATE TABLE indexed (id int PRIMARY KEY, v int);
CREATE INDEX ON indexed USING gist (v);
SQL
my $both = ", tables => '{public.typed,public.indexed}'";
my $missing = told($good, 'extension', rest => $both);
like($missing, qr/^error\|citext\|.*types of columns.*public\.typed\|.*CREATE EXTENSION citext;$/m, 'extension: of a type');
like($missing, qr/^warning\|btree_gist\|.*indexes.*left out: public\.indexed\|.*CREATE EXTENSION btree_gist;$/m, 'extension: of an index');
$target->safe_psql('postgres', 'CREATE EXTENSION citext; CREATE EXTENSION btree_gist');
is(told($good, 'extension', rest => $both) =~ s/^ok\|//mgr, <<'ROWS' =~ s/\n\z//r, 'extension: here');
btree_gist|it is here, and needed by public.indexed
citext|it is here, and needed by public.typed
ROWS
is(told($good, 'type', rest => $both), '', 'and so are the types');

# --- places ------------------------------------------------------------------------------------------

like(told($good, 'wal senders'), qr/^ok\|\d+ free of 20$/, 'wal senders: free');
like(told($good, 'connectors'), qr/^ok\|/, 'connectors: free');
like(told($good, 'worker processes'), qr/^ok\|/, 'worker processes: free');
create_connector($target, 'postgres', 'c', $good, publications => ['orders'], enabled => 'false');
like(told($good, 'connectors'), qr/^error\|.*Raise livesync\.max_connectors/, 'connectors: none free');

$source->backup('b');
$source->append_conf('postgresql.conf', 'max_wal_senders = 0');
$source->restart;
$target->backup('b');
$target->append_conf('postgresql.conf', 'max_worker_processes = 2');
$target->restart;
like(told($good, 'wal senders'), qr/^error\|0 free of 0\|.*max_wal_senders/, 'wal senders: none free');
like(told($good, 'worker processes'), qr/^error\|.*Raise max_worker_processes/, 'worker processes: none free');

# --- standbys ------------------------------------------------------------------------------------------

like(told($good, 'primary'), qr/^ok\|/, 'primary: it is one');
my $far = PostgreSQL::Test::Cluster->new('far');
$far->init_from_backup($source, 'b');
$far->set_standby_mode;
$far->start;
like(told(conninfo($far, 'shop'), 'primary'), qr/^error\|.*standby.*address of the primary/, 'primary: the source is a standby');
$far->stop;
my $near = PostgreSQL::Test::Cluster->new('near');
$near->init_from_backup($target, 'b');
$near->set_standby_mode;
$near->start;
like(told($good, 'target primary', node => $near), qr/^error\|.*standby.*primary/, 'target primary: this server is a standby');
$near->stop;

check_logs($source, $target, $far, $near);
done_testing();

# A process that passes everything on, but replaces some bytes of what the server says.
sub start_proxy
{
	my ($node, $from_text, $to_text) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "no listener: $!";
	my $port     = $listener->sockport;
	my $pid      = fork() // die "no fork: $!";
	return { pid => $pid, port => $port } if $pid;
	$SIG{TERM} = sub { POSIX::_exit(0) };
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
				$data =~ s/\Q$from_text\E/$to_text/ if $from == $server;
				syswrite($to, $data);
			}
		}
		close $_ for $client, $server;
	}
	POSIX::_exit(0);
}
