# No password is shown to anybody, whether it is right or wrong, however the connection string is written.
#
# What a view, an error, an event or the server's log tells is read by more people than may know the password, and is
# kept for years.  So all of it is searched, after calls and workers that succeeded and that failed.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

use PostgreSQL::Test::Utils ();

my ($source, $target) = pair(source_conf => "log_statement = none\n", target_conf => "log_statement = none\n");
my ($right, $wrong, $key) = ('Kirsch+Baum', 'Pflaumen+Baum', 'Schluessel+Wort');
$source->safe_psql('postgres', <<"SQL");
SET log_min_error_statement = panic;
CREATE ROLE reader LOGIN REPLICATION SUPERUSER PASSWORD '$right';
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (1);
CREATE PUBLICATION p FOR TABLE t;
SQL
my $hba = $source->data_dir . '/pg_hba.conf';
PostgreSQL::Test::Utils::append_to_file("$hba.new", "local all,replication reader scram-sha-256\n" . PostgreSQL::Test::Utils::slurp_file($hba));
rename("$hba.new", $hba) or die $!;
$source->reload;

sub as_pairs { return conninfo($source) . " user=reader password='$_[0]' sslpassword='$key'" }
sub as_uri
{
	my ($password) = @_;
	$password =~ s/\+/%2B/g;
	return "postgresql://reader:$password\@/postgres?host=" . $source->host . '&port=' . $source->port . '&sslpassword=Schluessel%2BWort';
}

my $seen = '';
sub look
{
	my ($sql) = @_;
	my ($out, $err);
	$target->psql('postgres', $sql, stdout => \$out, stderr => \$err, on_error_stop => 0);
	$seen .= "$out\n$err\n";
	return;
}

my $number = 0;
for my $form (\&as_pairs, \&as_uri)
{
	my ($good, $bad) = map { quote_literal($form->($_)) } $right, $wrong;
	my $name = 'c' . ++$number;
	look("SELECT livesync.create_connector('$name', $bad, publications => '{p}')");
	look("SELECT * FROM livesync.check_source($bad)");
	look("SELECT * FROM livesync.source_tables($bad)");
	look("SELECT * FROM livesync.check_source($good, '{p}')");
	look("SELECT * FROM livesync.source_tables($good)");
	look("SELECT livesync.create_connector('$name', $good, publications => '{nowhere}')");
	look("SELECT livesync.create_connector('$name', $good, publications => '{p}', target_schema => '$name')");
	look("SELECT livesync.create_connector('$name', $good, publications => '{p}')");
	look("SELECT livesync.alter_connector('$name', source => $bad)");
	look("SELECT livesync.alter_connector('$name', source => $good)");
}
wait_sync($source, $target, $_) for 'c1', 'c2';
like($seen, qr/password authentication failed/, 'wrong passwords are told as such');
$seen .= $target->safe_psql('postgres', "SELECT application_name, backend_type, query FROM pg_stat_activity WHERE pid <> pg_backend_pid()");
$seen .= $source->safe_psql('postgres', "SELECT application_name, backend_type, query FROM pg_stat_activity WHERE pid <> pg_backend_pid()");
$seen .= `ps -eo args`;

# the workers meet a password that is not right any more
$source->safe_psql('postgres', 'SET log_min_error_statement = panic; ALTER ROLE reader PASSWORD $$another$$');
cut_connections($source);
poll($target, 'postgres', "SELECT count(*) FROM livesync.connectors WHERE last_error ~ 'could not connect'", '2');
for my $view (split /\n/, $target->safe_psql('postgres', "SELECT relname FROM pg_class WHERE relnamespace = 'livesync'::regnamespace AND relkind = 'v'"))
{
	look("SELECT * FROM livesync.$view");
}
look('SELECT last_error, hint FROM livesync.connector');
look('TABLE livesync.event');
my $logs = join "\n", map { PostgreSQL::Test::Utils::slurp_file($_->logfile) } $source, $target;
# this test's own CREATE ROLE is not what is looked for
for my $secret ($right, $wrong, $key)
{
	(my $encoded = $secret) =~ s/\+/%2B/;
	unlike($seen, qr/\Q$secret\E|\Q$encoded\E/, 'not in views, errors, events, processes');
	unlike($logs, qr/\Q$secret\E|\Q$encoded\E/, 'not in a server\'s log');
}
check_logs($source, $target);
done_testing();
