# The sessions in README.md and docs/ work as they stand when they are pasted.
#
# Instructions rot first: a renamed argument, a message that reads differently, a step that needs a step nobody wrote
# down.  So every block ```sql is run, page by page, in order, between two fresh servers, and the output that a page
# shows right behind a block must come.  How to write such a page is told in CONTRIBUTING.md.

use strict;
use warnings;
use utf8;

use lib 'test/perl';
use LiveSync;
use Test::More;

# --- reading a page --------------------------------------------------------------------------

# The blocks of a page: line, where (target, source, timescaledb, ssh), sql, and the output that is shown, if any.
sub blocks_of
{
	my ($page) = @_;
	open my $file, '<:encoding(UTF-8)', $page or die "$page: $!";
	my ($line, $inside, $ended, @blocks) = (0, undef, -1);
	while (my $text = <$file>)
	{
		$line++;
		if (!$inside && $text =~ /^(```|<!-- )sql\b *(\w*)\s*$/)
		{
			$inside = { line => $line, where => $2 || 'target', sql => '', end => $1 eq '```' ? qr/^```\s*$/ : qr/^-->\s*$/ };
			push @blocks, $inside;
		}
		elsif (!$inside && $text =~ /^```\s*$/ && $ended == $line - 1)
		{
			$inside = { output => 1, end => qr/^```\s*$/ };
		}
		elsif (!$inside && $text =~ /^```/)
		{
			$inside = { end => qr/^```\s*$/ };
		}
		elsif ($inside && $text =~ $inside->{end})
		{
			$ended = $line if defined $inside->{sql};
			undef $inside;
		}
		elsif ($inside && defined $inside->{sql}) { $inside->{sql} .= $text }
		elsif ($inside && $inside->{output}) { push @{ $blocks[-1]{expected} }, $text }
	}
	$_->{where} = 'source' for grep { $_->{sql} =~ /\A\s*-- at the source/ } @blocks;
	return @blocks;
}

# --- running it ------------------------------------------------------------------------------

# The addresses that a page shows are those of our servers; one look instead of \watch.
sub for_here
{
	my ($sql, $source) = @_;
	my $address = 'host=' . $source->host . ' port=' . $source->port;
	$sql =~ s/'host=\S+/'$address/g;
	$sql =~ s/\bhost '[^']*'/"host '" . $source->host . "', port '" . $source->port . "'"/ge;
	$sql =~ s/\\watch\b.*$/\\g/mg;
	return $sql;
}

# All that psql prints, and whether it reached the end.  Variables live on from block to block.
sub run_block
{
	my ($node, $db, $sql, $variables, $may_fail) = @_;
	my $output = '';
	my @command = ('psql', '-X', '-d', $node->connstr($db), '-v', 'ON_ERROR_STOP=' . ($may_fail ? 0 : 1), '-P', 'pager=off');
	utf8::encode($sql);
	IPC::Run::run([@command], '<', \"$variables$sql", '>', \$output, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default + 60));
	my $status = $?;
	utf8::decode($output);
	return ($status == 0, $output);
}

# --- comparing -------------------------------------------------------------------------------

# Column widths, positions and times differ; "…" stands for anything.
sub pattern
{
	my ($text) = @_;
	my $pattern = quotemeta squeeze($text);
	$pattern =~ s/\\…|…/.*/g;
	$pattern =~ s{[0-9A-F]+\\/[0-9A-F]{6,8}\b}{[0-9A-F]+/[0-9A-F]+}g;
	$pattern =~ s/\d{4}\\-\d\d\\-\d\d\\ \d\d\\:\d\d\\:\d\d(?:\\\.\d+)?/\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?/g;
	return qr/^$pattern$/;
}

sub squeeze
{
	my ($text) = @_;
	$text =~ s/-{2,}/-/g;
	$text =~ s/\s+/ /g;
	$text =~ s/^ | $//g;
	$text =~ s/^psql:<stdin>:\d+: //;
	return $text;
}

# The first line that is shown and did not come, in this order; undef: all came.
sub first_missing
{
	my ($expected, $output) = @_;
	my @lines = map { squeeze($_) } split /\n/, $output;
	for my $line (grep { /\S/ } @$expected)
	{
		my $pattern = pattern($line);
		shift @lines while @lines && $lines[0] !~ $pattern;
		return $line unless @lines;
		shift @lines;
	}
	return undef;
}

