# What is proved: pausing, resuming and dropping connectors do what they say, at once and only when the
# calling transaction commits: after a pause nothing is applied any more, a resume goes on without a gap,
# a drop leaves nothing at the source and no position here, also when the source is away at that moment.
#
# Why it matters: these are the calls of operators, and of scripts in transactions that may roll back.  A
# slot that is forgotten at a source fills its disk.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';

$source->safe_psql($db, <<'SQL');
CREATE TABLE one (id int PRIMARY KEY);
CREATE TABLE two (id int PRIMARY KEY);
INSERT INTO one SELECT generate_series(1, 100);
INSERT INTO two SELECT generate_series(1, 100);
CREATE PUBLICATION theirs FOR TABLE two;
SQL

# What there is of us, at both sides.
sub at_source
{
	return $source->safe_psql($db, <<'SQL');
SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT string_agg(pubname, ' ' ORDER BY pubname) FROM pg_publication)
SQL
}

sub at_target
{
	return $target->safe_psql($db, <<'SQL');
SELECT (SELECT count(*) FROM pg_replication_origin), (SELECT string_agg(name, ' ' ORDER BY name) FROM livesync.connectors)
SQL
}

sub running
{
	my ($name) = @_;
	return $target->safe_psql($db, <<"SQL");
SELECT count(*) FROM livesync.connector_activity() a JOIN livesync.connector c ON c.id = a.connector_id
WHERE c.name = '$name' AND a.pid IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'livesync connector')
SQL
}

sub rows { return $_[0]->safe_psql($db, "SELECT count(*) FROM $_[1]") }

sub fails
{
	my ($sql, $pattern, $name) = @_;
	my ($out, $err);
	my $status = $target->psql($db, $sql, stdout => \$out, stderr => \$err);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($status != 0, "$name: is refused");
	return like($err, $pattern, "$name: says why");
}

# --- what is rolled back never was -------------------------------------------------------------

my $create = "SELECT livesync.create_connector('c', " . quote_literal(conninfo($source)) . q{, tables => '{public.one}')};
$target->safe_psql($db, "BEGIN; $create; ROLLBACK");

# --- two connectors in one database ------------------------------------------------------------

create_connector($target, $db, 'c', conninfo($source), tables => ['public.one']);
create_connector($target, $db, 'd', conninfo($source), publications => ['theirs']);
wait_sync($source, $target, $_) for qw(c d);
is(at_source(), '2|livesync_c theirs', 'each connector has a slot, and a publication when it was given none');
is(at_target(), '2|c d',               'and a position');
is($target->safe_psql($db, q{SELECT event, count(*) FROM livesync.events WHERE event = 'connector_created' GROUP BY 1}),
	'connector_created|2', 'the call that was rolled back left nothing');

fails("SELECT livesync.drop_connector('c')", qr/connector "c" is not paused\n.*pause_connector/s, 'a drop of what runs');
fails("SELECT livesync.pause_connector('x')", qr/connector "x" does not exist/, 'a pause of what is not there');
fails($create, qr/connector "c" already exists/, 'a second one of a name');
is(at_target() . at_source(), '2|c d2|livesync_c theirs', 'nothing came of what was refused');

# --- pause and resume --------------------------------------------------------------------------

# Under load, and seen by a session that has not committed yet.
$source->safe_psql($db, 'CREATE TABLE ignored (v int)');
my $script = PostgreSQL::Test::Utils::tempdir() . '/insert.sql';
PostgreSQL::Test::Utils::append_to_file($script, "INSERT INTO one SELECT max(id) + 1 FROM one;\n");
my $load = start_pgbench($source, $db, '-c', 1, '-R', 200, '-T', 3600, '-f', $script);

my $session = session($target, $db);
$session->query_safe('BEGIN');
$session->query_safe("SELECT livesync.pause_connector('c')");
is(running('c'), 0, 'after a pause its worker is gone');
is(running('d'), 1, 'that of another connector is not');
my $paused = rows($target, 'one');
poll($source, $db, "SELECT count(*) > $paused + 50 FROM one");
is(rows($target, 'one'), $paused, 'nothing is applied after a pause, also before it commits');

