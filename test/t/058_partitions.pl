# What is proved: a root that is published under its own name has the rows of its partitions, in whatever way they
# became partitions: made as one, attached with rows (also in the transaction that made them, as a whole tree, and again
# after they were away), while it is copied, streams, is paused, is copied again, or when that copy could not be taken
# over.  Partitions that are made as such cost no copy.  Those that go, or are truncated by themselves, leave their rows,
# and are told of.
#
# Why it matters: ATTACH PARTITION sends no change for rows that are there already.  Whoever does not look at the
# partitions goes without those rows for ever, and nothing says so.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';
my $by = 'PARTITION BY RANGE (id)';

sub change { return $source->safe_psql($db, join('; ', @_)) }
sub ask { return $target->safe_psql($db, $_[0]) }
sub events { return ask("SELECT count(*) FROM livesync.events WHERE source_table = 'public.$_[0]' AND event = '$_[1]'") }
sub told { return ask("SELECT detail FROM livesync.events WHERE source_table = 'public.$_[0]' AND event = '$_[1]' ORDER BY at DESC LIMIT 1") }

# The event was there so many times.
sub wait_event_count
{
	my ($table, $event, $count) = @_;
	return poll($target, $db, "SELECT count(*) = $count FROM livesync.events WHERE source_table = 'public.$table' AND event = '$event'");
}