# --- the pages -------------------------------------------------------------------------------

# Where a block needs it and the server has it.
sub load_timescaledb
{
	my ($target, @blocks) = @_;
	return 0 unless grep { $_->{where} eq 'timescaledb' } @blocks;
	# docs/hypertables.md is for 2.23 or later
	return 0 unless $target->safe_psql('shop', q{SELECT count(*) FROM pg_available_extensions
		WHERE name = 'timescaledb' AND string_to_array(substring(default_version FROM '^\d+\.\d+'), '.')::int[] >= '{2,23}'});
	$target->append_conf('postgresql.conf', "shared_preload_libraries = 'timescaledb, pg_livesync'\ntimescaledb.telemetry_level = off");
	$target->restart;
	$target->safe_psql('shop', 'SET client_min_messages = error; CREATE EXTENSION timescaledb');
	return 1;
}

sub run_page
{
	my ($page, @blocks) = @_;
	my $makes_extension = grep { $_->{sql} =~ /^CREATE EXTENSION pg_livesync/m } @blocks;
	# A failed table must not be trying again at the moment when the page calls retry_table.
	my ($source, $target) = pair(source_db => 'shop', target_db => 'shop', extension => !$makes_extension,
		target_conf => q{livesync.retry_delay = '30s'});
	my $has_timescaledb = load_timescaledb($target, @blocks);
	my %at        = (source => $source, target => $target);
	my %variables = (source => '', target => '');

	for my $block (@blocks)
	{
		my $name = "$page:$block->{line}";
	  SKIP:
		{
			skip("$name needs an SSH server (350_ssh_tunnel.pl has one)", 1) if $block->{where} eq 'ssh';
			skip("$name needs TimescaleDB", 1) if $block->{where} eq 'timescaledb' && !$has_timescaledb;
			my $where    = $block->{where} eq 'source' ? 'source' : 'target';
			my $expected = $block->{expected} // [];
			my $sql      = for_here($block->{sql}, $source);
			my ($ended, $output) = run_block($at{$where}, 'shop', $sql, $variables{$where}, grep { /^ERROR: / } @$expected);
			my $missing = first_missing($expected, $output);

			ok($ended && !defined $missing, "$name works as it stands");
			if (!$ended || defined $missing)
			{
				my $why = ($ended ? "this line did not come:\n$missing" : '') . "what came:\n$output";
				utf8::encode($why);
				diag($why);
				return check_logs($source, $target);
			}
			$variables{$where} .= join '', map { "$_\n" } $sql =~ /^(\\set .*)$/mg;
		}
	}
	check_logs($source, $target);
	$_->stop for $source, $target;
	return;
}

# A setting that no page names is not found by who needs it.
sub settings_are_told
{
	my ($page) = @_;
	my %factor = ('' => 1, ms => 1, s => 1000, kB => 1, MB => 1024);
	my $in_unit = sub { $_[0] =~ /^(\d+)(\w*)$/ ? $1 * $factor{$2} : $_[0] };
	my (undef, $target) = pair(source_db => 'shop', target_db => 'shop');
	my %made = map { split /\|/ } split /\n/, $target->safe_psql('shop', q{SELECT name, boot_val FROM pg_settings WHERE name LIKE 'livesync.%'});

	open my $file, '<:encoding(UTF-8)', $page or die "$page: $!";
	my %told = map { /^\| `(livesync\.\w+)` \| (\w+) \|/ ? ($1 => $in_unit->($2)) : () } <$file>;
	is(delete $told{'livesync.failpoints'}, 'empty', "$page tells of failpoints, which no view shows");
	is_deeply(\%told, \%made, "$page has all settings with their defaults");
	return;
}

my @pages = grep { !defined $ENV{DOCS_PAGE} || /$ENV{DOCS_PAGE}/ } 'README.md', sort glob('docs/*.md');
for my $page (@pages)
{
	my @blocks = blocks_of($page);
	run_page($page, @blocks) if @blocks;
}
settings_are_told('docs/operations.md') if grep { $_ eq 'docs/operations.md' } @pages;
done_testing();
