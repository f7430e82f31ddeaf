# What is proved: a local commit that fails at its very end leaves the position where it was, so that its
# changes are asked for again: when a deferred trigger has rolled back a part of the transaction before it
# fails, and when the commit fails after the position was given to the server.
#
# Why it matters: from 16 on the server moves a replication origin at each rollback, of a part of a
# transaction too, to the position that it was given.  Changes behind that would be lost without a word.
# Only a target of 16 or later can fail the first part.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

sub source { return $source->safe_psql('postgres', $_[0]); }
sub target { return $target->safe_psql('postgres', $_[0]); }
sub failures { return target(q{SELECT count(*) FROM livesync.events WHERE event = 'connector_failed'}); }

sub wait_failure
{
	my ($times) = @_;
	return poll($target, 'postgres', "SELECT count(*) > $times FROM livesync.events WHERE event = 'connector_failed'");
}

source('CREATE TABLE t (id int PRIMARY KEY, n int); CREATE TABLE other (id int PRIMARY KEY)');
create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.t', 'public.other' ]);
wait_sync($source, $target, 'c');
target(<<'SQL');
CREATE TABLE broken ();
CREATE TABLE tried (id int);
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		INSERT INTO public.tried VALUES (NEW.id);
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
	END;
	IF EXISTS (SELECT FROM public.broken) THEN
		RAISE EXCEPTION 'not now';
	END IF;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
ALTER TABLE t ENABLE ALWAYS TRIGGER late;
SQL

# --- a deferred trigger ------------------------------------------------------------------------

source('INSERT INTO t VALUES (1, 0); INSERT INTO other VALUES (1)');
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.other' ], 'a deferred trigger may roll back a part of its own');

target('INSERT INTO broken DEFAULT VALUES');
my $before = failures();
source('BEGIN; INSERT INTO t VALUES (2, 0); INSERT INTO other VALUES (2); COMMIT');
wait_failure($before);
# between two tries, while it connects, it has none
like(wait_row($target, 'postgres', 'SELECT last_error FROM livesync.connectors WHERE last_error IS NOT NULL'), qr/not now/, 'a commit fails behind that');
is(target('SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM other)'), '1|1', 'nothing of it is there');
target('DELETE FROM broken');
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.other' ], 'and all of it once the trigger lets it');

# --- behind the last trigger -------------------------------------------------------------------

$before = failures();
failpoint($target, 'position_handed_over=error');
source('BEGIN; INSERT INTO t VALUES (3, 0); INSERT INTO other VALUES (3); COMMIT');
wait_failure($before);
clear_failpoints($target);
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', [ 'public.t', 'public.other' ], 'a commit that fails with the position given away is repeated');
is(target('SELECT count(*) FROM tried'), '0', 'what the trigger took back is not there');

check_logs($source, $target);
done_testing();
