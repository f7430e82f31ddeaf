=pod

=head1 NAME

LiveSync - what the tests in test/t share

=head1 SYNOPSIS

  use lib 'test/perl';
  use LiveSync;
  use Test::More;

  my ($source, $target) = pair();
  $source->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY, v text)');
  create_connector($target, 'postgres', 'c', conninfo($source));
  wait_sync($source, $target, 'c');

  failpoint($target, 'copy_before_chunk=wait');       # hold a worker there ...
  failpoint_reached($target, 'postgres', 'copy_before_chunk');
  clear_failpoints($target);                          # ... and let it go on

  wait_caught_up($source, $target, 'c');
  same_tables($source, 'postgres', $target, 'postgres', ['public.t']);
  check_logs($source, $target);
  done_testing();

=head1 DESCRIPTION

Everything here waits for a condition, never for a time.  What does not come true within
$PG_TEST_TIMEOUT_DEFAULT seconds (180) ends the test file with what the views said at that moment.
same_tables() and check_logs() are one test each; the other functions are none.

A file that provokes a crash of a server says so in a comment, or the log search after the run counts
it as a failure:

  # expected in the logs: PANIC

=cut

package LiveSync;

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use IPC::Run ();
use Test::More;
use Time::HiRes qw(usleep time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(
  pair source_node target_node conninfo create_connector
  poll wait_row wait_sync wait_caught_up wait_state failure_of retry_table slots_are_free source_lsn
  failpoint failpoint_reached clear_failpoints end_of_crashes worker_pid
  kill_process try_kill_process flush_wal cut_connections start_pgbench stop_pgbench run_pgbench
  same_tables check_logs quote_literal
  session start_query finish_query wait_event wait_text
);

# What ends a test file is said where prove shows it, not only in the test's own log.
$SIG{__DIE__} = sub { diag($_[0]) unless $^S };

# Cluster names must differ within a test file, also when it makes several pairs.
my %used_names;

sub _new_node
{
	my ($name, %opt) = @_;
	my $number = ++$used_names{$name};
	my @where = $opt{install_path} ? (install_path => $opt{install_path}) : ();
	return PostgreSQL::Test::Cluster->new($number > 1 ? "$name$number" : $name, @where);
}

# What both sides get: room for many workers and sessions; a killed worker must not end the server, nor a machine that
# stands still for a minute a session that is just beginning.
sub _common_conf
{
	my (%opt) = @_;
	my $fsync = $opt{fsync} ? 'on' : 'off';
	return <<"CONF";
fsync = $fsync
restart_after_crash = on
shared_buffers = 32MB
max_connections = 60
max_wal_senders = 20
max_replication_slots = 20
max_worker_processes = 32
max_prepared_transactions = 10
max_wal_size = 512MB
log_lock_waits = on
authentication_timeout = '10min'
CONF
}

=pod

=head1 SERVERS

=over

=item pair(%options)

Makes and starts a source and a target and creates the extension in the target database.  Returns
both nodes.  Options:

  source_conf, target_conf   lines for postgresql.conf, after the defaults
  source_db, target_db       databases to make when they are not 'postgres'
  source_init, target_init   arguments for initdb, as arrays
  fsync => 1                 sync to disk, for tests that crash a whole server
  extension => 0             do not create the extension
  preload => 0               do not preload the library

=cut

sub pair
{
	my (%opt) = @_;
	return (source_node('source', %opt), target_node('target', %opt));
}

=pod

=item source_node($name, %options), target_node($name, %options)

One of the two, with the same options; a source may also have

  install_path => $folder    of another server than the one that is tested

=cut

sub source_node
{
	my ($name, %opt) = @_;
	my $node = _new_node($name, %opt);
	$node->init(allows_streaming => 'logical', extra => $opt{source_init} || []);
	# The library of 18 sets it, also for servers that do not know it.
	$node->adjust_conf('postgresql.conf', 'autovacuum_worker_slots') if $opt{install_path};
	$node->append_conf('postgresql.conf', _common_conf(%opt));
	$node->append_conf('postgresql.conf', $opt{source_conf}) if defined $opt{source_conf};
	$node->start;
	_create_database($node, $opt{source_db});
	return $node;
}

sub target_node
{
	my ($name, %opt) = @_;
	my $preload = $opt{preload} // 1;
	my $node    = _new_node($name);
	$node->init(allows_streaming => 'logical', extra => $opt{target_init} || []);
	$node->append_conf('postgresql.conf', _common_conf(%opt));
	# From 18 on the slots do not count for the origins, of which each connector has one.
	$node->append_conf('postgresql.conf', 'max_active_replication_origins = 20') if $node->pg_version >= 18;
	if ($preload)
	{
		$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'pg_livesync'
livesync.poll_interval = '200ms'
livesync.retry_delay = '100ms'
CONF
	}
	$node->append_conf('postgresql.conf', $opt{target_conf}) if defined $opt{target_conf};
	$node->start;
	_create_database($node, $opt{target_db});
	$node->safe_psql($opt{target_db} // 'postgres', 'CREATE EXTENSION pg_livesync')
	  if $preload && ($opt{extension} // 1);
	return $node;
}

sub _create_database
{
	my ($node, $db) = @_;
	return if !defined $db || $db eq 'postgres';
	(my $quoted = $db) =~ s/"/""/g;
	$node->safe_psql('postgres', qq{CREATE DATABASE "$quoted"});
	return;
}

=pod

=item conninfo($source, $db)

The connection string of a database at the source, by default 'postgres'.  It lets a machine that stands still for a
while answer all the same.

=cut

sub conninfo
{
	my ($source, $db) = @_;
	return $source->connstr($db // 'postgres') . ' connect_timeout=60';
}

=pod

=item create_connector($target, $target_db, $name, $conninfo, %arguments)

Calls livesync.create_connector().  Arguments are those of the function; arrays become text[]:

  create_connector($target, 'postgres', 'c', conninfo($source), tables => ['public.t'], copy_workers => 2);

=cut

sub create_connector
{
	my ($target, $db, $name, $conninfo, %args) = @_;
	my @arguments = (quote_literal($name), quote_literal($conninfo));
	push @arguments, map { "$_ => " . _sql_value($args{$_}) } sort keys %args;
	$target->safe_psql($db, 'SELECT livesync.create_connector(' . join(', ', @arguments) . ')');
	return;
}

sub _sql_value
{
	my ($value) = @_;
	return 'NULL' unless defined $value;
	return 'ARRAY[' . join(', ', map { quote_literal($_) } @$value) . ']::text[]' if ref $value;
	return $value if $value =~ /^(?:true|false|\d+)$/;
	return quote_literal($value);
}

=pod

=item quote_literal($text)

=back

=cut

sub quote_literal
{
	my ($text) = @_;
	(my $quoted = $text) =~ s/'/''/g;
	return $quoted =~ /\\/ ? 'E' . "'" . ($quoted =~ s/\\/\\\\/gr) . "'" : "'$quoted'";
}

=pod

=head1 WAITING

=over

=item poll($node, $db, $sql, $expected, $seconds)

Runs the query until it gives the expected text ('t' when left out); rows are separated by newlines,
columns by '|'.  An error of the query counts as "not yet", also that there is no connection.

=cut

sub poll
{
	my ($node, $db, $sql, $expected, $seconds) = @_;
	$expected //= 't';
	_poll($node, $db, $sql, sub { $_[0] eq $expected }, qq{"$expected"}, $seconds);
	return 1;
}

=pod

=item wait_row($node, $db, $sql)

Runs the query until it gives any row, and returns it.  For what is there now and then: who waits for it and asks what it
is in another query may find that it has just gone.

=cut

sub wait_row
{
	my ($node, $db, $sql) = @_;
	return _poll($node, $db, $sql, sub { $_[0] ne '' }, 'a row');
}

sub _poll
{
	my ($node, $db, $sql, $is_it, $expected, $seconds) = @_;
	$seconds //= _timeout();
	my $end = time() + $seconds;
	my ($out, $err);
	while (1)
	{
		_try_psql($node, $db, $sql, stdout => \$out, stderr => \$err);
		return $out if $err eq '' && $is_it->($out);
		last if time() >= $end;
		usleep(50_000);
	}
	return _give_up($node, $db, "after $seconds s this did not give $expected:\n$sql\nlast result: $out\n$err");
}

# As psql(), where there may be no server: false when it did not succeed, for whatever reason.  A psql that
# finds no server ends before it has read the query, and IPC::Run may then die of a broken pipe.
sub _try_psql
{
	my ($node, $db, $sql, %params) = @_;
	my $status = eval { $node->psql($db, $sql, %params, on_error_die => 0, on_error_stop => 1) };
	return 1 if defined $status && $status == 0;
	if (!defined $status)
	{
		${ $params{stdout} } = '' if $params{stdout};
		${ $params{stderr} } = $@ if $params{stderr};
	}
	return 0;
}

sub _timeout { return $PostgreSQL::Test::Utils::timeout_default; }

# Ends the test file, saying where every connector stands.
sub _give_up
{
	my ($node, $db, $message) = @_;
	my ($out, $err);
	for my $view (qw(connectors progress tables events))
	{
		my $tail = $view eq 'events' ? ' ORDER BY at DESC LIMIT 20' : '';
		_try_psql($node, $db, "SELECT * FROM livesync.$view$tail", stdout => \$out, stderr => \$err, extra_params => ['-x']);
		diag("livesync.$view:\n$out") if defined $out && $out ne '';
	}
	diag('server log: ' . $node->logfile);
	local $Carp::Internal{ (__PACKAGE__) } = 1;
	croak $message;
}

=pod

=item source_lsn($source, $db)

A position at the source behind everything that has committed there so far, and flushed.

=cut

sub source_lsn
{
	my ($source, $db) = @_;
	# A message is WAL that has to be flushed at its commit, whatever earlier commits did.
	my $out = $source->safe_psql($db // 'postgres', <<'SQL');
SET synchronous_commit = local;
DO $$ BEGIN PERFORM pg_logical_emit_message(true, 'livesync_test', ''); END $$;
SELECT pg_current_wal_flush_lsn();
SQL
	return $out;
}

=pod

=item wait_caught_up($source, $target, $connector, %options)

Waits until everything that has committed at the source is applied.  Options: source_db, target_db,
seconds.  A table that is not streaming yet does not have it: see wait_sync().

=cut

sub wait_caught_up
{
	my ($source, $target, $connector, %opt) = @_;
	my $db  = $opt{target_db} // 'postgres';
	my $lsn = source_lsn($source, $opt{source_db});
	_wait_function($target, $db, "livesync.wait_for_lsn(%s, '$lsn', '%s s')", $connector, %opt);
	return;
}

=pod

=item wait_sync($source, $target, $connector, %options)

Waits until every table of the connector streams and everything that has committed at the source is
applied.  Options as above.

=cut

sub wait_sync
{
	my ($source, $target, $connector, %opt) = @_;
	_wait_function($target, $opt{target_db} // 'postgres', "livesync.wait_for_sync(%s, '%s s')",
		$connector, %opt);
	return wait_caught_up($source, $target, $connector, %opt);
}

sub _wait_function
{
	my ($target, $db, $call, $connector, %opt) = @_;
	my $seconds = $opt{seconds} // _timeout();
	my $sql     = 'SELECT ' . sprintf($call, quote_literal($connector), $seconds);
	my ($out, $err);
	my $status = $target->psql($db, $sql, stdout => \$out, stderr => \$err, timeout => $seconds + 30,
		timed_out => \my $timed_out);
	return if $status == 0 && $out eq 't';
	_give_up($target, $db, "$sql gave \"$out\" $err" . ($timed_out ? ' (it did not return)' : ''));
}

=pod

=item wait_state($target, $db, $connector, $source_table, $state)

Waits for a state of a table: queued, copying, catching_up, streaming, paused, failed.

=cut

sub wait_state
{
	my ($target, $db, $connector, $table, $state) = @_;
	return poll($target, $db,
		'SELECT state FROM livesync.tables WHERE connector = '
		  . quote_literal($connector) . ' AND source_table = ' . quote_literal($table), $state);
}

=pod

=item failure_of($target, $db, $connector, $source_table)

Waits until a table has failed; returns its error and its hint.  A table whose copy fails is tried again by itself, and has
neither while it is.

=cut

sub failure_of
{
	my ($target, $db, $connector, $table) = @_;
	my $row = wait_row($target, $db,
		q{SELECT last_error, coalesce(hint, '') FROM livesync.tables WHERE state = 'failed' AND last_error IS NOT NULL AND connector = }
		  . quote_literal($connector) . ' AND source_table = ' . quote_literal($table));
	return split /\|/, $row, 2;
}

=pod

=item slots_are_free($source)

Waits until no walsender has a slot.  It ends a moment after the connector that was paused or dropped.

=cut

sub slots_are_free { return poll($_[0], 'postgres', 'SELECT count(*) = 0 FROM pg_replication_slots WHERE active') }

=pod

=item retry_table($target, $db, $connector, $source_table)

livesync.retry_table(), for a table that may be faster by itself.

=back

=cut

sub retry_table
{
	my ($target, $db, $connector, $table) = @_;
	my $call = 'SELECT livesync.retry_table(' . quote_literal($connector) . ', ' . quote_literal($table) . ')';
	my ($out, $err);
	_try_psql($target, $db, $call, stdout => \$out, stderr => \$err)
	  or $err =~ /has not failed/
	  or _give_up($target, $db, "$call failed: $err");
	return;
}

=pod

=head1 SESSIONS

=over

=item session($node, $db, $name)

A psql session that stays open, for transactions that do: a PostgreSQL::Test::BackgroundPsql, with
query(), query_safe() and query_until().  $name becomes its application_name.

=cut

sub session
{
	my ($node, $db, $name) = @_;
	my $session = bless $node->background_psql($db, on_error_stop => 0), 'LiveSync::Session';
	# Each query may take as long as any other wait, however long the session has been open.
	$session->set_query_timer_restart;
	$session->query_safe('SET application_name = ' . quote_literal($name)) if defined $name;
	return $session;
}

=pod

=item start_query($session, $sql)

Sends a statement that will wait for something, and returns at once.

=cut

sub start_query
{
	my ($session, $sql) = @_;
	$session->query_until(qr/livesync: sent/, "\\echo 'livesync: sent'\n$sql;\n");
	return;
}

=pod

=item finish_query($session)

Waits for the end of it; returns what it printed, errors and warnings included.

=cut

sub finish_query
{
	my ($session) = @_;
	my $output = $session->query('');
	my $errors = $session->{stderr};
	$session->{stderr} = '';
	return join "\n", grep { $_ ne '' } $output, $errors;
}

=pod

=item wait_event($node, $name, $event)

Waits until the session of that application_name waits for that event or type of event:
'Lock', 'SyncRep', ...

=cut

sub wait_event
{
	my ($node, $name, $event) = @_;
	return poll($node, 'postgres',
		'SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = ' . quote_literal($name)
		  . ' AND ' . quote_literal($event) . ' IN (wait_event, wait_event_type)');
}

=pod

=item wait_text($target, $db, $connector, $table, $pattern)

Waits until livesync.tables.waiting_for of the table matches the regular expression.

=back

=cut

sub wait_text
{
	my ($target, $db, $connector, $table, $pattern) = @_;
	return poll($target, $db,
		'SELECT waiting_for ~ ' . quote_literal($pattern) . ' FROM livesync.tables WHERE connector = '
		  . quote_literal($connector) . ' AND source_table = ' . quote_literal($table));
}

=pod

=head1 FAILPOINTS

=over

=item failpoint($target, 'name=wait', 'name/schema.table=error', ...)

Replaces the failpoints that are set and returns when a new session sees them.  wait holds the worker
until it is named no more, error raises an error, crash kills the process.

=cut

sub failpoint
{
	my ($target, @places) = @_;
	my $value = join(',', @places);
	for (@places)
	{
		croak "a failpoint is name[/schema.table]=wait|error|crash, not \"$_\""
		  unless $_ =~ m{^\w+(?:/[^=,]+)?=(?:wait|error|crash)$};
	}
	# Two calls: ALTER SYSTEM cannot run in the transaction that several statements in one are.
	$target->safe_psql('postgres',
		$value eq ''
		? 'ALTER SYSTEM RESET livesync.failpoints'
		: 'ALTER SYSTEM SET livesync.failpoints = ' . quote_literal($value));
	# One that kills may strike at once, and take this session with it.
	_try_psql($target, 'postgres', 'SELECT pg_reload_conf()');
	return poll($target, 'postgres', 'SHOW livesync.failpoints', $value);
}

=pod

=item clear_failpoints($target)

=cut

sub clear_failpoints { return failpoint($_[0]); }

=pod

=item end_of_crashes($target)

Clears a failpoint that kills.  The server may be on its way down or up at any moment until then, so it
is stopped (immediately) and started: then no worker has the failpoint any more.

=cut

sub end_of_crashes
{
	my ($node) = @_;
	usleep(50_000) until _try_psql($node, 'postgres', 'ALTER SYSTEM RESET livesync.failpoints');
	$node->stop('immediate');
	return $node->start;
}

=pod

=item failpoint_reached($target, $db, $name, $count)

Waits until a worker (or $count of them) waits at that failpoint.

=cut

sub failpoint_reached
{
	my ($target, $db, $name, $count) = @_;
	$count //= 1;
	return poll($target, $db,
		"SELECT count(*) >= $count FROM pg_stat_activity WHERE query = " . quote_literal("failpoint $name"));
}

=pod

=item worker_pid($target, $db, $kind)

The process id of a worker: 'launcher', 'connector' or 'copy'.  Waits until there is one; of several
it is one that a failpoint holds, if there is one (others may end at any moment), or else the oldest.

=back

=cut

sub worker_pid
{
	my ($target, $db, $kind) = @_;
	my $where = "backend_type = 'livesync $kind'";
	$where .= ' AND datname = ' . quote_literal($db) unless $kind eq 'launcher';
	poll($target, $db, "SELECT count(*) > 0 FROM pg_stat_activity WHERE $where");
	my $pid = $target->safe_psql($db,
		"SELECT pid FROM pg_stat_activity WHERE $where ORDER BY query LIKE 'failpoint %' DESC, backend_start, pid LIMIT 1");
	# It may have ended between the two queries.
	return $pid ne '' ? $pid : worker_pid($target, $db, $kind);
}

=pod

=head1 CRASHES

=over

=item kill_process($node, $pid)

SIGKILL to one process of a server; returns when the server has started again because of it.

=item try_kill_process($node, $pid)

The same, of a process that may have ended by itself: then it returns false, and the server goes on.

=cut

sub kill_process
{
	my ($node, $pid) = @_;
	return try_kill_process($node, $pid) || croak "there is no process $pid";
}

sub try_kill_process
{
	my ($node, $pid) = @_;
	my $offset = -s $node->logfile;
	# One that is stopped cannot end by itself between the look and the kill.
	kill('STOP', $pid) == 1 or return 0;
	my $stat = eval { local $SIG{__DIE__} = 'DEFAULT'; PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") };
	return 0 if !defined $stat || $stat =~ /\) Z /;
	kill('KILL', $pid);
	$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
	return poll($node, 'postgres', 'SELECT true');
}

=pod

=item flush_wal($node)

Flushes the WAL of everything that has committed, so that a crash keeps it: the workers commit
asynchronously.

=cut

sub flush_wal
{
	my ($node) = @_;
	# A transaction that wrote nothing would not wait for its commit record to be flushed.
	$node->safe_psql('postgres',
		"SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'livesync_test', '')");
	return;
}

=pod

=item cut_connections($source)

Ends all sessions that the workers have at the source, and returns how many.

=back

=cut

sub cut_connections
{
	my ($source) = @_;
	return $source->safe_psql('postgres',
		q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'livesync%'});
}

=pod

=head1 LOAD

=over

=item start_pgbench($node, $db, @arguments)

Starts pgbench and returns at once; its end is waited for by

=item stop_pgbench($pgbench)

which asks it to end now (what it was doing is rolled back), and by

=item stop_pgbench($pgbench, wait => 1)

which lets it do what it was told.  Neither minds a server that went away meanwhile and is back.

=item run_pgbench($node, $db, @arguments)

Runs pgbench to its end; any error ends the test file.

=back

=cut

my $pgbench_count = 0;

sub start_pgbench
{
	my ($node, $db, @arguments) = @_;
	my $output  = '';
	my $name    = 'pgbench_' . ++$pgbench_count;
	my $harness = IPC::Run::start([ 'pgbench', '-n', @arguments, $node->connstr($db) . " application_name=$name" ],
		'<', \undef, '>&', \$output);
	return { harness => $harness, output => \$output, node => $node, name => $name };
}

sub stop_pgbench
{
	my ($pgbench, %opt) = @_;
	$pgbench->{harness}->signal('TERM') unless $opt{wait};
	$pgbench->{harness}->finish;
	# A session ends a moment after its client, and may still commit what it was told to.
	poll($pgbench->{node}, 'postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '$pgbench->{name}'");
	return;
}

sub run_pgbench
{
	my ($node, $db, @arguments) = @_;
	my $output = '';
	IPC::Run::run([ 'pgbench', '-n', @arguments, $node->connstr($db) ], '<', \undef, '>&', \$output)
	  or croak "pgbench @arguments failed:\n$output";
	return;
}

=pod

=head1 COMPARING

=over

=item same_tables($source, $source_db, $target, $target_db, \@tables, $test_name)

One test: both sides have the same rows.  Whole tables are compared: every row as text, hashed, and
the hashes in order hashed again; when they differ, up to ten rows that only one side has are shown.
A table is 'schema.table', or a hash when the sides are not named alike or not all is compared:

  { source => 'public.t', target => 'app.t', columns => ['id', 'v'], where => 'id > 10' }

Columns are matched by name; by default those of the source.  Without tables: every ordinary and
partitioned table of the source's database.  An empty list of tables is a failure.

=cut

sub same_tables
{
	my ($source, $source_db, $target, $target_db, $tables, $test_name) = @_;
	my @tables = map { _table_pair($_) } $tables ? @$tables : _user_tables($source, $source_db);
	$test_name //= 'same rows: ' . join(', ', map { $_->{target} } @tables);

	my @different;
	for my $table (@tables)
	{
		my @columns = $table->{columns} ? @{ $table->{columns} } : _columns($source, $source_db, $table->{source});
		my @sides = ([ $source, $source_db, $table->{source} ], [ $target, $target_db, $table->{target} ]);
		my @sums = map { _hash_rows(@$_, \@columns, $table->{where}) } @sides;
		next if $sums[0] eq $sums[1] && $sums[0] =~ /^\d+\|/;
		push @different, "$table->{target}: rows|hash are $sums[0] at the source and $sums[1] at the target",
		  _different_rows(\@sides, \@columns, $table->{where});
	}
	push @different, 'no tables to compare' unless @tables;

	my $level = $Test::Builder::Level;
	local $Test::Builder::Level = $level + 1;
	my $same = ok(!@different, $test_name);
	diag($_) for @different;
	return $same;
}

sub _table_pair
{
	my ($table) = @_;
	$table = { source => $table } unless ref $table;
	return { %$table, target => $table->{target} // $table->{source} };
}

sub _user_tables
{
	my ($node, $db) = @_;
	return split /\n/, $node->safe_psql($db, <<'SQL');
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
	AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'livesync')
ORDER BY 1
SQL
}

sub _columns
{
	my ($node, $db, $table) = @_;
	return split /\n/, $node->safe_psql($db,
		'SELECT attname FROM pg_attribute WHERE attrelid = ' . quote_literal($table)
		  . '::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum');
}

sub _rows_query
{
	my ($table, $columns, $where) = @_;
	my $row = 'ROW(' . join(', ', map { '"' . s/"/""/gr . '"' } @$columns) . ')::text';
	return "SELECT $row AS r FROM $table" . (defined $where ? " WHERE $where" : '');
}

sub _hash_rows
{
	my ($node, $db, $table, $columns, $where) = @_;
	my ($out, $err);
	my $rows = _rows_query($table, $columns, $where);
	$node->psql($db,
		qq{SELECT count(*), md5(string_agg(h, '' ORDER BY h COLLATE "C")) FROM (SELECT md5(r) AS h FROM ($rows) x) y},
		stdout => \$out, stderr => \$err);
	return $err eq '' ? $out : $err;
}

sub _different_rows
{
	my ($sides, $columns, $where) = @_;
	my %count;
	my @names = ('source', 'target');
	for my $i (0, 1)
	{
		my ($node, $db, $table) = @{ $sides->[$i] };
		my ($out, $err);
		my $rows = _rows_query($table, $columns, $where);
		$node->psql($db, "SELECT left(translate(r, E'\\n', ' '), 200) || '  ' || md5(r) FROM ($rows) x",
			stdout => \$out, stderr => \$err);
		$count{$_} += $i == 0 ? 1 : -1 for split /\n/, $out;
	}
	my @only = grep { $count{$_} != 0 } sort keys %count;
	my $more = @only > 10 ? @only - 10 : 0;
	return (
		(map { '  only at the ' . $names[ $count{$_} > 0 ? 0 : 1 ] . ': ' . s/  \w{32}$//r } splice(@only, 0, 10)),
		$more ? "  and $more more" : ());
}

=pod

=item check_logs(@nodes)

One test: no server of these crashed on its own (no signal 6 or 11, no failed assertion, no PANIC), or
warned of something that was not released at the end of a transaction.  A worker that a failpoint killed
(signal 9) is no such thing.

=back

=cut

# What a server says of something that was not released at the end of a transaction, or written where it must not.
my $careless = 'leak: |resource was not closed|non-empty SPI stack|problem in |still active|seem to remain|own a lock| while in ';

sub check_logs
{
	my (@nodes) = @_;
	my @found;
	for my $node (@nodes)
	{
		my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
		push @found, map { $node->name . ": $_" } grep { /by signal (?:6|11)\b|TRAP: |PANIC: |WARNING:  .*(?:$careless)/ } split /\n/, $log;
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $clean = ok(!@found, 'no crash in the server logs');
	diag($_) for @found;
	return $clean;
}

# --- sessions --------------------------------------------------------------------------------

package LiveSync::Session;

use parent -norequire, 'PostgreSQL::Test::BackgroundPsql';

sub quit
{
	my ($self) = @_;
	$self->{timeout}->start;
	return $self->SUPER::quit;
}

1;
