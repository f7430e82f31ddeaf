=pod

=head1 NAME

LiveSync::Versions - servers of other versions than the one that is tested, as sources

=head1 SYNOPSIS

  my %bin = other_servers();      # version => folder of its programs
  my $source = source_node('source18', install_path => installation_of($bin{18}));

=head1 DESCRIPTION

They are those of Debian's packages, and those that the environment names:

  LIVESYNC_SOURCES=/opt/pg14/bin:/opt/pg17/bin test/run t/222
  LIVESYNC_SOURCES=$(tools/other-servers) test/run t/222

=cut

package LiveSync::Versions;

use strict;
use warnings;

use Cwd qw(realpath);
use Exporter qw(import);
use PostgreSQL::Test::Utils qw(append_to_file);

our @EXPORT = qw(other_servers own_version installation_of);

my $own_bin = qx(pg_config --bindir) =~ s/\s+\z//r;

# "14" for /usr/lib/postgresql/14/bin
sub version_of { my ($bin) = @_; return qx("$bin/postgres" --version 2>/dev/null) =~ /\b(\d+)\.\d/ ? $1 : '' }

sub own_version { return version_of($own_bin) }

sub other_servers
{
	my %bin = map { version_of($_) => $_ } split(/:/, $ENV{LIVESYNC_SOURCES} // ''), glob('/usr/lib/postgresql/*/bin');
	delete @bin{ '', own_version() };
	return %bin;
}

# A place that looks like an installation with all that a test needs: not every package has psql and pg_config.
sub installation_of
{
	my ($bin) = @_;
	my $place = PostgreSQL::Test::Utils::tempdir();
	mkdir "$place/bin" or die;
	symlink realpath($_), "$place/bin/" . s{.*/}{}r for grep { -x && !m{/(?:pg_config|psql)$} } glob("$bin/*");
	symlink realpath("$own_bin/psql"), "$place/bin/psql";
	my ($full) = qx("$bin/postgres" --version) =~ /(\d\S*)/;
	append_to_file("$place/bin/pg_config", "#!/bin/sh\necho 'PostgreSQL $full'\n");
	chmod 0755, "$place/bin/pg_config";
	return $place;
}

1;
