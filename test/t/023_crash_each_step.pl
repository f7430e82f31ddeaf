# A copy that dies between any two of its steps goes on after a restart, and ends equal.
#
# The steps hand over what they know by what they commit: "changes are parked from here on", the gate, the
# plan, the chunks and their ledger, the indexes, the end of the copy, the spool that is drained, the flip.
# If one of them committed too little, too much or in the wrong order, a death right there would lose rows,
# bring some twice, or leave a table standing still for ever.  A kill of the worker keeps what is
# committed; an immediate stop of the server also loses what was not flushed yet, the newest commits.
#
# The tables, one with a key and one without, are written to all the time, so that each step has changes
# to be wrong about.

use strict;
use warnings;

use lib 'test/perl';
use IPC::Run ();
use LiveSync;
use Test::More;

# In their order, but for the first: that of the connector, before there is a table.
my @places = qw(slot_created spool_started gate_passed planned chunk_locked chunk_loaded chunk_committed
  load_finished key_index_wanted key_index_built drain_segment index_wanted index_built before_flip after_flip);

my ($source, $target) = pair(
	source_conf => "autovacuum = off\nlog_min_messages = fatal\n",
	target_conf => "livesync.chunk_size = '8kB'\n");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE stop_writing (at timestamptz);
-- What breaks the key is rolled back alone.
CREATE FUNCTION try(sql text, a int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE sql USING a;
EXCEPTION WHEN unique_violation THEN
	NULL;
END $$;
CREATE PROCEDURE write_to(name text) LANGUAGE plpgsql AS $$
DECLARE
	a int;
	keyed text := name || '.keyed';
	keyless text := name || '.keyless';
BEGIN
	WHILE NOT EXISTS (SELECT FROM stop_writing) LOOP
		a := random() * 150;
		PERFORM try('UPDATE ' || keyed || ' SET v = v + 1 WHERE id BETWEEN $1 AND $1 + 3', a);
		PERFORM try('INSERT INTO ' || keyed || ' VALUES ($1, 0, repeat($1::text, 700))', a + 1);
		PERFORM try('UPDATE ' || keyed || ' SET id = id + 1000 WHERE id = $1', a + 2);
		PERFORM try('UPDATE ' || keyless || ' SET v = v + 1 WHERE ctid = (SELECT max(ctid) FROM ' || keyless || ' WHERE id = $1)', a);
		PERFORM try('INSERT INTO ' || keyless || ' VALUES ($1, 0), ($1, 0)', a);
		COMMIT;
		PERFORM try('DELETE FROM ' || keyed || ' WHERE id IN ($1, $1 + 990)', a + 5);
		PERFORM try('DELETE FROM ' || keyless || ' WHERE id = $1', a + 5);
		COMMIT;
		PERFORM pg_sleep(0.005);
	END LOOP;
END $$;
SQL

my $written;    # what the writer says: nothing

sub start_writing
{
	my ($name) = @_;
	$source->safe_psql('postgres', <<"SQL");
TRUNCATE stop_writing;
CREATE SCHEMA $name;
CREATE TABLE $name.keyed (id int PRIMARY KEY, v int NOT NULL, long text);
CREATE INDEX ON $name.keyed (v);
ALTER TABLE $name.keyed ALTER long SET STORAGE EXTERNAL;
INSERT INTO $name.keyed SELECT i, 0, CASE WHEN i % 3 = 0 THEN repeat(i::text, 700) ELSE repeat('x', 400) END FROM generate_series(1, 150) i;
DELETE FROM $name.keyed WHERE id % 4 = 0;
CREATE TABLE $name.keyless (id int, v int, pad text DEFAULT repeat('x', 300));
ALTER TABLE $name.keyless REPLICA IDENTITY FULL;
INSERT INTO $name.keyless SELECT i % 150, 0 FROM generate_series(1, 200) i;
SQL
	$source->safe_psql('postgres', "VACUUM $name.keyed");
	return IPC::Run::start([ 'psql', '-Xq', '-d', $source->connstr('postgres'), '-c', "CALL write_to('$name')" ],
		'<', \undef, '>&', \$written);
}

sub stop_writing
{
	my ($writer) = @_;
	$source->safe_psql('postgres', 'INSERT INTO stop_writing VALUES (now())');
	$writer->finish;
	return is($written, '', 'it was written to all the time');
}

sub kill_who_waits
{
	my ($place) = @_;
	my $pid = $target->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query = 'failpoint $place' LIMIT 1");
	return kill_process($target, $pid);
}

# Waits until a worker is there again.  False when both tables stream without: what was committed there has outlived
# every death so far, for each of them, which takes a slow machine.
sub comes_again
{
	my ($place) = @_;
	my $waits = "EXISTS (SELECT FROM pg_stat_activity WHERE query = 'failpoint $place')";
	poll($target, 'postgres', "SELECT $waits OR (SELECT count(*) = 2 FROM livesync.tables WHERE connector = '$place' AND state = 'streaming')");
	return $target->safe_psql('postgres', "SELECT $waits") eq 't';
}

for my $place (@places)
{
	my $writer = start_writing($place);
	failpoint($target, "$place=wait");
	create_connector($target, 'postgres', $place, conninfo($source), tables => ["$place.*"], copy_workers => 2);
	failpoint_reached($target, 'postgres', $place);
	kill_who_waits($place);
	if (comes_again($place))
	{
		$target->stop('immediate');
		$target->start;
		comes_again($place);
	}
	clear_failpoints($target);
	wait_state($target, 'postgres', $place, "$place.$_", 'streaming') for qw(keyed keyless);
	stop_writing($writer);
	wait_sync($source, $target, $place);
	same_tables($source, 'postgres', $target, 'postgres', [ "$place.keyed", "$place.keyless" ], "$place: equal after deaths there");
	$target->safe_psql('postgres', "SELECT livesync.pause_connector('$place')");
	is($target->safe_psql('postgres', "SELECT string_agg(detail, '; ') FROM livesync.events WHERE connector = '$place' AND event = 'table_failed'"), '', "$place: no table failed");
	is( $target->safe_psql('postgres', 'SELECT (SELECT count(*) FROM livesync.spool) + (SELECT count(*) FROM livesync.aside)'),
		'0', "$place: nothing is left over");
	$target->safe_psql('postgres', "SELECT livesync.drop_connector('$place')");
}

poll($target, 'postgres', 'SELECT count(*) = 0 FROM livesync.cleanup');
is($source->safe_psql('postgres', 'SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication)'),
	'0|0', 'nothing is left at the source');
check_logs($source, $target);
done_testing();
