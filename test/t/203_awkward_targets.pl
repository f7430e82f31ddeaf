# Targets that cannot just be written to: triggers that fire for us too, on the table or on a partition of it,
# and things that are no tables of this server or hide rows from their owner.
#
# A trigger that fires may read any other table, and must find there what its row's transaction and all
# before it have left, as at the source.  What is refused must say so before anything is written: a foreign
# table's rows would not wait for our commit, and a policy that hides rows would make updates miss.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair();

sub source { return $source->safe_psql('postgres', $_[0]); }
sub target { return $target->safe_psql('postgres', $_[0]); }

my @tables = qw(plain always replica parts);
source("CREATE TABLE $_ (id int PRIMARY KEY, n int)") for @tables, qw(a_view a_foreign_table foreign_part hidden);
target("CREATE TABLE $_ (id int PRIMARY KEY, n int)") for qw(plain always replica hidden);
target(q{
	CREATE TABLE parts (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
	CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (1000);
	CREATE TABLE seen (at bigserial, by text, op text, id int, n int, plain_sum bigint);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE r record := coalesce(NEW, OLD);
		BEGIN
			INSERT INTO public.seen (by, op, id, n, plain_sum) SELECT TG_ARGV[0], TG_OP, r.id, r.n, coalesce(sum(n), 0) FROM public.plain;
			RETURN r;
		END $$;
	CREATE TRIGGER see BEFORE INSERT OR UPDATE OR DELETE ON always FOR EACH ROW EXECUTE FUNCTION see('always');
	ALTER TABLE always ENABLE ALWAYS TRIGGER see;
	CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON replica FOR EACH ROW EXECUTE FUNCTION see('replica');
	ALTER TABLE replica ENABLE REPLICA TRIGGER see;
	CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON parts_2 FOR EACH ROW EXECUTE FUNCTION see('partition');
	ALTER TABLE parts_2 ENABLE ALWAYS TRIGGER see;
	CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON plain FOR EACH ROW EXECUTE FUNCTION see('ordinary');

	CREATE TABLE behind (id int PRIMARY KEY, n int);
	CREATE VIEW a_view AS SELECT * FROM behind;
	CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
	CREATE TRIGGER instead INSTEAD OF INSERT OR UPDATE OR DELETE ON a_view FOR EACH ROW EXECUTE FUNCTION instead();
	CREATE FOREIGN DATA WRAPPER nothing;
	CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
	CREATE FOREIGN TABLE a_foreign_table (id int, n int) SERVER nowhere;
	CREATE TABLE foreign_part (id int, n int) PARTITION BY RANGE (id);
	CREATE FOREIGN TABLE foreign_part_1 PARTITION OF foreign_part FOR VALUES FROM (0) TO (100) SERVER nowhere;
	CREATE ROLE keeper;
	GRANT ALL ON SCHEMA public TO keeper;
	ALTER TABLE hidden OWNER TO keeper;
	ALTER TABLE hidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	CREATE POLICY few ON hidden USING (n > 5);
});
create_connector($target, 'postgres', 'c', conninfo($source));
wait_state($target, 'postgres', 'c', "public.$_", 'streaming') for @tables;

# --- triggers that fire ------------------------------------------------------------------------

source(q{
	BEGIN;
	INSERT INTO plain VALUES (1, 10);
	INSERT INTO always VALUES (1, 1);
	INSERT INTO plain VALUES (2, 5);
	UPDATE always SET n = 2;
	UPDATE plain SET n = 1 WHERE id = 1;
	INSERT INTO replica VALUES (1, 1);
	UPDATE always SET n = 3;
	DELETE FROM plain;
	DELETE FROM always;
	INSERT INTO parts VALUES (1, 1), (150, 1);
	UPDATE plain SET n = 100;
	UPDATE parts SET n = n + 1;
	INSERT INTO plain VALUES (3, 7);
	UPDATE parts SET id = 160 WHERE id = 1;
	COMMIT;
});
wait_caught_up($source, $target, 'c');
is(target(q{SELECT string_agg(concat_ws(' ', by, op, id, n, plain_sum), E'\n' ORDER BY at) FROM seen}), join("\n",
		'always INSERT 1 1 10', 'always UPDATE 1 2 15', 'replica INSERT 1 1 6', 'always UPDATE 1 3 6', 'always DELETE 1 3 0',
		'partition INSERT 150 1 0', 'partition UPDATE 150 2 0', 'partition INSERT 160 2 7'),
	'each change by itself, in order, and the trigger sees the other table as the source did; an ordinary one does not fire');
same_tables($source, 'postgres', $target, 'postgres', [map { "public.$_" } @tables]);

# A trigger that begins to fire later.
target('TRUNCATE seen; ALTER TABLE plain ENABLE REPLICA TRIGGER see');
source('BEGIN; INSERT INTO plain VALUES (10, 1); UPDATE plain SET n = 2 WHERE id = 10; UPDATE plain SET n = 3 WHERE id = 10; COMMIT');
wait_caught_up($source, $target, 'c');
is(target(q{SELECT string_agg(concat_ws(' ', op, n), ',' ORDER BY at) FROM seen}), 'INSERT 1,UPDATE 2,UPDATE 3', 'nothing is folded for it either');

# --- refused -----------------------------------------------------------------------------------

sub refused
{
	my ($table, $error, $hint, $name) = @_;
	my ($is, $help) = failure_of($target, 'postgres', 'c', "public.$table");
	like($is, $error, "$name is refused");
	like($help, $hint, '… with a way out');
	return;
}
refused('a_view', qr/"public.a_view" is not a table/, qr/another target/, 'a view with INSTEAD OF triggers');
refused('a_foreign_table', qr/"public.a_foreign_table" is not a table/, qr/another target/, 'a foreign table');
refused('foreign_part', qr/has partition "foreign_part_1", which is a foreign table/, qr/Detach/, 'a partition that is a foreign table');
refused('hidden', qr/row-level security/, qr/NO FORCE ROW LEVEL SECURITY/, 'a policy that its owner must obey');

target('ALTER TABLE hidden NO FORCE ROW LEVEL SECURITY');
source('INSERT INTO hidden VALUES (1, 1)');
wait_state($target, 'postgres', 'c', 'public.hidden', 'streaming');
wait_caught_up($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.hidden'], 'a policy that does not concern the owner is not in the way');
target('ALTER TABLE hidden FORCE ROW LEVEL SECURITY');
source('UPDATE hidden SET n = 2; INSERT INTO plain VALUES (20, 1)');
refused('hidden', qr/row-level security/, qr/NO FORCE ROW LEVEL SECURITY/, 'one that comes while the table streams');
poll($target, 'postgres', 'SELECT count(*) = 1 FROM plain WHERE id = 20');
pass('all others go on');
target('ALTER TABLE hidden NO FORCE ROW LEVEL SECURITY');
wait_state($target, 'postgres', 'c', 'public.hidden', 'streaming');
same_tables($source, 'postgres', $target, 'postgres', ['public.hidden'], 'and it catches up');

check_logs($source, $target);
done_testing();
