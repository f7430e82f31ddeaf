# LiveSync::Formatter - the output of prove and pg_prove, plus their counts for test/run.
#
#   prove --formatter LiveSync::Formatter ...
#
# Appends a line "PASSED FAILED" to the file that $LIVESYNC_COUNTS names.  A file that dies, has no
# plan or runs another number of tests than planned is one more failure than its tests say.

package LiveSync::Formatter;

use strict;
use warnings;

use parent 'TAP::Formatter::Console';

sub summary
{
	my ($self, $aggregate, $interrupted) = @_;
	if (my $file = $ENV{LIVESYNC_COUNTS})
	{
		my $failed = $aggregate->failed;
		for my $parser ($aggregate->parsers)
		{
			$failed++
			  if !$parser->failed && ($parser->parse_errors || $parser->exit || $parser->wait);
		}
		$failed++ if $interrupted;
		open my $handle, '>>', $file or die "cannot write $file: $!\n";
		print $handle scalar($aggregate->passed), ' ', $failed, "\n";
		close $handle;
	}
	return $aggregate->all_passed && !$interrupted ? undef : $self->SUPER::summary($aggregate, $interrupted);
}

1;