# It was copied again so many times, and is equal.
sub resynced
{
	my ($table, $count, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_event_count($table, 'table_resynced', $count);
	wait_sync($source, $target, 'k');
	return same_tables($source, $db, $target, $db, ["public.$table"], $name);
}

# A table with rows of these ids, to be attached.
sub filled { return ("CREATE TABLE $_[0] (id int NOT NULL, v text)", "INSERT INTO $_[0] SELECT i, 'before' FROM generate_series($_[1], $_[1] + 50) i") }
sub attach { return "ALTER TABLE $_[0] ATTACH PARTITION $_[1] FOR VALUES FROM ($_[2]) TO ($_[2] + 100)" }

change(
	"CREATE TABLE root (id int PRIMARY KEY, v text) $by",
	'CREATE TABLE root_0 PARTITION OF root FOR VALUES FROM (0) TO (100)',
	"CREATE TABLE sub PARTITION OF root FOR VALUES FROM (1000) TO (2000) $by",
	'INSERT INTO root SELECT i FROM generate_series(1, 50) i',
	# every column has a default: those are written after the columns
	"CREATE TABLE defaults (id int DEFAULT 1 PRIMARY KEY, v text DEFAULT 'x') $by",
	'CREATE TABLE defaults_0 PARTITION OF defaults FOR VALUES FROM (0) TO (100)',
	"CREATE TABLE keyless (id int NOT NULL, v text) $by",
	'ALTER TABLE keyless REPLICA IDENTITY FULL',
	'CREATE TABLE keyless_0 PARTITION OF keyless FOR VALUES FROM (0) TO (100)',
	'ALTER TABLE keyless_0 REPLICA IDENTITY FULL',
	'INSERT INTO keyless SELECT i FROM generate_series(1, 50) i',
	"CREATE TABLE copied (id int PRIMARY KEY, v text) $by",
	'CREATE TABLE copied_0 PARTITION OF copied FOR VALUES FROM (0) TO (100)',
	"CREATE TABLE bare (id int NOT NULL, v text) $by",
	'ALTER TABLE bare REPLICA IDENTITY FULL',
	'CREATE TABLE bare_0 PARTITION OF bare FOR VALUES FROM (0) TO (100)',
	'ALTER TABLE bare_0 REPLICA IDENTITY FULL',
	'CREATE TABLE copied_1 PARTITION OF copied FOR VALUES FROM (100) TO (200)',
	'INSERT INTO copied SELECT i FROM generate_series(1, 50) i',
	"CREATE TABLE uncopied (id int PRIMARY KEY, v text) $by",
	'CREATE PUBLICATION p FOR TABLE root, defaults, keyless WITH (publish_via_partition_root = true)',
	'CREATE PUBLICATION q FOR TABLE copied, bare WITH (publish_via_partition_root = true)',
	'CREATE PUBLICATION r FOR TABLE uncopied WITH (publish_via_partition_root = true)');
create_connector($target, $db, 'k', conninfo($source), publications => ['p']);
wait_sync($source, $target, 'k');

# --- made as partitions ------------------------------------------------------------------------

change('CREATE TABLE root_1 PARTITION OF root FOR VALUES FROM (100) TO (200)', 'INSERT INTO root VALUES (101)',
	'CREATE TABLE defaults_1 PARTITION OF defaults FOR VALUES FROM (100) TO (200)', 'INSERT INTO defaults VALUES (101)');
change('BEGIN', 'CREATE TABLE sub_1 PARTITION OF sub FOR VALUES FROM (1000) TO (1100)', 'INSERT INTO sub_1 VALUES (1001)', 'COMMIT');
wait_event_count('defaults', 'partition_added', 1);
poll($target, $db, q{SELECT string_agg(detail, ' ') LIKE '%public.root_1%' AND string_agg(detail, ' ') LIKE '%public.sub_1%' FROM livesync.events WHERE event = 'partition_added'});
is(events($_, 'table_resync_wanted'), 0, "partitions that are made as such cost no copy: $_") for qw(root defaults);
wait_caught_up($source, $target, 'k');
same_tables($source, $db, $target, $db, [qw(public.root public.defaults)], 'all comes by the stream');

# --- attached with rows ------------------------------------------------------------------------

change(filled('root_2', 200), attach('root', 'root_2', 200), q{UPDATE root SET v = 'after' WHERE id = 205}, 'DELETE FROM root WHERE id = 206', 'INSERT INTO root VALUES (299)');
resynced('root', 1, 'one that is attached with its rows');
is(told('root', 'table_resync_wanted'), 'Attached at the source with rows that no change brings: public.root_2.', 'an event says why');
change('BEGIN', filled('root_3', 300), attach('root', 'root_3', 300), 'INSERT INTO root VALUES (399)', 'COMMIT');
resynced('root', 2, 'one that is made, filled and attached in one transaction');
change("CREATE TABLE more (id int NOT NULL, v text) $by", 'CREATE TABLE more_1 PARTITION OF more FOR VALUES FROM (2000) TO (2100)', 'INSERT INTO more VALUES (2001)',
	'ALTER TABLE root ATTACH PARTITION more FOR VALUES FROM (2000) TO (3000)');
resynced('root', 3, 'a tree that is attached, with its partitions');
change(filled('sub_2', 1100), attach('sub', 'sub_2', 1100));
resynced('root', 4, 'one that is attached further down');
change('ALTER TABLE root DETACH PARTITION sub', q{UPDATE sub SET v = 'away' WHERE id % 2 = 0}, 'DELETE FROM sub WHERE id = 1101',
	'ALTER TABLE root ATTACH PARTITION sub FOR VALUES FROM (1000) TO (2000)');
resynced('root', 5, 'one that was away for a moment, and was written to then');
change(filled('keyless_1', 100), 'ALTER TABLE keyless_1 REPLICA IDENTITY FULL', attach('keyless', 'keyless_1', 100));
resynced('keyless', 1, 'of a root without a key');

change('CREATE TABLE root_4 (id int NOT NULL, v text)', attach('root', 'root_4', 400));
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.events WHERE event = 'partition_added' AND detail = 'public.root_4'});
change('INSERT INTO root VALUES (401)');
wait_caught_up($source, $target, 'k');
is(events('root', 'table_resync_wanted'), 5, 'one that is attached empty costs no copy');

# --- those that go -----------------------------------------------------------------------------

# What was away for a moment may have been told or not.
my $removed = events('root', 'partition_removed');
change('ALTER TABLE root DETACH PARTITION root_4');
wait_event_count('root', 'partition_removed', $removed + 1);
like(told('root', 'partition_removed'), qr/^public\.root_4; the rows that it had stay here/, 'one that is detached is told of');
change('DROP TABLE root_3');
wait_event_count('root', 'partition_removed', $removed + 2);
like(told('root', 'partition_removed'), qr/^one that was dropped; /, 'and one that is dropped');
is(ask('SELECT count(*) FROM root WHERE id BETWEEN 300 AND 499'), 53, 'their rows stay, as with the server\'s own subscriptions');
change('TRUNCATE sub_1');
wait_event_count('root', 'partition_truncated', 1);
like(told('root', 'partition_truncated'), qr/^public\.sub_1; the rows that it had stay here/, 'one that is truncated by itself is told of');
ask(q{SELECT livesync.resync_table('k', 'public.root')});
resynced('root', 6, 'until the table is copied again');
# All are by that of the root, which the stream has; other files with the same rows are nothing to tell of.
change('TRUNCATE defaults', 'INSERT INTO defaults VALUES (2), (102)');
change('VACUUM FULL root_1');
ask(q{SELECT livesync.refresh_connector('k')}) for 1, 2;
wait_caught_up($source, $target, 'k');
same_tables($source, $db, $target, $db, ['public.defaults'], 'a root that is truncated');
is(ask(q{SELECT string_agg(detail, ' ') FROM livesync.events WHERE event = 'partition_truncated' AND detail !~ 'sub_1'}), '', 'which tells of no partition');

