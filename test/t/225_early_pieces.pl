# What is proved: a source of 14 or later is asked to begin with the pieces of a large transaction when it has decoded 16 MB of
# it, unless somebody has said for this connection or its role how much it shall be, or less for all.
#
# Why it matters: until the first piece comes nothing of a large transaction can be applied, and its 64 MB by default are some
# 300,000 rows.  But who has set another value for this role has a reason.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(source_conf => 'autovacuum = off');

$source->safe_psql('postgres', 'CREATE ROLE patient SUPERUSER LOGIN; ALTER ROLE patient SET logical_decoding_work_mem = 65536');
my %conninfo = (
	by_default => conninfo($source),
	by_string  => conninfo($source) . q( options='-c logical_decoding_work_mem=64MB'),
	by_role    => conninfo($source) . ' user=patient');
for my $name (sort keys %conninfo)
{
	$source->safe_psql('postgres', "CREATE TABLE $name (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int)");
	create_connector($target, 'postgres', $name, $conninfo{$name}, tables => ["public.$name"]);
}
wait_sync($source, $target, $_) for sort keys %conninfo;

# Each walsender decodes all of it, whatever it sends: more than 16 MB, and less than 64.
sub transaction_of
{
	my ($rows) = @_;
	my $every = join ' ', map { "INSERT INTO $_ (v) SELECT n FROM generate_series(1, $rows / 3) n;" } sort keys %conninfo;
	$source->safe_psql('postgres', "BEGIN; $every COMMIT");
	wait_caught_up($source, $target, $_) for sort keys %conninfo;
	return;
}

# Which connectors have got a transaction in pieces.
sub in_pieces
{
	poll($source, 'postgres', 'SELECT count(*) = 3 FROM pg_stat_replication_slots WHERE total_txns > 0');
	return $target->safe_psql('postgres', <<"SQL");
SELECT coalesce(string_agg(name, ',' ORDER BY name), 'none') FROM livesync.connectors WHERE slot_name = ANY ('{@{[$source->safe_psql('postgres', q{SELECT string_agg(slot_name, ',') FROM pg_stat_replication_slots WHERE stream_txns > 0})]}}')
SQL
}

transaction_of(3000);
is(in_pieces(), 'none', 'a small transaction comes when it has committed');
transaction_of(180_000);
poll($source, 'postgres', 'SELECT sum(stream_txns) > 0 FROM pg_stat_replication_slots');
is(in_pieces(), 'by_default', 'a larger one in pieces, where nobody has set another value');

$source->append_conf('postgresql.conf', 'logical_decoding_work_mem = 64kB');
$source->restart;
wait_caught_up($source, $target, $_) for sort keys %conninfo;
transaction_of(30_000);
poll($source, 'postgres', "SELECT sum(stream_txns) > 1 FROM pg_stat_replication_slots");
is(in_pieces(), 'by_default', 'a smaller value of the source stays');

same_tables($source, 'postgres', $target, 'postgres', [ map { "public.$_" } sort keys %conninfo ], 'all tables are equal');
check_logs($source, $target);
done_testing;
