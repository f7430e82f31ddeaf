# Messages that the source writes into its WAL by pg_logical_emit_message(): those with the prefix livesync
# are told in livesync.events, all others are skipped.
#
# People write them to mark a place in the stream ("the nightly load is over"), and read here when the
# target has passed it.  So each must come once, in its order among the rows, and whatever bytes it holds.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(source_conf => "logical_decoding_work_mem = '64kB'");

sub source { return $source->safe_psql('postgres', $_[0]); }
sub target { return $target->safe_psql('postgres', $_[0]); }
sub messages { return target(q{SELECT coalesce(string_agg(detail, ',' ORDER BY at), '') FROM livesync.events WHERE event = 'message'}); }

source('CREATE TABLE t (id int PRIMARY KEY, v text)');
create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.t']);
wait_sync($source, $target, 'c');

source(q{SELECT pg_logical_emit_message(true, 'livesync', 'one')});
source(q{SELECT pg_logical_emit_message(true, 'other', 'not ours'), pg_logical_emit_message(false, 'other', 'not ours')});
source(q{BEGIN; INSERT INTO t VALUES (1, 'a'); SELECT pg_logical_emit_message(true, 'livesync', 'two'); SAVEPOINT s;
	SELECT pg_logical_emit_message(true, 'livesync', 'undone'); ROLLBACK TO s; INSERT INTO t VALUES (2, 'b'); COMMIT});
source(q{BEGIN; SELECT pg_logical_emit_message(true, 'livesync', 'never'); ROLLBACK});
poll($target, 'postgres', q{SELECT count(*) = 2 FROM livesync.events WHERE event = 'message'});
is(messages(), 'one,two', 'those of transactions that committed');

source(q{SELECT pg_logical_emit_message(false, 'livesync', 'three')});
poll($target, 'postgres', q{SELECT count(*) = 3 FROM livesync.events WHERE event = 'message'});
pass('one outside of a transaction comes without anything behind it');

source(q{BEGIN; INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(10, 3000) i; SELECT pg_logical_emit_message(true, 'livesync', 'four'); COMMIT});
poll($target, 'postgres', q{SELECT count(*) = 4 FROM livesync.events WHERE event = 'message'});
is(target('SELECT count(*) FROM t'), 2993, 'one of a large transaction comes with its rows');

# What was taken just before a crash is taken once; the worker begins again where the position is.
crash($target, 'apply_before_commit', sub { source(q{SELECT pg_logical_emit_message(true, 'livesync', 'five')}) });
poll($target, 'postgres', q{SELECT count(*) = 5 FROM livesync.events WHERE event = 'message'});
crash($target, 'apply_after_commit', sub { source(q{SELECT pg_logical_emit_message(false, 'livesync', 'six')}) });
poll($target, 'postgres', q{SELECT count(*) = 6 FROM livesync.events WHERE event = 'message'});
target(q{SELECT livesync.pause_connector('c'); SELECT livesync.resume_connector('c')});
source(q{INSERT INTO t VALUES (5000)});
wait_caught_up($source, $target, 'c');
is(messages(), 'one,two,three,four,five,six', 'each came once, also over crashes and a pause');

source(q{SELECT pg_logical_emit_message(true, 'livesync', '\xff00fe'::bytea)});
source(q{SELECT pg_logical_emit_message(true, 'livesync', repeat('ä', 100000))});
source(q{SELECT pg_logical_emit_message(true, 'livesync', '')});
poll($target, 'postgres', q{SELECT count(*) = 9 FROM livesync.events WHERE event = 'message'});
is(target(q{SELECT string_agg(left(detail, 8) || ' ' || length(detail), ',' ORDER BY at) FROM livesync.events WHERE event = 'message' AND detail !~ '^[a-z]+$'}),
	'\xff00fe 8,ääääääää 2048, 0', 'bytes that are no text, and long ones');

wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.t']);
check_logs($source, $target);
done_testing();

# The worker ends at the failpoint while it takes what the function makes.
sub crash
{
	my ($node, $name, $make) = @_;
	failpoint($node, "$name=wait");
	$make->();
	failpoint_reached($node, 'postgres', $name);
	target('SELECT pg_terminate_backend(' . worker_pid($node, 'postgres', 'connector') . ', 10000)');
	failpoint($node);
	return;
}
