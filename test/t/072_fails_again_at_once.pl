# What is proved: a table that fails in the stream, or is locked here, is not taken for caught up before the change that it
# failed with has come again, however long the source takes to send it and however soon the table is tried again.
#
# Why it matters: it would stream with nothing parked, and fail with the same change once more: then all that
# the connector has received begins again, and other tables get no further than that change.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

# The source sends a transaction in pieces, and its commit long after the table may be tried again.
my ($source, $target) = pair(
	source_conf => "logical_decoding_work_mem = 64kB\n",
	target_conf => "livesync.retry_delay = '10ms'\nlivesync.lock_timeout = '100ms'\n");

sub source { return $source->safe_psql('postgres', $_[0]); }
sub target { return $target->safe_psql('postgres', $_[0]); }
sub events { my ($event) = @_; return target("SELECT count(*) FROM livesync.events WHERE source_table = 'public.t' AND event = '$event'"); }

source('CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY)');
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.t', 'public.other' ]);
wait_sync($source, $target, 'c');

# --- a change that fails -----------------------------------------------------------------------

target(q{ALTER TABLE t ADD CHECK (v <> 'bad'); DELETE FROM livesync.event});
source(q{INSERT INTO t SELECT i, CASE WHEN i < 100000 THEN 'good' ELSE 'bad' END FROM generate_series(1, 100000) i; INSERT INTO other VALUES (1)});
poll($target, 'postgres', 'SELECT count(*) = 1 FROM other');
poll($target, 'postgres', q{SELECT count(*) = 1 FROM livesync.tables WHERE source_table = 'public.t' AND state = 'failed' AND spooled_changes > 0});
is(events('table_streaming'), '0', 'a table that failed does not stream before the change has come again');
target('ALTER TABLE t DROP CONSTRAINT t_v_check');
retry_table($target, 'postgres', 'c', 'public.t');
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.other' ], 'and then it has everything');

# --- a lock ------------------------------------------------------------------------------------

# The commit record before that of the change ends where this one begins.
target('DELETE FROM livesync.event');
my $locker = session($target, 'postgres', 'locker');
$locker->query_safe('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
my ($first, $second) = map { session($source, 'postgres', "writer $_") } 1, 2;
$second->query_safe(q{BEGIN; UPDATE t SET v = 'locked' WHERE id = 1});
$first->query_safe('INSERT INTO other VALUES (2)');
poll($target, 'postgres', 'SELECT count(*) = 2 FROM other');
$second->query_safe('COMMIT');
poll($target, 'postgres', q{SELECT spooled_changes > 0 FROM livesync.tables WHERE source_table = 'public.t'});
source('INSERT INTO other VALUES (3)');
poll($target, 'postgres', 'SELECT count(*) = 3 FROM other');
is(events('table_waits_for_lock'), '1', 'a table that is locked is set apart once');
is(events('table_streaming'), '0', 'and does not stream meanwhile');
$locker->query_safe('COMMIT');
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.other' ], 'it catches up when the lock is free');
$_->quit for $locker, $first, $second;

check_logs($source, $target);
done_testing();