$session->query_safe('ROLLBACK');
poll($target, $db, "SELECT count(*) > $paused FROM one");
pass('a pause that is rolled back ends with its transaction');

$session->query_safe("SELECT livesync.pause_connector('c')");
$paused = rows($target, 'one');
poll($source, $db, "SELECT count(*) > $paused + 50 FROM one");
is(rows($target, 'one'), $paused, 'nothing is applied after a pause');
is($target->safe_psql($db, q{SELECT status FROM livesync.connectors WHERE name = 'c'}), 'paused', 'the view says so');
$source->safe_psql($db, 'INSERT INTO two VALUES (101)');
wait_caught_up($source, $target, 'd');
is(rows($target, 'two'), 101, 'the other connector goes on');
is(at_source(), '2|livesync_c theirs', 'a paused connector keeps its slot');

$session->query_safe("BEGIN");
$session->query_safe("SELECT livesync.resume_connector('c')");
is(running('c'), 0, 'a resume waits for its transaction');
$session->query_safe('ROLLBACK');
is($target->safe_psql($db, q{SELECT status FROM livesync.connectors WHERE name = 'c'}), 'paused', 'and ends with it');

$session->query_safe("SELECT livesync.resume_connector('c')");
stop_pgbench($load);
wait_caught_up($source, $target, 'c');
same_tables($source, $db, $target, $db, [ 'public.one', 'public.two' ], 'after a resume nothing is missing');

# --- drop --------------------------------------------------------------------------------------

$session->query_safe("SELECT livesync.pause_connector('c')");
$session->query_safe('BEGIN');
$session->query_safe("SELECT livesync.drop_connector('c')");
$session->query_safe('ROLLBACK');
is(at_target() . at_source(), '2|c d2|livesync_c theirs', 'a drop that is rolled back leaves all in place');
$session->query_safe("SELECT livesync.resume_connector('c')");
$source->safe_psql($db, 'INSERT INTO one SELECT max(id) + 1 FROM one');
wait_caught_up($source, $target, 'c');
same_tables($source, $db, $target, $db, ['public.one'], 'so the connector can go on');

$session->query_safe("SELECT livesync.pause_connector('c')");
$session->query_safe("SELECT livesync.drop_connector('c')");
poll($source, $db, q{SELECT count(*) = 1 FROM pg_replication_slots});
poll($target, $db, 'SELECT count(*) = 0 FROM livesync.cleanup');
is(at_source(), '1|theirs', 'a drop takes the slot and the publication of our own');
is(at_target(), '1|d',      'and the position');
same_tables($source, $db, $target, $db, ['public.one'], 'what was copied stays');
is(running('d'), 1, 'the other connector runs');

# --- drop without the source -------------------------------------------------------------------

$session->query_safe("SELECT livesync.pause_connector('d')");
$source->stop;
fails("SELECT livesync.drop_connector('d')", qr/could not connect to the source/, 'a drop without the source');
is(at_target(), '1|d', 'nothing came of it');
$session->query_safe("SELECT livesync.drop_connector('d', force => true)");
poll($target, $db, 'SELECT count(*) = 1 FROM livesync.cleanup WHERE last_error IS NOT NULL');
is(at_target(), '0|', 'by force the connector and its position go at once');
$source->start;
poll($source, $db, 'SELECT count(*) = 0 FROM pg_replication_slots');
poll($target, $db, 'SELECT count(*) = 0 FROM livesync.cleanup');
is(at_source(), '0|theirs', 'the slot goes when the source is back; a publication that is not ours stays');

# --- a name can be used again ------------------------------------------------------------------

$target->safe_psql($db, 'TRUNCATE one');
create_connector($target, $db, 'c', conninfo($source), tables => ['public.one']);
wait_sync($source, $target, 'c');
same_tables($source, $db, $target, $db, ['public.one'], 'a connector of the same name starts afresh');

$session->quit;
check_logs($source, $target);
done_testing();
