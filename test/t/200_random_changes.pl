# Random changes of random tables: source, pg_livesync's target and the server's own logical replication
# end with the same rows.
#
# The tests beside this one each prove one thing that somebody thought of.  This one looks for what
# nobody thought of: tables of all kinds of identity and type, whose targets differ as targets do (column
# order, wider types, columns and indexes of their own, partitions), are written to in ways that folding,
# slicing and replaying could get wrong.  The second half does the same to tables while they are copied,
# in chunks of one block.  Now and then a connection is cut, a worker or the server dies, or an error
# strikes between two steps.
#
# When it fails it shows the seed, the rows and the changes since the sides were last equal.
#
#   LIVESYNC_SEED=n     another run than the one that is always made, or that one again (what several sessions do at once
#                       is interleaved anew, though); random: draws one
#   LIVESYNC_CASES=n    bursts of changes, of a dozen transactions each (default 24); for each 12 one copy under load
#   LIVESYNC_KINDS='…'  only these kinds of tables, to look closer
#   LIVESYNC_ONLY=copy  only one half: stream or copy
#   LIVESYNC_BINARY=1   only tables whose values may stream in binary form; 0: any (else as the seed says)

use strict;
use warnings;

use lib 'test/perl';
use IPC::Run ();
use LiveSync;
use LiveSync::RandomChanges;
use Test::More;
use Time::HiRes qw(time usleep);

