# A value in binary form that cannot be read here is a matter of that value, not of the connection.
#
# What a receive function says of too few bytes is, by its code, a broken protocol, and a broken protocol is a connection to
# be made again: so a type that the source writes in another way (a fork, an extension that replaces a function, a damaged
# value) would stop all tables for ever, at the same value again and again.  So here the source's send
# functions of some types are exchanged for others.  The values must come as text, in the copy and in the
# stream; where they cannot, their table fails, and the others stream on.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }
sub form      { return at_target("SELECT CASE WHEN is_binary THEN 'binary' ELSE 'text' END FROM livesync.connector WHERE name = '$_[0]'") }
# The source may not have noticed yet that a worker is gone when the next one comes.
sub told      { return at_target("SELECT string_agg(event || ' ' || coalesce(source_table, ''), ', ' ORDER BY at) FROM livesync.events WHERE connector = '$_[0]' AND event IN ('copy_in_text', 'value_unreadable', 'stream_in_text', 'table_failed', 'connector_failed') AND coalesce(detail, '') !~ 'is active for PID'") }
sub column    { my ($what, $table) = @_; return at_target("SELECT $what FROM livesync.tables WHERE source_table = 'public.$table'") }

sub set_function
{
	my ($type, %functions) = @_;
	my $sets = join ', ', map { "$_ = '$functions{$_}'" } sort keys %functions;
	at_source("SET allow_system_table_mods = on; UPDATE pg_type SET $sets WHERE typname = '$type' AND typnamespace = 'pg_catalog'::regnamespace");
	return;
}

sub same
{
	my ($name, @tables) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } @tables ], $name);
}

# too short: four bytes instead of six; too long: eight instead of four
set_function('macaddr', typsend => 'int4send');
set_function('date', typsend => 'int8send');

# --- both in the copy and in the stream ------------------------------------------------------

at_source(<<'SQL');
CREATE TABLE short (id int PRIMARY KEY, v macaddr);
CREATE TABLE long (id int PRIMARY KEY, v date);
CREATE TABLE good (id int PRIMARY KEY, v text);
INSERT INTO short SELECT i, ('08:00:2b:01:02:' || i)::macaddr FROM generate_series(10, 99) i;
INSERT INTO long SELECT i, date '2024-01-01' + i FROM generate_series(1, 99) i;
INSERT INTO good VALUES (1, 'good');
SQL
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.short', 'public.long', 'public.good' ]);
wait_sync($source, $target, 'c');
same('copied', qw(short long good));
is(form('c'), 'binary', 'nothing was known when the stream began');
is(join(', ', sort split /, /, told('c')), 'copy_in_text public.long, copy_in_text public.short', 'the copies went over to text, which is told');

at_source("BEGIN; INSERT INTO good VALUES (2, 'before'); INSERT INTO short VALUES (1, '08:00:2b:01:02:03'); UPDATE short SET v = NULL WHERE id = 11; INSERT INTO good VALUES (3, 'behind'); COMMIT");
wait_caught_up($source, $target, 'c');
is(form('c'), 'text', 'the stream went over to text');
at_source("UPDATE long SET v = v + 1; UPDATE short SET id = -id WHERE id < 20; DELETE FROM good WHERE id = 1");
wait_caught_up($source, $target, 'c');
same('streamed', qw(short long good));
is(join(', ', (split /, /, told('c'))[2, 3]), 'value_unreadable public.short, stream_in_text ', 'which is told');
like(at_target("SELECT detail FROM livesync.events WHERE event = 'value_unreadable'"),
	qr/^A value of column "v" could not be read in binary form: (?:insufficient|no) data left in message\.$/, 'with the reason');
unlike(told('c'), qr/failed/, 'no table failed, nor the connection');

# Once known, it is not tried again.
cut_connections($source);
at_source("INSERT INTO short VALUES (2, '08:00:2b:01:02:04'); INSERT INTO long VALUES (200, '2025-01-01')");
wait_caught_up($source, $target, 'c');
is(form('c'), 'text', 'another connection asks for text at once');
same('streamed on', qw(short long good));

