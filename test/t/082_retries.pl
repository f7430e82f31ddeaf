# What is proved: a table that failed is tried again by itself, after pauses that grow, until it works; and the
# changes that came meanwhile are all there then.
#
# Why it matters: a full disk or a lock that is held for an hour ends without anybody to call retry_table(); and
# a table that is tried again all the time costs the others.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';
$source->safe_psql($db, 'CREATE TABLE t (id int PRIMARY KEY, n int); CREATE TABLE other (id int PRIMARY KEY)');
create_connector($target, $db, 'c', conninfo($source), tables => [ 'public.t', 'public.other' ]);
wait_sync($source, $target, 'c');

# No change of the definition tells when it is over.
$target->safe_psql($db, <<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF to_regclass('public.too_early') IS NOT NULL THEN
		RAISE EXCEPTION 'too early';
	ELSIF to_regclass('public.disk_full') IS NOT NULL THEN
		RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE t ENABLE ALWAYS TRIGGER refuse;
CREATE TABLE too_early ();
SQL
$source->safe_psql($db, 'INSERT INTO t SELECT i, i FROM generate_series(1, 100) i; INSERT INTO other VALUES (1)');

my $failures = q{FROM livesync.events WHERE source_table = 'public.t' AND event = 'table_failed'};
poll($target, $db, "SELECT count(*) >= 6 $failures");
is($target->safe_psql($db, 'SELECT count(*) FROM other'), 1, 'another table does not wait');
is((failure_of($target, $db, 'c', 'public.t'))[0], 'too early', 'the error is told');
$source->safe_psql($db, 'UPDATE t SET n = n + 1; DELETE FROM t WHERE id > 90; INSERT INTO other VALUES (2)');

# A busy machine makes pauses longer, never shorter: so each is held against the least that it must be.
my @pauses = split /\n/, $target->safe_psql($db,
	"SELECT extract(epoch FROM at - lag(at) OVER (ORDER BY at)) $failures ORDER BY at OFFSET 1 LIMIT 5");
diag("pauses: @pauses");
my $least = 0.1;
for my $pause (@pauses)
{
	cmp_ok($pause, '>=', $least, "at least $least s");
	$least *= 2;
}
$target->safe_psql($db, 'DROP TABLE too_early');
wait_caught_up($source, $target, 'c');
poll($target, $db, q{SELECT state = 'streaming' FROM livesync.tables WHERE source_table = 'public.t'});
same_tables($source, $db, $target, $db, [ 'public.t', 'public.other' ]);

# --- a disk that is full -----------------------------------------------------------------------

# That is nobody's fault, so the connector as a whole tries again, but not for ever: it may be the disk of one table.
$target->safe_psql($db, 'DELETE FROM livesync.events; CREATE TABLE disk_full ()');
$source->safe_psql($db, 'INSERT INTO t VALUES (1000, 1); INSERT INTO other VALUES (3)');
poll($target, $db, 'SELECT count(*) = 3 FROM other');
is($target->safe_psql($db, q{SELECT string_agg(coalesce(source_table || ' ', '') || event, ', ' ORDER BY at) FROM
	(SELECT * FROM livesync.events WHERE event IN ('connector_failed', 'table_failed') ORDER BY at LIMIT 4) e}),
	'connector_failed, connector_failed, connector_failed, public.t table_failed', 'three tries of the connector, then the table is set apart');
$target->safe_psql($db, 'DROP TABLE disk_full');
poll($target, $db, q{SELECT state = 'streaming' FROM livesync.tables WHERE source_table = 'public.t'});
wait_caught_up($source, $target, 'c');
same_tables($source, $db, $target, $db, [ 'public.t', 'public.other' ]);
check_logs($source, $target);
done_testing();