# Who changes something here is told by this test whether it was that, so it makes the same changes each time.
my $seed  = $ENV{LIVESYNC_SEED} // 20261123;
$seed = int(time() * 1000) % 1_000_000_007 if $seed eq 'random';
my $cases = $ENV{LIVESYNC_CASES} // 24;
my @kinds = $ENV{LIVESYNC_KINDS} ? (kinds => [ split ' ', $ENV{LIVESYNC_KINDS} ]) : ();
my $only  = $ENV{LIVESYNC_ONLY} // '';
sub wants_binary { my $drawn = chance(0.5); return $ENV{LIVESYNC_BINARY} // $drawn }
diag("LIVESYNC_SEED=$seed LIVESYNC_CASES=$cases");

# Between which steps an error or a death may strike.
my @apply_places = qw(spool_before_commit apply_before_commit apply_after_commit);
my @copy_places  = qw(spool_started gate_passed planned chunk_locked chunk_loaded chunk_committed load_finished
  drain_segment before_flip after_flip);

my $conf = <<'CONF';
deadlock_timeout = 50ms
log_lock_waits = off
wal_retrieve_retry_interval = 100ms
timezone = 'Asia/Kolkata'
CONF
# With it each row that a change meets is looked at for who wrote it: nobody else ever does.
my $keeps_writers = $seed % 2 ? 'on' : 'off';
my $target = target_node('target', target_conf => $conf . <<"CONF");
track_commit_timestamp = $keeps_writers
max_logical_replication_workers = 8
livesync.chunk_size = '8kB'
CONF
my $source = source_node('source', source_conf => $conf . <<'CONF');
log_min_messages = fatal
logical_decoding_work_mem = 64kB
CONF

my $scripts_run = 0;

# --- both halves -----------------------------------------------------------------------------

# How psql runs a script: what fails is rolled back alone, or with its transaction.
sub run_scripts
{
	my ($db, @scripts) = @_;
	my @runs;
	for my $script (@scripts)
	{
		# A file: a server that is started meanwhile would inherit a pipe and keep it open.
		my $file = $source->basedir . '/script' . ++$scripts_run . '.sql';
		PostgreSQL::Test::Utils::append_to_file($file, "SET lock_timeout = '2s';\n$script->{sql}");
		push @runs, IPC::Run::start(
			[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=0', '-v', "ON_ERROR_ROLLBACK=$script->{on_error}", '-d', $source->connstr($db), '-f', $file ],
			'<', \undef, '>&', "$file.out");
	}
	return \@runs;
}

sub finish_scripts { $_->finish for @{ $_[0] }; return; }

sub setting
{
	my ($name, $value) = @_;
	$target->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	return;
}

sub random_settings
{
	my %value = ('livesync.batch_rows' => pick(1, 7, 50, 50, 1000, 1000000), 'livesync.batch_delay' => pick(0, 20, 200),
		'livesync.batch_bytes' => pick('1kB', '100kB', '8MB', '8MB'), 'livesync.binary_values' => pick('on', 'on', 'off'));
	setting($_, $value{$_}) for sort keys %value;
	$target->safe_psql('postgres', 'SELECT pg_reload_conf()');
	return join ', ', map { "$_ = $value{$_}" } sort keys %value;
}

sub read_columns
{
	my ($world, $db) = @_;
	my %columns;
	my $out = $source->safe_psql($db, "SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
		  . "WHERE relnamespace = '$world->{schema}'::regnamespace AND attnum > 0 AND NOT attisdropped ORDER BY attnum");
	push @{ $columns{ $_->[0] } }, $_->[1] for map { [ split /\|/, $_, 2 ] } split /\n/, $out;
	set_columns($_, @{ $columns{ $_->{name} } }) for tables_of($world);
	return;
}

# What is published of it.
sub columns_of { my ($table) = @_; return $table->{listed} ? @{ $table->{listed} } : map { $_->{name} } @{ $table->{columns} }; }

# One look at all tables of a database: name => "rows|hash".
sub sums_of
{
	my ($node, $db, @tables) = @_;
	my $sql = join "\nUNION ALL ", map {
		my $columns = join ', ', map { '"' . s/"/""/gr . '"' } columns_of($_);
		"SELECT '$_->{name}', count(*), md5(string_agg(h, '' ORDER BY h COLLATE \"C\")) FROM (SELECT md5(ROW($columns)::text) h FROM $_->{name} "
		  . ($_->{where} && $node == $source ? "WHERE $_->{where}" : '') . ') x'
	} @tables;
	return map { my ($name, $sum) = split /\|/, $_, 2; $name => $sum } split /\n/, $node->safe_psql($db, $sql);
}

# The tables that differ.
sub different_tables
{
	my ($source_db, $target_db, @tables) = @_;
	my %at_source = sums_of($source, $source_db, @tables);
	my %at_target = sums_of($target, $target_db, @tables);
	return grep { $at_source{ $_->{name} } ne $at_target{ $_->{name} } } @tables;
}

sub explain_difference
{
	my ($source_db, $target_db, $different, $since, $history) = @_;
	my $file = $target->basedir . '/history.sql';
	PostgreSQL::Test::Utils::append_to_file($file, $history);
	diag("LIVESYNC_SEED=$seed LIVESYNC_CASES=$cases, database $target_db of the target, tables " . join(', ', map { $_->{name} } @$different));
	diag("everything since the tables were made: $file");
	for my $table (@$different)
	{
		same_tables($source, $source_db, $target, $target_db,
			[ { source => $table->{name}, columns => [ columns_of($table) ], where => $table->{where} } ]);
		diag($target->safe_psql($target_db, "SELECT format('%s: stats %s', source_table, s) FROM livesync.stats s WHERE source_table = '$table->{name}'"))
		  if $target_db !~ /native/;
		my @about = grep { /\Q$table->{name}\E\b|^(?:BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|PREPARE|--)/ } split /^/, $since;
		diag(join '', map { length > 400 ? substr($_, 0, 400) . "...\n" : $_ } @about);
	}
	return;
}

sub no_failed_table
{
	my ($db) = @_;
	is($target->safe_psql($db, "SELECT source_table, state, last_error FROM livesync.tables WHERE state <> 'streaming'"), '', 'every table streams');
	return is(
		$target->safe_psql($db, "SELECT source_table, detail FROM livesync.events WHERE event = 'table_failed' AND source_table !~ 'deferred_unique'"),
		'', 'no table failed in between');
}

# --- disturbances ----------------------------------------------------------------------------

# A worker ends at once, and with it all processes of its server, somewhere in what it is doing.
sub kill_worker
{
	my ($db, $kind) = @_;
	my $pid = $target->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'livesync $kind' AND datname = '$db' ORDER BY random() LIMIT 1");
	try_kill_process($target, $pid) if $pid ne '';
	return;
}

sub stop_at_once
{
	$target->stop('immediate');
	$target->start;
	return;
}

# A worker fails or dies between two steps of its work, until somebody says that it is enough; or until all is copied, since not
# every copy comes by every place.
sub strike_at
{
	my ($db, $place) = @_;
	my $action = pick(qw(error crash));
	my $said = $action eq 'crash' ? qr/failpoint "$place" ends this process/ : qr/failpoint "$place" was reached/;
	my $offset = -s $target->logfile;
	failpoint($target, "$place=$action");
	return sub {
		my $end = time + $PostgreSQL::Test::Utils::timeout_default;
		until (PostgreSQL::Test::Utils::slurp_file($target->logfile, $offset) =~ $said || (is_copied($db) && grep { $_ eq $place } @copy_places))
		{
			die "no worker comes to $place" if time > $end;
			usleep(100_000);
		}
		end_of_crashes($target);
	};
}

# The server may be down at this moment.
sub is_copied
{
	my ($db) = @_;
	my ($status, $streams) = eval { local $SIG{__DIE__} = 'DEFAULT'; $target->psql($db, q{SELECT bool_and(state = 'streaming') FROM livesync.tables}) };
	return defined $status && $status == 0 && $streams eq 't';
}

# Each happens while changes are made, and may give back what ends it after they were made.
my %disturbances = (
	nothing => sub { return },
	cut     => sub { cut_connections($source); return },
	kill    => sub { kill_worker(@_); return },
	stop    => sub { stop_at_once(); return },
	pause   => sub {
		my ($db) = @_;
		$target->safe_psql($db, "SELECT livesync.pause_connector('c')");
		return sub { $target->safe_psql($db, "SELECT livesync.resume_connector('c')") };
	},
	strike => \&strike_at,
);

sub disturb
{
	my ($db, $what, @where) = @_;
	return $disturbances{$what}->($db, @where);
}

# --- streaming -------------------------------------------------------------------------------

sub make_databases
{
	my ($db) = @_;
	$source->safe_psql('postgres', "CREATE DATABASE $db");
	$target->safe_psql('postgres', "CREATE DATABASE $db");
	$target->safe_psql($db,        'CREATE EXTENSION pg_livesync');
	return;
}

sub publish
{
	my ($world, $db) = @_;
	my %tables;
	for my $table (grep { !$_->{inherits} } tables_of($world))
	{
		my $columns = $table->{listed} ? ' (' . join(', ', map { '"' . s/"/""/gr . '"' } @{ $table->{listed} }) . ')' : '';
		my $where = $table->{where} ? " WHERE ($table->{where})" : '';
		push @{ $tables{ $table->{by_leaf} ? 'leaves' : $table->{native} ? 'both' : 'ours' } }, "$table->{name}$columns$where";
	}
	push @{ $tables{ours} }, "$db.tick" if $db =~ /^stream/;
	$source->safe_psql($db, "CREATE PUBLICATION ${db}_$_ FOR TABLE " . join(', ', @{ $tables{$_} })
		  . ($_ eq 'leaves' ? '' : ' WITH (publish_via_partition_root)')) for sort keys %tables;
	return map { "${db}_$_" } sort keys %tables;
}

sub wait_native
{
	my ($slot) = @_;
	my $lsn = source_lsn($source);
	return poll($source, 'postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = '$slot'");
}

# What one burst did, in words that psql reads over.
sub describe_burst
{
	my ($title, @scripts) = @_;
	return "-- $title\n" . join '', map { "-- session, ON_ERROR_ROLLBACK $_->{on_error}\n$_->{sql}" } @scripts;
}

sub run_burst
{
	my ($number, $db, $world) = @_;
	my $settings = chance(0.3) ? random_settings() : 'as before';
	my $sessions = chance(0.25) ? 3 : 1;
	my @scripts = map { { sql => random_burst($world, 12), on_error => pick('on', 'on', 'off') } } 1 .. $sessions;
	my @disturbance = chance(0.8) ? 'nothing' : pick(['cut'], [ 'kill', 'connector' ], ['pause'], ['stop'], [ 'strike', pick(@apply_places) ])->@*;

	my $running = run_scripts($db, @scripts);
	my $end     = disturb($db, @disturbance);
	finish_scripts($running);
	# A change of each burst arrives, whatever its statements came to.
	$source->safe_psql($db, "INSERT INTO $db.tick DEFAULT VALUES");
	$end->() if $end;
	read_columns($world, $db);
	return describe_burst("burst $number, @disturbance, $settings", @scripts);
}

# Whole transactions: from 18 on the default is pieces, and 18.6's own worker dies of the savepoints of a transaction that was
# rolled back before any piece of it was sent.
sub begin_native
{
	my ($native, $db, @publications) = @_;
	$target->safe_psql($native, "CREATE SUBSCRIPTION $native CONNECTION " . quote_literal(conninfo($source, $db))
		  . ' PUBLICATION ' . join(', ', grep { !/_ours$/ } @publications) . ' WITH (synchronous_commit = on, streaming = off)');
	return;
}

sub check_stream
{
	my ($db) = @_;
	# Statistics are written a moment later, all at once.
	$source->safe_psql($db, "TRUNCATE $db.tick");
	poll($target, $db, "SELECT truncates = 1 FROM livesync.stats WHERE source_table = '$db.tick'");
	no_failed_table($db);
	is( $target->safe_psql($db, 'SELECT sum(insert_exists), sum(update_missing), sum(delete_missing), sum(update_origin_differs), sum(delete_origin_differs), '
			  . "sum(errors) FILTER (WHERE source_table !~ 'deferred_unique') FROM livesync.stats"),
		'0|0|0|0|0|0', 'there was no conflict');
	is( $target->safe_psql($db, "SELECT source_table, replayed_batches FROM livesync.stats WHERE replayed_batches > 0 "
			  . "AND source_table !~ '(two_unique|by_index|exclusion|deferred_unique)\$'"),
		'', 'no batch was applied one by one, where only one unique index is in the way');
	diag($target->safe_psql($db, "SELECT CASE WHEN is_binary THEN 'binary' ELSE 'text' END || coalesce(': ' || string_agg(coalesce(detail, 'Binary.'), ' ' ORDER BY at), '') "
		  . "FROM livesync.connector LEFT JOIN livesync.events ON event LIKE 'stream_in_%' GROUP BY is_binary"));
	diag($target->safe_psql($db, "SELECT format('%s changes in %s batches, %s of them one by one', sum(inserts + updates + deletes + truncates), "
			  . 'sum(batches), sum(replayed_batches)) FROM livesync.stats'));
	return;
}

sub stream_bursts
{
	my ($number, $bursts) = @_;
	my ($db, $native_db) = ("stream$number", "native$number");
	my $world = make_world($db, @kinds, binary => wants_binary());
	make_databases($db);
	$target->safe_psql('postgres', "CREATE DATABASE $native_db");

	my $tick = "CREATE TABLE $db.tick (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY);\n";
	my ($source_ddl, $target_ddl) = (source_ddl($world) . $tick, target_ddl($world) . $tick);
	my $rows = join '', map { random_rows($_, 15) } tables_of($world);
	my $history = "-- at the source\n$source_ddl-- at the target\n$target_ddl$rows";
	$source->safe_psql($db, $source_ddl);
	$target->safe_psql($_,  $target_ddl) for $db, $native_db;
	finish_scripts(run_scripts($db, { sql => $rows, on_error => 'off' }));

	my @publications = publish($world, $db);
	my @native = grep { $_->{native} } tables_of($world);
	create_connector($target, $db, 'c', conninfo($source, $db), publications => \@publications);
	begin_native($native_db, $db, @publications) if @native;
	wait_sync($source, $target, 'c', source_db => $db, target_db => $db);
	poll($target, $native_db, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel") if @native;

	my $is_equal = 1;
	for my $burst (1 .. $bursts)
	{
		my $since = run_burst($burst, $db, $world);
		$history .= $since;
		wait_caught_up($source, $target, 'c', source_db => $db, target_db => $db);
		wait_native($native_db) if @native;

		my @ours   = different_tables($db, $db, tables_of($world));
		my @theirs = @native ? different_tables($db, $native_db, @native) : ();
		explain_difference($db, $db, \@ours, $since, $history) if @ours;
		explain_difference($db, $native_db, \@theirs, $since, $history) if @theirs;
		$is_equal = !@ours && !@theirs;
		last unless $is_equal;
	}
	ok($is_equal, "source, target and the server's own replication stayed equal for $bursts bursts");
	check_stream($db) if $is_equal;

	$target->safe_psql($db, "SELECT livesync.pause_connector('c')");
	$target->safe_psql($db, "SELECT livesync.drop_connector('c')");
	$target->safe_psql($native_db, "DROP SUBSCRIPTION $native_db") if @native;
	return $is_equal;
}

# --- copying ---------------------------------------------------------------------------------

sub disturb_copy
{
	my ($db) = @_;
	my @disturbance = pick((['nothing']) x 3, ['cut'], [ 'kill', 'copy' ], [ 'kill', 'connector' ], ['stop'], ([ 'strike', pick(@copy_places) ]) x 3)->@*;
	if ($disturbance[0] ne 'strike')
	{
		clear_failpoints($target);
		poll($target, $db, "SELECT count(*) > 0 FROM livesync.events WHERE event = 'copy_finished'") if $disturbance[0] ne 'nothing';
	}
	my $end = disturb($db, @disturbance);
	return ("@disturbance", $end);
}

sub copy_under_load
{
	my ($number) = @_;
	my $db    = "copy$number";
	my $world = make_world($db, many_blocks => 1, @kinds, binary => wants_binary(), alter => chance(0.3) ? 0.02 : 0, rewrite => chance(0.3) ? 0.02 : 0,
		truncate => chance(0.3) ? 1 : 0);
	make_databases($db);

	my ($source_ddl, $target_ddl) = (source_ddl($world), target_ddl($world));
	$source->safe_psql($db, $source_ddl);
	$target->safe_psql($db, $target_ddl);
	# Dead rows leave room in early blocks, to which updates move rows.
	my $rows = join '', map { random_rows($_, 60) } tables_of($world);
	my $churn = random_burst($world, 20) . "VACUUM;\n";
	finish_scripts(run_scripts($db, { sql => $_, on_error => 'off' })) for $rows, $churn;
	my $settings = random_settings();
	my @publications = publish($world, $db);

	my @scripts = map {
		{ sql => join('', map { random_transaction($world) . 'SELECT pg_sleep(0.00' . int(rand 8) . ");\n" } 1 .. 150), on_error => pick('on', 'off') }
	} 1 .. 3;
	my $load = run_scripts($db, @scripts);
	# Nothing is copied before it is known what happens meanwhile.
	failpoint($target, 'slot_created=wait');
	create_connector($target, $db, 'c', conninfo($source, $db), publications => \@publications, copy_workers => 4);
	failpoint_reached($target, $db, 'slot_created');
	my ($disturbance, $end) = disturb_copy($db);
	finish_scripts($load);
	# Until then the target may go down at any moment.
	$end->() if $end;
	my $states = $target->safe_psql($db, "SELECT string_agg(c || ' ' || state, ', ') FROM (SELECT state, count(*) c FROM livesync.tables GROUP BY 1) x");
	read_columns($world, $db);
	wait_sync($source, $target, 'c', source_db => $db, target_db => $db);

	my @different = different_tables($db, $db, tables_of($world));
	ok(!@different, 'source and target are equal after a copy under load');
	my $since = describe_burst("the load, $disturbance, $settings", @scripts);
	explain_difference($db, $db, \@different, $since, "-- at the source\n$source_ddl-- at the target\n$target_ddl$rows$churn$since") if @different;
	no_failed_table($db);
	diag("$disturbance; when the load ended: $states");
	diag($target->safe_psql($db, "SELECT format('%s chunks, %s changes', (SELECT count(*) FROM livesync.chunk), "
			  . 'sum(inserts + updates + deletes + truncates)) FROM livesync.stats'));
	$target->safe_psql($db, "SELECT livesync.pause_connector('c')");
	$target->safe_psql($db, "SELECT livesync.drop_connector('c')");
	return !@different;
}

# --- the run ---------------------------------------------------------------------------------

srand($seed);
my $rounds = $cases > 30 ? int($cases / 30 + 0.5) : 1;
my $copies = $cases > 12 ? int($cases / 12 + 0.5) : 1;
my $go_on = 1;
if ($only ne 'copy')
{
	$go_on &&= stream_bursts($_, int($cases / $rounds + 0.5)) for 1 .. $rounds;
}
if ($only ne 'stream')
{
	$go_on &&= copy_under_load($_) for 1 .. $copies;
}
check_logs($source, $target);
done_testing();
