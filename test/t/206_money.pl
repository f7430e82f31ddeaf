# A value of type money arrives as the number that it is, whatever lc_monetary says on either side.
#
# Its text is the locale's: what German writes 1.234,56 is 1.23 for who reads it as English, without an error, and
# what English writes is another number in French.
# So both sides speak of it in one locale, in the copy, in the stream and when tables are compared.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use PostgreSQL::Test::Utils;
use Test::More;

# Locales are made for this test, as the machine may have none.
my $locales = PostgreSQL::Test::Utils::tempdir();
for (qw(de_DE fr_FR))
{
	plan skip_all => "the locale $_ cannot be made here" if system("localedef -i $_ -f UTF-8 $locales/$_.UTF-8 >$locales/log 2>&1") != 0;
}
symlink $_, "$locales/" . s{.*/}{}r for glob '/usr/lib/locale/C.*';
$ENV{LOCPATH} = $locales;

my ($source, $target) = pair(
	source_conf => "lc_monetary = 'de_DE.UTF-8'\n",
	target_conf => "lc_monetary = 'fr_FR.UTF-8'\n");

$source->safe_psql('postgres', <<'SQL');
CREATE TABLE prices (id int PRIMARY KEY, price money, prices money[]);
INSERT INTO prices SELECT i, (i * 1234.56)::numeric::money, ARRAY[(i * 0.01)::numeric::money, NULL] FROM generate_series(1, 50) i;
CREATE TABLE keyless (price money);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyless SELECT (i * 1234.56)::numeric::money FROM generate_series(1, 50) i;
SQL
is($source->safe_psql('postgres', 'SELECT price FROM prices WHERE id = 1'), "1.234,56 \x{e2}\x{82}\x{ac}", 'the source writes it so');

create_connector($target, 'postgres', 'c', conninfo($source), tables => [ 'public.prices', 'public.keyless' ]);
wait_sync($source, $target, 'c');

sub same_numbers
{
	my ($name) = @_;
	for my $sql ('SELECT sum(price::numeric), count(*), sum(prices[1]::numeric) FROM prices', 'SELECT sum(price::numeric), count(*) FROM keyless')
	{
		is($target->safe_psql('postgres', $sql), $source->safe_psql('postgres', $sql), $name);
	}
	return;
}
same_numbers('copied');

$source->safe_psql('postgres', <<'SQL');
INSERT INTO prices SELECT i, (i * 1234.56)::numeric::money FROM generate_series(51, 60) i;
UPDATE prices SET price = price * 2 WHERE id % 3 = 0;
UPDATE keyless SET price = price + 1.5::numeric::money WHERE price::numeric < 10000;
DELETE FROM keyless WHERE price::numeric > 50000;
SQL
wait_caught_up($source, $target, 'c');
same_numbers('streamed');
is($target->safe_psql('postgres', "SELECT bool_and(equal) FROM livesync.compare_table('c', 'public.prices')"), 't', 'compare_table() finds them equal');
like($target->safe_psql('postgres', 'SELECT price FROM prices WHERE id = 1'), qr/^1[^.\d]+234,56 /, 'the target writes it its own way');
is($target->safe_psql('postgres', "SELECT string_agg(detail, '; ') FROM livesync.events WHERE event = 'table_failed'"), '', 'no table failed');

check_logs($source, $target);
done_testing();
