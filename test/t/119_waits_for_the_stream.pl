# What is proved: a table that is loaded, but does not stream yet, says which position it waits for.
#
# Why it matters: with a connector that is behind, a loaded table can stay there for long, and nothing else
# in its line would say why.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
$source->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)');

failpoint($target, 'planned=wait', 'spool_before_commit=wait');
create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.t']);
failpoint_reached($target, 'postgres', 'planned');
$source->safe_psql('postgres', 'INSERT INTO t VALUES (101)');
failpoint_reached($target, 'postgres', 'spool_before_commit');
failpoint($target, 'spool_before_commit=wait');
wait_state($target, 'postgres', 'c', 'public.t', 'catching_up');
wait_text($target, 'postgres', 'c', 'public.t', '^the stream, which is at [0-9A-F]+/[0-9A-F]+, to reach [0-9A-F]+/[0-9A-F]+$');
is($target->safe_psql('postgres', q{SELECT waiting_for ~ 'public.t: the stream' FROM livesync.progress}), 't', 'so does the connector');
clear_failpoints($target);
wait_sync($source, $target, 'c');
is($target->safe_psql('postgres', 'SELECT waiting_for IS NULL FROM livesync.tables'), 't', 'a table that streams waits for nothing');
same_tables($source, 'postgres', $target, 'postgres', ['public.t']);
check_logs($source, $target);
done_testing();
