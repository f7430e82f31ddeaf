# What neither the stream nor the target can take says what to do, and where.
#
#  - A source that fails to decode its WAL fails so at each attempt: who watches must learn that the connector is to be made anew.
#  - Without a key rows are found by all their columns, and a statement can name only so many: the widest tables
#    cannot be synced so.
#  - A table that failed before it was admitted waits for its slot no more.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

sub row_of { return $target->safe_psql('postgres', "SELECT $_[0] FROM livesync.tables WHERE source_table = '$_[1]'") }

$source->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE narrow (id int PRIMARY KEY)');
for ([ wide => 826 ], [ widest_that_fits => 825 ])
{
	my ($table, $columns) = @$_;
	$source->safe_psql('postgres', "CREATE TABLE $table (" . join(', ', map { "c$_ smallint" } 1 .. $columns) . "); ALTER TABLE $table REPLICA IDENTITY FULL");
}
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ map { "public.$_" } qw(t narrow wide widest_that_fits) ]);
wait_state($target, 'postgres', 'c', "public.$_", 'streaming') for qw(t narrow widest_that_fits);

# --- a table that is too wide --------------------------------------------------------------------
$source->safe_psql('postgres', "INSERT INTO $_ (c1, c2) VALUES (1, 2), (3, 4), (3, 4); UPDATE $_ SET c2 = 5 WHERE c1 = 3; DELETE FROM $_ WHERE c1 = 1") for 'widest_that_fits';
my ($why, $hint) = failure_of($target, 'postgres', 'c', 'public.wide');
like($why, qr/target table "public.wide" has 826 replicated columns and no key/, 'a table that is too wide');
like($hint, qr/Give the source table a primary key/, 'and what to do');
poll($target, 'postgres', 'SELECT count(*) FROM widest_that_fits', 2);
same_tables($source, 'postgres', $target, 'postgres', ['public.widest_that_fits'], 'one column less');

# --- a table that fails before it is admitted ------------------------------------------------------
$source->safe_psql('postgres', 'CREATE TABLE late (id int PRIMARY KEY)');
$target->safe_psql('postgres', "CREATE VIEW late AS SELECT 1 AS id");
$target->safe_psql('postgres', "SELECT livesync.add_table('c', 'public.late')");
failure_of($target, 'postgres', 'c', 'public.late');
is(row_of('waiting_for IS NULL', 'public.late'), 't', 'who has failed waits for nothing');
$target->safe_psql('postgres', "SELECT livesync.remove_table('c', 'public.late')");

# --- WAL that cannot be decoded -------------------------------------------------------------------
# The row is written after the catalog says, in the same command, that the table is in another file.
$source->safe_psql('postgres', <<'SQL');
SET allow_system_table_mods = on;
BEGIN;
WITH moved AS (UPDATE pg_class SET relfilenode = (relfilenode::bigint + 1000000)::oid WHERE oid = 't'::regclass RETURNING 1)
INSERT INTO t SELECT count(*) FROM moved;
UPDATE pg_class SET relfilenode = (relfilenode::bigint - 1000000)::oid WHERE oid = 't'::regclass;
COMMIT;
SQL
poll($target, 'postgres', "SELECT last_error ~ '^could not receive changes: could not map filenode' FROM livesync.connectors");
like($target->safe_psql('postgres', 'SELECT hint FROM livesync.connectors'), qr/drop_connector.*create the connector again/, 'a change that cannot be decoded');
$target->safe_psql('postgres', "SELECT livesync.pause_connector('c'); SELECT livesync.drop_connector('c'); TRUNCATE t, narrow");
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.t', 'public.narrow' ]);
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.narrow' ], 'the way out leads out');

check_logs($source, $target);
done_testing();
