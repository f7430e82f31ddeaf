# What is proved: while the copy of a table is under way, for however long, the slot at the source goes
# on: its position is confirmed, its catalog_xmin and restart_lsn move, WAL is freed; and between two
# chunks no session of ours holds a snapshot there, so VACUUM removes dead rows.
#
# Why it matters: a copy that takes a slot or a snapshot for as long as it runs makes the source keep
# WAL and dead rows for hours.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

# A segment of WAL is soon full, and nothing but the slot asks to keep one.
my ($source, $target) = pair(
	source_init => ['--wal-segsize=1'],
	source_conf => "min_wal_size = '2MB'\nmax_wal_size = '8MB'\nautovacuum = off\n",
	target_conf => "livesync.chunk_size = '8kB'\n");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, filler text NOT NULL);
INSERT INTO t SELECT n, 0, repeat('x', 700) FROM generate_series(1, 200) n;
CREATE TABLE streaming (id int PRIMARY KEY, v int NOT NULL);
INSERT INTO streaming SELECT n, 0 FROM generate_series(1, 1000) n;
CREATE TABLE unpublished (filler text);
SQL

# One chunk of t is finished and the worker waits before the next.
failpoint($target, 'chunk_committed/public.t=wait');
create_connector($target, 'postgres', 'c', conninfo($source),
	tables => [ 'public.t', 'public.streaming' ], copy_workers => 2);
failpoint_reached($target, 'postgres', 'chunk_committed', 2);
failpoint($target, 'chunk_loaded/public.t=wait');
failpoint_reached($target, 'postgres', 'chunk_loaded', 2);

my $slot = $target->safe_psql('postgres', q{SELECT slot_name FROM livesync.connectors WHERE name = 'c'});

sub slot_field
{
	return $source->safe_psql('postgres', "SELECT $_[0] FROM pg_replication_slots WHERE slot_name = '$slot'");
}

# Waits; ends the test file when it does not come true.
sub slot_says
{
	my ($condition) = @_;
	return poll($source, 'postgres', "SELECT $condition FROM pg_replication_slots WHERE slot_name = '$slot'");
}

for my $what (
	[ 'the table that is copied', 'UPDATE t SET v = v + 1 WHERE id % 2 = 0' ],
	[ 'another table that is synced', 'UPDATE streaming SET v = v + 1' ],
	[ 'a table that is not published', q{INSERT INTO unpublished SELECT repeat('x', 1000) FROM generate_series(1, 100)} ])
{
	my ($name, $sql) = @$what;
	$source->safe_psql('postgres', $sql);
	my $lsn = source_lsn($source);
	ok(slot_says("confirmed_flush_lsn >= '$lsn'"), "the slot confirms writes to $name");
}

# Sessions of ours at the source are idle and hold nothing, but for the moment of a look at the catalog: chunks are read,
# and not yet committed here.
poll($source, 'postgres', <<'SQL', '1|t|0|0|0');
SELECT count(*) FILTER (WHERE backend_type = 'walsender'), count(*) >= 4,
	count(backend_xmin), count(backend_xid), count(xact_start) FILTER (WHERE backend_type <> 'walsender')
FROM pg_stat_activity WHERE application_name LIKE 'livesync%'
SQL
pass('no session of ours holds a snapshot between two chunks');

# So what is dead can go, by the first VACUUM that meets no such look.
$source->safe_psql('postgres', 'DELETE FROM streaming WHERE id <= 500');
my $end = time + $PostgreSQL::Test::Utils::timeout_default;
my ($ret, $out, $err);
do { ($ret, $out, $err) = $source->psql('postgres', 'VACUUM VERBOSE streaming') }
  until $err =~ /\b0 are dead but not yet removable/ || time > $end;
like($err, qr/\b0 are dead but not yet removable/, 'VACUUM removes all rows that died meanwhile');

# WAL is freed, and the horizon for the catalogs moves.
my $restart = slot_field('restart_lsn');
my $xmin    = slot_field('catalog_xmin');
my $segment = $source->safe_psql('postgres', "SELECT pg_walfile_name('$restart')");
# Each round brings the position from which decoding would start to where the round before was, or one before that.
for (1 .. 20)
{
	$source->safe_psql('postgres', 'UPDATE streaming SET v = v + 1');
	$source->safe_psql('postgres', 'SELECT pg_switch_wal()');
	# Without a checkpoint it moves every 15 s.
	$source->safe_psql('postgres', 'CHECKPOINT');
	my $lsn = source_lsn($source);
	slot_says("confirmed_flush_lsn >= '$lsn'");
	last if $source->safe_psql('postgres', "SELECT pg_walfile_name('@{[slot_field('restart_lsn')]}') > '$segment'") eq 't';
}
ok(slot_says("pg_walfile_name(restart_lsn) > '$segment'"), 'restart_lsn moves on to another file');
ok(slot_says("catalog_xmin::text::bigint > $xmin"),       'catalog_xmin moves');
$source->safe_psql('postgres', 'CHECKPOINT');
is($source->safe_psql('postgres', "SELECT count(*) FROM pg_ls_waldir() WHERE name = '$segment'"),
	'0', 'the WAL from before is gone');

is( $target->safe_psql('postgres', q{SELECT state, chunks_done FROM livesync.tables WHERE source_table = 'public.t'}),
	'copying|2', 'all this while the copy stood still');
cmp_ok(
	$target->safe_psql('postgres', q{SELECT spooled_changes FROM livesync.tables WHERE source_table = 'public.t'}),
	'>=', 100, 'the changes of the table are parked here');

clear_failpoints($target);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.streaming' ]);
is($target->safe_psql('postgres', 'SELECT DISTINCT generation FROM livesync.synced_table'),
	'1', 'nothing was copied again');

check_logs($source, $target);
done_testing();