# --- a look that fails, a table that is held still ---------------------------------------------

failpoint($target, 'partitions_seen=error');
change(filled('root_5', 500), attach('root', 'root_5', 500));
poll($target, $db, q{SELECT last_error LIKE '%partitions_seen%' FROM livesync.connectors});
clear_failpoints($target);
resynced('root', 7, 'a look that fails is made again');

ask(q{SELECT livesync.pause_table('k', 'public.root')});
wait_state($target, $db, 'k', 'public.root', 'paused');
change(filled('root_6', 600), attach('root', 'root_6', 600), q{UPDATE root SET v = 'paused' WHERE id = 601});
ask(q{SELECT livesync.refresh_connector('k')});
is(events('root', 'table_resynced'), 7, 'nothing happens to a table that is paused');
ask(q{SELECT livesync.resume_table('k', 'public.root')});
resynced('root', 8, 'but as soon as it goes on');

# --- while it is copied again ------------------------------------------------------------------

failpoint($target, 'exchange/public.root=wait');
change(filled('root_7', 700), attach('root', 'root_7', 700));
failpoint_reached($target, $db, 'exchange');
change(filled('root_8', 800), attach('root', 'root_8', 800));
clear_failpoints($target);
resynced('root', 10, 'another one, too late for the new copy');

ask(q{ALTER TABLE root ADD CONSTRAINT no_900 CHECK (id <> 901)});
change(filled('root_9', 900), attach('root', 'root_9', 900));
wait_event_count('root', 'table_not_resynced', 1);
like(told('root', 'table_not_resynced'), qr/no_900/, 'what the table here refuses is told');
ask(q{SELECT livesync.refresh_connector('k')});
is(events('root', 'table_resync_wanted'), 11, 'and not tried again at once');
ask('ALTER TABLE root DROP CONSTRAINT no_900');
ask(q{SELECT livesync.resync_table('k', 'public.root')});
resynced('root', 11, 'but when somebody mends it');

# --- while it is copied ------------------------------------------------------------------------

failpoint($target, map { "load_finished/public.$_=wait" } qw(copied bare));
create_connector($target, $db, 'c', conninfo($source), publications => ['q']);
failpoint_reached($target, $db, 'load_finished', 2);
change('INSERT INTO copied VALUES (101)', 'CREATE TABLE copied_2 PARTITION OF copied FOR VALUES FROM (200) TO (300)', 'INSERT INTO copied VALUES (201)');
change(filled('bare_1', 100), 'ALTER TABLE bare_1 REPLICA IDENTITY FULL', attach('bare', 'bare_1', 100));
clear_failpoints($target);
wait_sync($source, $target, 'c');
is(events('copied', 'table_restarted'), 0, 'partitions that get their first rows while a root is copied cost nothing');
is(told('bare', 'table_restarted'), 'A partition was attached at the source during the copy: public.bare_1.', 'one that is attached meanwhile lets the copy start over');
same_tables($source, $db, $target, $db, [qw(public.copied public.bare)], 'both are whole');

# --- without copying ---------------------------------------------------------------------------

create_connector($target, $db, 'n', conninfo($source), publications => ['r'], copy_data => 'false');
wait_sync($source, $target, 'n');
change(filled('uncopied_1', 100), attach('uncopied', 'uncopied_1', 100), q{INSERT INTO uncopied VALUES (199, 'after')});
wait_event_count('uncopied', 'partition_not_copied', 1);
wait_caught_up($source, $target, 'n');
is(ask('SELECT string_agg(v, $$,$$) FROM uncopied'), 'after', 'where nothing was to be copied an event says what is not here');

check_logs($source, $target);
done_testing();
