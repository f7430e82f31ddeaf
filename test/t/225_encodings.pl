# A target of another encoding gets the same characters; one that it lacks stops what needs it, says why, and loses nothing.
#
# The source converts all that it sends.  What it cannot convert it does not send, so in the copy it is a matter of the one
# table; in the stream nothing can come after it, and nobody finds the way out behind "has no equivalent".

use strict;
use warnings;

use lib 'test/perl';
use LiveSync;
use Test::More;

my @utf8 = (source_init => [ '--encoding=UTF8', '--no-locale' ]);
my ($source, $target) = pair(@utf8, target_init => [ '--encoding=LATIN1', '--no-locale' ]);
$ENV{PGCLIENTENCODING} = 'UTF8';

sub run { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql) }

run($source, <<'SQL');
CREATE TABLE "gemäß" ("größe" text PRIMARY KEY, "ñ" jsonb, note text DEFAULT 'ß');
INSERT INTO "gemäß" VALUES ('é', '{"ü": "à"}'), ('e', NULL);
CREATE TABLE words (id int PRIMARY KEY, w text);
INSERT INTO words VALUES (1, 'mot'), (2, '語');
SQL
create_connector($target, 'postgres', 'c', conninfo($source));
my $word = q{FROM livesync.tables WHERE source_table = 'public.words'};
like(wait_row($target, 'postgres', "SELECT last_error $word AND hint LIKE '%LATIN1%ENCODING ''UTF8''%'"), qr/has no equivalent in encoding "LATIN1"/, 'a character that the target lacks stops the copy of its table, with what to do');

my $all = q{SELECT string_agg(g::text, ' ' ORDER BY "größe" COLLATE "C") FROM "gemäß" g};
run($source, q{UPDATE "gemäß" SET note = 'ÿ', "größe" = 'É' WHERE "größe" = 'é'; INSERT INTO "gemäß" VALUES ('é', '["ö"]'); DELETE FROM "gemäß" WHERE "größe" = 'e'});
wait_state($target, 'postgres', 'c', 'public.gemäß', 'streaming');
wait_caught_up($source, $target, 'c');
is(run($target, $all), run($source, $all), 'another one is copied and streamed, with its key and its names');

run($source, q{UPDATE words SET w = 'mots' WHERE id = 2});
wait_sync($source, $target, 'c');
same_tables($source, 'postgres', $target, 'postgres', ['public.words'], 'when the character is gone the copy goes on by itself');

# --- in the stream -------------------------------------------------------------------------------
$target->safe_psql('postgres', q{SELECT livesync.pause_connector('c')});
# the change and the error come together
run($source, q{UPDATE words SET w = 'vor' WHERE id = 1; UPDATE words SET w = '語' WHERE id = 1; UPDATE words SET w = 'nach' WHERE id = 1});
$target->safe_psql('postgres', q{SELECT livesync.resume_connector('c')});
poll($target, 'postgres', q{SELECT hint LIKE '%LATIN1%Nothing is skipped%ENCODING ''UTF8''%' FROM livesync.connectors});
is(run($target, 'SELECT w FROM words WHERE id = 1'), 'vor', 'in the stream it stops the connector, which says so; what came before is applied');

check_logs($source, $target);
done_testing();
