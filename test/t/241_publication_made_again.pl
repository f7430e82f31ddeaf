# A publication that is dropped and made again: the stream goes on, and nothing that was written in between is missing.
#
# Before version 18 the source cannot decode what was written while a publication was not there: it answers
# each try with the same error, and the slot would keep WAL until the disk is full.  Nothing of that time
# can be had from the stream, so the tables are copied again, those of other publications too.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

sub at_source { return $source->safe_psql('postgres', $_[0]) }
sub at_target { return $target->safe_psql('postgres', $_[0]) }

at_source(<<'SQL');
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, v text);
CREATE TABLE unrelated (id int);
INSERT INTO a SELECT i, 'a' FROM generate_series(1, 50) i;
INSERT INTO b SELECT i, 'b' FROM generate_series(1, 50) i;
CREATE PUBLICATION pa FOR TABLE a;
CREATE PUBLICATION pb FOR TABLE b;
SQL

my $number = 0;

sub change
{
	$number++;
	return "UPDATE a SET v = 'a$number' WHERE id % 7 = $number; DELETE FROM a WHERE id = $number; INSERT INTO b VALUES (100 + $number, 'b')"
	  . "; UPDATE b SET v = 'b$number' WHERE id % 5 = 1; INSERT INTO unrelated VALUES (1);";
}

sub ends_equal
{
	my ($name) = @_;
	# The position does not say yet that the tables have to be copied again.
	poll($target, 'postgres', "SELECT count(DISTINCT source_table) = 2 FROM livesync.events WHERE event = 'copy_started'");
	at_source(change());
	wait_sync($source, $target, 'c');
	at_source(change());
	wait_caught_up($source, $target, 'c');
	same_tables($source, 'postgres', $target, 'postgres', [ 'public.a', 'public.b' ], $name);
	is(at_target("SELECT string_agg(detail, '; ') FROM livesync.events WHERE event = 'table_failed'"), '', 'no table failed');
	return at_target("DELETE FROM livesync.event");
}

create_connector($target, 'postgres', 'c', conninfo($source), publications => [ 'pa', 'pb' ]);
wait_sync($source, $target, 'c');
at_target('DELETE FROM livesync.event');

# One of two, while nobody looks.
at_target(q{SELECT livesync.pause_connector('c')});
at_source(change() . 'DROP PUBLICATION pb;' . change() . 'CREATE PUBLICATION pb FOR TABLE b;' . change());
at_target(q{SELECT livesync.resume_connector('c')});
ends_equal('one of two publications is dropped and made again');

# All of them, while it streams; a transaction that began before goes on after.
my $open = session($source, 'postgres', 'open');
$open->query_safe('BEGIN; ' . change());
at_source('DROP PUBLICATION pa, pb');
$open->query_safe('UPDATE a SET v = $$between$$ WHERE id = 40; UPDATE b SET v = $$between$$ WHERE id = 40');
at_source("INSERT INTO a VALUES (1000, 'between'); DELETE FROM a WHERE id = 33; DELETE FROM b WHERE id = 33; INSERT INTO unrelated VALUES (2)");
poll($target, 'postgres', q{SELECT last_error ~ 'publication' FROM livesync.connectors});
pass('that a publication is missing is told');
at_source('CREATE PUBLICATION pa FOR TABLE a; CREATE PUBLICATION pb FOR TABLE b');
$open->query_safe('UPDATE a SET v = $$after$$ WHERE id = 41');
at_source("INSERT INTO a VALUES (1001, 'before the end of the other')");
$open->query_safe('COMMIT');
$open->quit;
ends_equal('all publications are');

# Our own.
create_connector($target, 'postgres', 'own', conninfo($source), tables => ['public.unrelated'], target_schema => 'own');
wait_sync($source, $target, 'own');
at_source('ALTER TABLE unrelated REPLICA IDENTITY FULL');
at_source('DROP PUBLICATION livesync_own; UPDATE unrelated SET id = id + 1; DELETE FROM unrelated WHERE id = 3');
poll($target, 'postgres', q{SELECT count(*) > 1 FROM livesync.events WHERE connector = 'own' AND event = 'copy_started'});
at_source('INSERT INTO unrelated VALUES (7)');
wait_sync($source, $target, 'own');
same_tables($source, 'postgres', $target, 'postgres', [ { source => 'public.unrelated', target => 'own.unrelated' } ], 'our own is made again by itself');

check_logs($source, $target);
done_testing();
