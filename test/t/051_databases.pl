# What is proved: connectors live in several databases of one server.  After a restart of the server all
# of them run again without a call.  DROP EXTENSION and a plain DROP DATABASE succeed promptly while a
# connector runs there, end its processes, and disturb no other.  When there is no place for one more
# connector, the call says so, and a place that was left is used again.
#
# Why it matters: no list of databases is configured anywhere, so the workers themselves must notice
# what comes and goes; and a background worker in a database is what makes DROP DATABASE fail.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;
use Time::HiRes qw(time);

my ($source, $target) = pair(target_conf => "livesync.max_connectors = 3\n");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t SELECT generate_series(1, 10);
SQL
for my $db (qw(one two three))
{
	$target->safe_psql('postgres', "CREATE DATABASE $db");
	$target->safe_psql($db,        'CREATE EXTENSION pg_livesync');
	create_connector($target, $db, "of_$db", conninfo($source), tables => ['public.t']);
}
# One that has nothing of ours.
$target->safe_psql('postgres', 'CREATE DATABASE empty');

sub add_row { return $source->safe_psql('postgres', 'INSERT INTO t SELECT max(id) + 1 FROM t') }

sub all_follow
{
	my ($name, @databases) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	add_row();
	for my $db (@databases)
	{
		wait_sync($source, $target, "of_$db", target_db => $db);
		same_tables($source, 'postgres', $target, $db, ['public.t'], "$name: database $db");
	}
	return;
}

sub connector_processes
{
	return $target->safe_psql('postgres', <<'SQL');
SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_stat_activity WHERE backend_type = 'livesync connector'
SQL
}

all_follow('side by side', qw(one two three));
is(connector_processes(), 'one three two', 'a process for each');

# --- a restart ---------------------------------------------------------------------------------

for my $mode (qw(fast immediate))
{
	$target->stop($mode);
	add_row();
	$target->start;
	all_follow("after a restart ($mode)", qw(one two three));
}
poll($target, 'postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'livesync scout'});
pass('the scouts have gone again');

# --- no place is left --------------------------------------------------------------------------

my $more = 'livesync.create_connector($$more$$, ' . quote_literal(conninfo($source)) . q{, tables => '{public.t}', target_schema => 'more')};
$target->safe_psql('one', 'CREATE SCHEMA more');
my ($out, $err);
$target->psql('one', "SELECT $more", stdout => \$out, stderr => \$err);
like($err, qr/ERROR:  no place for another connector\n.*HINT:  Raise livesync\.max_connectors/s,
	'one connector too many is refused');
is($target->safe_psql('one', 'SELECT string_agg(name, $$ $$) FROM livesync.connectors'), 'of_one', 'nothing came of it');

# A drop needs a worker to clean up at the source, which must have a place nevertheless.
$target->safe_psql('three', q{SELECT livesync.pause_connector('of_three')});
$target->safe_psql('three', q{SELECT livesync.drop_connector('of_three')});
ok(poll($source, 'postgres', 'SELECT count(*) = 2 FROM pg_replication_slots'),
	'a drop cleans up at the source when all places are in use');

# What is rolled back takes no place.
$target->safe_psql('one', "BEGIN; SELECT $more; ROLLBACK");
$target->safe_psql('three', 'TRUNCATE t');
my $again = 'SELECT livesync.create_connector($$of_three$$, ' . quote_literal(conninfo($source)) . q{, tables => '{public.t}')};
# It is given back by a worker, which takes a moment.
poll($target, 'three', "$again IS NOT NULL");
all_follow('a place that was left is used again', qw(three));

# --- DROP EXTENSION ----------------------------------------------------------------------------

my $start = time();
$target->safe_psql('one', 'DROP EXTENSION pg_livesync');
cmp_ok(time() - $start, '<', 60, 'DROP EXTENSION does not wait for the workers');
poll($target, 'postgres',
	q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'one' AND backend_type LIKE 'livesync%'});
all_follow('after DROP EXTENSION elsewhere', qw(two three));
is(connector_processes(), 'three two', 'DROP EXTENSION ends the processes of its database only');

# --- DROP DATABASE -----------------------------------------------------------------------------

# In the middle of a copy, which has processes of its own.
$source->safe_psql('postgres', 'CREATE TABLE copying (id int PRIMARY KEY); INSERT INTO copying VALUES (1)');
failpoint($target, 'chunk_loaded/public.copying=wait');
$source->safe_psql('postgres', 'ALTER PUBLICATION livesync_of_two ADD TABLE copying');
failpoint_reached($target, 'postgres', 'chunk_loaded');
# It fails when somebody is still there after five seconds.
$target->safe_psql('postgres', 'DROP DATABASE two');
pass('DROP DATABASE ends the workers there');
clear_failpoints($target);
all_follow('after DROP DATABASE elsewhere', qw(three));
is(connector_processes(), 'three', 'no process is left of it');

# One that fails must not stop the connector for good.
my $session = session($target, 'three');
$session->query_safe('SELECT 1');
$target->psql('postgres', 'DROP DATABASE three', stderr => \$err);
like($err, qr/is being accessed by other users/, 'DROP DATABASE with a session of a user fails as ever');
$session->quit;
all_follow('after a DROP DATABASE that failed', qw(three));

check_logs($source, $target);
done_testing();