# Some releases (17.11 and 18.6 among them) do not read the binary form of an empty tsquery.
at_source("CREATE TABLE queries (id int PRIMARY KEY, q tsquery); INSERT INTO queries VALUES (1, ''), (2, 'a & b')");
create_connector($target, 'postgres', 'q', conninfo($source), tables => ['public.queries']);
wait_sync($source, $target, 'q');
at_source("INSERT INTO queries VALUES (3, ''), (4, 'c | d'); UPDATE queries SET q = '' WHERE id = 2");
wait_caught_up($source, $target, 'q');
same('an empty tsquery, whatever the servers make of it', 'queries');
unlike(told('q'), qr/failed/, 'without a failure');

# --- values that wait in a spool cannot be asked for as text ---------------------------------

at_source('CREATE TABLE waits (id int PRIMARY KEY, v macaddr8); CREATE TABLE other (id int PRIMARY KEY); INSERT INTO waits VALUES (1, NULL)');
create_connector($target, 'postgres', 'spool', conninfo($source), tables => [ 'public.waits', 'public.other' ]);
wait_sync($source, $target, 'spool');
at_target("SELECT livesync.pause_table('spool', 'public.waits')");
wait_state($target, 'postgres', 'spool', 'public.waits', 'paused');
set_function('macaddr8', typsend => 'int4send');
at_source("INSERT INTO waits VALUES (2, '08:00:2b:01:02:03:04:05')");
my $lsn = source_lsn($source);
poll($source, 'postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name LIKE 'livesync\\_spool\\_%'");
at_target("SELECT livesync.resume_table('spool', 'public.waits')");
wait_state($target, 'postgres', 'spool', 'public.waits', 'failed');
like(column('last_error', 'waits'), qr/^a value of column "v" could not be read in binary form: (?:insufficient|no) data left in message/, 'the table fails with the reason');
like(column('hint', 'waits'), qr/resync_table/, 'and what to do');
is(at_target("SELECT error_lsn IS NOT NULL FROM livesync.synced_table WHERE source_name = 'waits'"), 't', 'and its position');
poll($target, 'postgres', "SELECT NOT is_binary FROM livesync.connector WHERE name = 'spool'");
at_source("INSERT INTO other VALUES (1); INSERT INTO waits VALUES (3, '08:00:2b:01:02:03:04:06')");
poll($target, 'postgres', 'SELECT count(*) = 1 FROM other');
at_target("SELECT livesync.resync_table('spool', 'public.waits')");
wait_sync($source, $target, 'spool');
at_source("UPDATE waits SET v = '08:00:2b:01:02:03:04:07' WHERE id < 3");
wait_caught_up($source, $target, 'spool');
same('copied again, and streaming as text', qw(waits other));
unlike(told('spool'), qr/connector_failed/, 'the connection never failed');

# --- and what cannot be read as text either --------------------------------------------------

at_source('CREATE TABLE broken (id int PRIMARY KEY, v circle); INSERT INTO other VALUES (10)');
create_connector($target, 'postgres', 'text', conninfo($source), tables => [ 'public.broken' ]);
wait_sync($source, $target, 'text');
set_function('circle', typsend => 'int4send', typoutput => 'int4out');
at_source("INSERT INTO broken VALUES (1, '<(1,2),3>')");
wait_state($target, 'postgres', 'text', 'public.broken', 'failed');
like(column('last_error', 'broken'), qr/^invalid input syntax for type circle/, 'a table fails whose values cannot be read at all');
set_function('circle', typsend => 'circle_send', typoutput => 'circle_out');
at_target("SELECT livesync.resync_table('text', 'public.broken')");
wait_sync($source, $target, 'text');
same('and is mended by another copy', 'broken');
unlike(told('text'), qr/connector_failed/, 'the connection never failed');

check_logs($source, $target);
done_testing();
