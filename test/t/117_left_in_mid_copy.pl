# What is proved: a table that we created and that is left in the middle of its copy, because its connector is dropped or
# it is removed, gets its key and its indexes where that takes no time; elsewhere a warning and an event have
# the statements that build them, and these work.
#
# Why it matters: indexes are built after the load.  Who drops a connector and goes on with the table by hand has one without
# a primary key, and nothing in it looks different.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();
my $db = 'postgres';

sub ask { return $target->safe_psql($db, $_[0]) }

# What a table has, whatever its schema.
sub indexes
{
	my ($node, $schema, $name) = @_;
	my $table = "'$schema.\"$name\"'::regclass";
	return $node->safe_psql($db, "SELECT replace(pg_get_indexdef(indexrelid), ' ON $schema.', ' ON '), indisvalid FROM pg_index WHERE indrelid = $table ORDER BY 1")
	  . "\n" . $node->safe_psql($db, "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('p', 'u', 'x') AND conrelid = $table ORDER BY 1");
}

# Copies a table up to where its indexes would be built, and stops there.
sub begin_copy
{
	my ($connector, $table, %arguments) = @_;
	(my $quoted = $table) =~ s/"/""/g;
	failpoint($target, 'key_index_wanted=wait');
	create_connector($target, $db, $connector, conninfo($source), tables => [qq{public."$quoted"}], %arguments);
	failpoint_reached($target, $db, 'key_index_wanted');
	return;
}

# What was told when its connector was dropped.
sub drop
{
	my ($connector) = @_;
	my ($out, $err);
	ask("SELECT livesync.pause_connector('$connector')");
	$target->psql($db, "SELECT livesync.drop_connector('$connector')", stdout => \$out, stderr => \$err, on_error_die => 1);
	clear_failpoints($target);
	return $err;
}

for my $table ('small', 'on "x" y', 'large', 'removed')
{
	(my $quoted = $table) =~ s/"/""/g;
	$source->safe_psql($db, <<"SQL");
CREATE TABLE "$quoted" (id int, u int NOT NULL, v text, r int4range, pad text,
	CONSTRAINT "the key of $quoted" PRIMARY KEY (id) INCLUDE (u),
	CONSTRAINT "unique $quoted" UNIQUE (u) DEFERRABLE INITIALLY DEFERRED,
	CONSTRAINT "exclude $quoted" EXCLUDE USING gist (r WITH &&));
CREATE INDEX "plain $quoted" ON "$quoted" (lower(v) DESC) WHERE id > 5;
INSERT INTO "$quoted" SELECT i, i, i, int4range(i * 10, i * 10 + 5), 'pad' FROM generate_series(1, 50) i;
SQL
}
$source->safe_psql($db, q{INSERT INTO large SELECT i, i, i, NULL, repeat('x', 1500) FROM generate_series(101, 14000) i; CREATE TABLE other (id int PRIMARY KEY)});

begin_copy('c', 'small');
is(drop('c'), '', 'nothing to warn of');
is(indexes($target, 'public', 'small'), indexes($source, 'public', 'small'), 'a small table has all its indexes');

begin_copy('c', 'large');
like(drop('c'), qr/WARNING:  table "public.large" is left without indexes.*\nDETAIL:.*\nHINT:  Drop it, or run: CREATE UNIQUE INDEX/, 'a large one is told of');
is(ask(q{SELECT count(*) FROM pg_index WHERE indrelid = 'large'::regclass}), 0, 'and not worked on');

# In another schema, under an awkward name, and not fit for its key.
begin_copy('c', 'on "x" y', target_schema => 'app');
ask(q{INSERT INTO app."on ""x"" y" SELECT * FROM app."on ""x"" y" WHERE id = 7});
like(drop('c'), qr/WARNING:  table "app.on "x" y" is left/, 'so is one that is not fit for its key');
is(ask(q{SELECT string_agg(indexrelid::regclass::text, ' ') FROM pg_index WHERE indrelid = 'app."on ""x"" y"'::regclass}), 'app."plain on ""x"" y"', 'what can be built is');
ask(q{DELETE FROM app."on ""x"" y" WHERE id = 7});
my $statements = ask(q{SELECT detail FROM livesync.events WHERE event = 'indexes_missing' AND source_table LIKE '% y'});
ask("SET search_path = pg_catalog; $statements");
is(indexes($target, 'app', 'on ""x"" y'), indexes($source, 'public', 'on ""x"" y'), 'the statements build the rest');
ask('SET search_path = pg_catalog; ' . ask(q{SELECT detail FROM livesync.events WHERE event = 'indexes_missing' AND source_table LIKE '%.large'}));
is(indexes($target, 'public', 'large'), indexes($source, 'public', 'large'), 'those of the large one, too');

# --- remove_table --------------------------------------------------------------------------------

failpoint($target, 'key_index_wanted=wait');
create_connector($target, $db, 'r', conninfo($source), tables => [ 'public.removed', 'public.other' ]);
failpoint_reached($target, $db, 'key_index_wanted');
ask(q{SELECT livesync.remove_table('r', 'public.removed')});
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.events WHERE source_table = 'public.removed' AND event = 'table_released'});
clear_failpoints($target);
is(indexes($target, 'public', 'removed'), indexes($source, 'public', 'removed'), 'a table that is removed has its indexes');
ask(q{SELECT livesync.add_table('r', 'public.removed')});
poll($target, $db, q{SELECT count(*) = 1 FROM livesync.tables WHERE source_table = 'public.removed' AND state = 'streaming'});
wait_sync($source, $target, 'r');
same_tables($source, $db, $target, $db, ['public.removed'], 'it can be added again');
is(indexes($target, 'public', 'removed'), indexes($source, 'public', 'removed'), 'and has no index twice');

check_logs($source, $target);
done_testing();
