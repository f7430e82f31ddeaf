# A row with floating point numbers is found whatever extra_float_digits says at the target.
#
# Where columns are compared by their text, as without a key, two numbers that differ in their last digits have one text with
# the setting at 0, and with it lower the text of a number is not that number any more: the wrong row would be deleted, or none.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my ($source, $target) = pair(source_conf => "extra_float_digits = 0\n", target_conf => "extra_float_digits = 0\n");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE keyless (f float8, r float4, p point);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyless VALUES (0.3, 1, '(0.3,1)'), (0.1::float8 + 0.2, 1, '(0.3,1)'), (1, 0.1, point(0.1::float8 + 0.2, 1)), (1, 0.1::float4 + 0.2::float4, '(0.3,1)'),
	(1, 0.3, '(0.3,1)'), (1, 0.1, '(0.3,1)'), (1e-300::float8 / 3, 2, '(1,1)'), (2.0::float8 / 3, 3, '(1,1)');
CREATE TABLE keyed (f float8 PRIMARY KEY, v text, doc text);
ALTER TABLE keyed ALTER doc SET STORAGE EXTERNAL;
INSERT INTO keyed SELECT i / 3.0::float8, 'first', repeat(i::text, 5000) FROM generate_series(1, 20) i;
INSERT INTO keyed VALUES (0.3, 'first'), (0.1::float8 + 0.2, 'first');
SQL

create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.keyless', 'public.keyed' ]);
wait_sync($source, $target, 'c');

sub same
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $sql ('SELECT float8send(f), float4send(r), point_send(p) FROM keyless ORDER BY 1, 2, 3', 'SELECT float8send(f), v, md5(doc) FROM keyed ORDER BY 1')
	{
		is($target->safe_psql('postgres', $sql), $source->safe_psql('postgres', $sql), $name);
	}
	return;
}
same('copied');

# Of each two that look alike one, in one batch and alone.
$source->safe_psql('postgres', $_) for 'DELETE FROM keyless WHERE f = 0.1::float8 + 0.2', 'UPDATE keyless SET r = 5 WHERE p[0] = 0.1::float8 + 0.2',
  'DELETE FROM keyless WHERE r = 0.1::float4 + 0.2::float4', 'DELETE FROM keyless WHERE r = 3';
wait_caught_up($source, $target, 'c');
same('streamed, without a key');

# Changed keys of rows whose large values stay: they are fetched by the key.
for my $table (qw(keyless keyed))
{
	$target->safe_psql('postgres', "SELECT livesync.pause_table('c', 'public.$table')");
	wait_state($target, 'postgres', 'c', "public.$table", 'paused');
}
$source->safe_psql('postgres', "UPDATE keyless SET p = '(9,9)' WHERE r = 2; DELETE FROM keyless WHERE f = 0.3; UPDATE keyed SET f = f + 100 WHERE f < 4 AND f <> 0.3; UPDATE keyed SET v = 'second' WHERE f > 5");
$target->safe_psql('postgres', "SELECT livesync.resume_table('c', 'public.$_')") for qw(keyless keyed);
wait_sync($source, $target, 'c');
same('caught up with');
is($target->safe_psql('postgres', "SELECT string_agg(detail, '; ') FROM livesync.events WHERE event = 'table_failed'"), '', 'no table failed');

check_logs($source, $target);
done_testing();
