# What is proved: by which plans rows are found.  However small a table is when its statements are planned, and however many
# rows come at once, the index of its key leads to them; one lone row comes as parameters, not as a set; without a key a
# scan is for all rows together, which are looked up in a hash; and what a trigger does is planned as anywhere else.
#
# Why it matters: a plan is kept.  One that was best for a few rows, a walk through all of them, is a disaster when there are
# millions, and nothing but time would show it.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(target_conf => <<'CONF');
shared_preload_libraries = 'pg_livesync,auto_explain'
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
CONF

my $tables = <<'SQL';
CREATE TABLE keyed (id int PRIMARY KEY, v int);
CREATE TABLE parts (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (50);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (50) TO (1000000);
CREATE TABLE keyless (id int, v int);
CREATE TABLE fired (id int PRIMARY KEY, v int);
SQL
$source->safe_psql('postgres', <<"SQL");
$tables
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyed SELECT i, 0 FROM generate_series(1, 100) i;
INSERT INTO parts SELECT i, 0 FROM generate_series(1, 100) i;
INSERT INTO keyless SELECT i, 0 FROM generate_series(1, 100) i;
INSERT INTO fired VALUES (1, 0);
SQL
$target->safe_psql('postgres', <<"SQL");
$tables
CREATE TABLE seen (n int);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN PERFORM count(*) FROM public.seen s JOIN public.keyed k ON s.n = k.v WHERE s.n > -5; RETURN NEW; END';
CREATE TRIGGER look BEFORE INSERT OR UPDATE ON fired FOR EACH ROW EXECUTE FUNCTION look();
ALTER TABLE fired ENABLE ALWAYS TRIGGER look;
SQL
my @all = map { "public.$_" } qw(keyed parts keyless fired);
create_connector($target, 'postgres', 'c', conninfo($source), tables => \@all);
wait_sync($source, $target, 'c');
$target->safe_psql('postgres', 'ANALYZE');

# The plans of what is done for a change, by table.
sub plans_of
{
	my ($table, $change) = @_;
	my $from = -s $target->logfile;

	$source->safe_psql('postgres', $change);
	wait_caught_up($source, $target, 'c');
	my $log = PostgreSQL::Test::Utils::slurp_file($target->logfile, $from);
	return join "\n", grep { /Query Text: (?:INSERT INTO|UPDATE|DELETE FROM|SELECT FROM) (?:ONLY )?public\.$table/ } split /(?<=\n)(?=\S)/, $log;
}

for my $table ('keyed', 'parts')
{
	for my $round ('', ', planned anew')
	{
		for my $change ("UPDATE $table SET v = v + 1", "DELETE FROM $table WHERE id BETWEEN 3 AND 60", "INSERT INTO $table SELECT i, 0 FROM generate_series(3, 60) i")
		{
			my $plans = plans_of($table, $change);
			like($plans, qr/Named Tuplestore Scan/, "many rows are a set: $change$round");
			like($plans, qr/Index Scan using/, "the index leads to the rows: $change$round") unless $change =~ /^INSERT/;
			unlike($plans, qr/Seq Scan|Hash Join|Merge Join/, "nothing walks through the table: $change$round");
		}
		for my $change ("UPDATE $table SET v = v + 1 WHERE id = 1", "DELETE FROM $table WHERE id = 2", "INSERT INTO $table VALUES (2, 0)")
		{
			my $plans = plans_of($table, $change);
			like($plans, qr/Query Text/, "a plan was seen: $change$round");
			like($plans, qr/Index Scan using/, "the index leads to the row: $change$round") unless $change =~ /^INSERT/;
			unlike($plans, qr/Tuplestore|Join|Nested Loop|Seq Scan/, "a lone row is no set: $change$round");
		}
		$target->safe_psql('postgres', "ANALYZE $table");
	}
}

my $plans = plans_of('keyless', 'UPDATE keyless SET v = v + 1 WHERE id <= 50');
like($plans, qr/Seq Scan on public\.keyless|Seq Scan on keyless/, 'without a key it is a scan');
unlike($plans, qr/Nested Loop/, 'for all rows together');
like($plans, qr/hashed SubPlan/, 'whose rows are looked up in a hash');

my $from = -s $target->logfile;
$source->safe_psql('postgres', 'UPDATE fired SET v = 1');
wait_caught_up($source, $target, 'c');
like(PostgreSQL::Test::Utils::slurp_file($target->logfile, $from), qr/Query Text: SELECT count\(\*\) FROM public.seen s JOIN public.keyed.*?(?:Hash|Merge) Join/s,
	'what a trigger does may join as it likes');

same_tables($source, 'postgres', $target, 'postgres', [$_]) for @all;
check_logs($source, $target);
done_testing();
