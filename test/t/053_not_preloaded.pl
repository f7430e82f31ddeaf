# What is proved: without the library in shared_preload_libraries every function of ours that needs it
# fails with the same clear error, and the extension can still be created and dropped.
#
# Why it matters: that setting is what is most often forgotten.

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my $target = target_node('target', preload => 0);
$target->safe_psql('postgres', 'CREATE EXTENSION pg_livesync');

# A call of each function with arguments of the right types.
my @calls = split /\n/, $target->safe_psql('postgres', <<'SQL');
SELECT format('SELECT livesync.%I(%s)', p.proname,
	(SELECT string_agg(format('%L::%s', CASE t.type
			WHEN 'text[]'::regtype THEN '{a.b}' WHEN 'boolean'::regtype THEN 'true' WHEN 'integer'::regtype THEN '1'
			WHEN 'interval'::regtype THEN '1 s' WHEN 'pg_lsn'::regtype THEN '0/1' ELSE 'host=nowhere' END,
			t.type::regtype), ', ' ORDER BY t.n)
		FROM unnest(p.proargtypes) WITH ORDINALITY t(type, n)))
FROM pg_proc p WHERE p.pronamespace = 'livesync'::regnamespace AND p.prokind = 'f'
	AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
	AND p.proname NOT IN ('hide_secrets', 'fdw_validator')		-- need nothing
	AND p.prorettype <> 'trigger'::regtype		-- no call reaches them
ORDER BY p.proname
SQL
cmp_ok(scalar(@calls), '>=', 10, 'there are functions to call');

for my $call (@calls)
{
	my ($out, $err);
	$target->psql('postgres', $call, stdout => \$out, stderr => \$err);
	like($err,
		qr/ERROR:  pg_livesync must be loaded via "shared_preload_libraries"\nHINT:  Add pg_livesync to shared_preload_libraries in postgresql\.conf and restart the server\./,
		$call =~ s/\(.*//r);
}

is($target->safe_psql('postgres', q{SELECT livesync.hide_secrets('host=h password=geheim')}) =~ /geheim/ ? 1 : 0,
	0, 'what needs no workers works');
$target->safe_psql('postgres', 'DROP EXTENSION pg_livesync');
is( $target->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'livesync%'}),
	'0', 'and there are none');

check_logs($target);
done_testing();
