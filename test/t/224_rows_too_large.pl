# A row that is too large for the source to send it is a matter of its table, wherever that can be, and says what to do.
#
# A server forms a row for the wire in memory, of up to 1 GB, and a bytea has twice its size as text: so a value of 600 MB
# cannot be copied as text, but in binary form.  Nobody finds that behind "invalid memory alloc request size".
#
# Such rows take minutes and gigabytes.  So here a value of a few bytes makes the source ask for as much memory: type circle
# is given the output function of bytea, which takes the beginning of the circle for the length of a bytea of 600 MB.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_conf => "livesync.binary_values = off\n");

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }

sub allow_binary
{
	my ($how) = @_;
	at_target("ALTER SYSTEM SET livesync.binary_values = $how");
	at_target('SELECT pg_reload_conf()');
	return poll($target, 'postgres', 'SHOW livesync.binary_values', $how);
}

sub set_output
{
	my ($function) = @_;
	at_source("SET allow_system_table_mods = on; UPDATE pg_type SET typoutput = '$function' WHERE typname = 'circle'");
	return;
}

# the lower half of its first number is the header of a bytea of that size
my $huge = q{circle(point(1.0000005587935483, 2), 3)};
my $says = qr/a row is too large for the source to send it: invalid memory alloc request size 1258291203/;

# --- in the copy -----------------------------------------------------------------------------

set_output('byteaout');
at_source("CREATE TABLE huge (id int PRIMARY KEY, v circle); CREATE TABLE other (id int PRIMARY KEY); INSERT INTO huge VALUES (1, $huge); INSERT INTO other VALUES (1)");
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.huge', 'public.other' ]);
poll($target, 'postgres', "SELECT state = 'streaming' FROM livesync.tables WHERE source_table = 'public.other'");
poll($target, 'postgres', "SELECT count(*) >= 2 FROM livesync.events WHERE event = 'table_failed' AND source_table = 'public.huge'");
my ($why, $hint) = failure_of($target, 'postgres', 'c', 'public.huge');
like($why, $says, 'the table fails, and says why');
like($hint, qr/binary form.*leave the column or the row out/, 'and what to do');
at_source('INSERT INTO other VALUES (2)');
poll($target, 'postgres', 'SELECT count(*) = 2 FROM other');
pass('others stream on meanwhile');

allow_binary('on');
retry_table($target, 'postgres', 'c', 'public.huge');
wait_sync($source, $target, 'c');
is(at_target('SELECT v FROM huge'), '<(1.0000005587935483,2),3>', 'in binary form it can be copied');
is(at_target("SELECT string_agg(DISTINCT event, ' ') FROM livesync.events WHERE event = 'connector_failed'"), '', 'nothing else failed');

# --- in the stream ---------------------------------------------------------------------------

allow_binary('off');
at_target("SELECT livesync.pause_connector('c')");
at_target("SELECT livesync.resume_connector('c')");
poll($target, 'postgres', "SELECT NOT is_binary FROM livesync.connector");
at_source("BEGIN; INSERT INTO other VALUES (3); INSERT INTO huge VALUES (2, $huge); COMMIT");
# between two tries, while it connects, it has none
poll($target, 'postgres', "SELECT last_error ~ 'a row is too large for the source to send it' AND hint ~ 'binary form' FROM livesync.connectors");
pass('a change that the source cannot send stops the stream, which says why and what to do');

# The form is chosen when the stream begins, which it now does again and again.
allow_binary('on');
poll($target, 'postgres', 'SELECT count(*) = 3 FROM other');
wait_sync($source, $target, 'c');
is(at_target('SELECT count(*) FROM huge'), '2', 'in binary form it comes');

# --- and in between --------------------------------------------------------------------------

# compare_table() reads rows as text.
my ($result, $out, $error) = $target->psql('postgres', "SELECT * FROM livesync.compare_table('c', 'public.huge')");
like($error, $says, 'a comparison says so too');

set_output('circle_out');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.huge', 'public.other' ], 'all is there');

# Where a bytea is compared, its text is not made.
at_source(q{CREATE TABLE blobs (id int PRIMARY KEY, v bytea); INSERT INTO blobs SELECT i, decode(md5(i::text), 'hex') FROM generate_series(1, 9) i});
at_target("SELECT livesync.add_table('c', 'public.blobs')");
wait_sync($source, $target, 'c');
is(at_target("SELECT count(*) FROM livesync.compare_table('c', 'public.blobs')"), '1', 'equal bytea are equal');
at_target(q{UPDATE blobs SET v = v || '\x00' WHERE id = 3});
cmp_ok(at_target("SELECT count(*) FROM livesync.compare_table('c', 'public.blobs')"), '>', 1, 'and one that differs is found');

check_logs($source, $target);
done_testing();
