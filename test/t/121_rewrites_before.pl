# What is proved: a table is copied right although the source made its columns anew, or wrote its rows anew, shortly before the copy
# began: after the slot was there, and before the stream had come so far.  A table that is not to be copied has all changes from the
# slot on nevertheless.
#
# Why it matters: the copy has the rows of now, and nothing in the stream tells of the rewrite.  Changes of before it that go to
# the spool put their values over those of the copy, and every later look finds the columns as they were when it began.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';
my @tables = qw(added emptied exchanged rewritten keyless);

sub change { return $source->safe_psql($db, join('; ', @_)) }
sub ask { return $target->safe_psql($db, $_[0]) }

change('CREATE TABLE busy (id int PRIMARY KEY, n int)', 'INSERT INTO busy VALUES (1, 0)');
change("CREATE TABLE $_ (id int PRIMARY KEY, v text, w text)", "INSERT INTO $_ SELECT i, 'first', 'w' FROM generate_series(1, 100) i") for @tables;
change('ALTER TABLE keyless DROP CONSTRAINT keyless_pkey', 'ALTER TABLE keyless REPLICA IDENTITY FULL');
change('CREATE TABLE uncopied (id int PRIMARY KEY)');

failpoint($target, 'slot_created=wait');
create_connector($target, $db, 'c', conninfo($source), tables => [ map { "public.$_" } 'busy', @tables ]);
create_connector($target, $db, 'n', conninfo($source), tables => ['public.uncopied'], copy_data => 'false');
failpoint_reached($target, $db, 'slot_created', 2);
# enough for a look at the source to be over before the stream has passed it
change('DO $$ BEGIN FOR i IN 1 .. 30000 LOOP UPDATE busy SET n = i; COMMIT; END LOOP; END $$', 'INSERT INTO uncopied SELECT generate_series(1, 10)');
change("UPDATE $_ SET v = 'before' WHERE id <= 40", "INSERT INTO $_ SELECT i, 'before' FROM generate_series(101, 110) i") for @tables;
change(q{ALTER TABLE added DROP v, ADD v text DEFAULT 'new'});
change('ALTER TABLE emptied DROP v, ADD v text');
change('ALTER TABLE exchanged RENAME v TO x', 'ALTER TABLE exchanged RENAME w TO v', 'ALTER TABLE exchanged RENAME x TO w');
change("ALTER TABLE $_ ALTER v TYPE text USING v || ' again'") for qw(rewritten keyless);
change("UPDATE $_ SET w = 'later' WHERE id % 30 = 0") for @tables;
clear_failpoints($target);
wait_sync($source, $target, $_) for qw(c n);
same_tables($source, $db, $target, $db, ["public.$_"], "changed before the copy began: $_") for 'busy', @tables;
is(ask(q{SELECT count(*) FROM livesync.events WHERE event IN ('table_restarted', 'table_resync_wanted')}), 0, 'what the stream has passed costs no other copy');
same_tables($source, $db, $target, $db, ['public.uncopied'], 'without a copy all comes that was written since the slot was made');

check_logs($source, $target);
done_testing();
