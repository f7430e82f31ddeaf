"""Who is measured.

A contender that streams has subscribe(), wait_copied(), pause(), resume(), unsubscribe(), and tells
the processes that send and apply for it.  One that only copies has copy().  What a contender cannot
do it says by raising Unsupported, which the report prints instead of a figure.

`key` says when the key's index of the target table is made:
  before   the table is there with its key when the rows come
  after    the contender makes the table and, once it has the rows, the key
  none     the table has no index at all (nobody could stream into it; the copy's limit)
"""

import concurrent.futures
import os
import shutil
import subprocess
import tempfile

from server import wait_until

PUBLICATION = "bench"


class Unsupported(Exception):
    """The contender does not do this; the text says why."""


class Contender:
    streams = False
    keys = ("before",)

    def __init__(self, name, source, target, bindir):
        self.name = name
        self.source = source
        self.target = target
        self.bindir = bindir
        self.database = None

    def make_database(self):
        """Its database at the target, a new one for each run."""
        self.database = self.target.create_database("bench_" + self.name.replace("-", "_"))

    def copy(self, job):
        """Brings what is in job.database over; returns when all of it is committed."""
        self.subscribe(job.database, job.key)
        self.wait_copied()

    def wait_applied(self):
        """Until all that the source has committed by now is applied and flushed here."""
        lsn = self.source.sql("postgres", "SELECT pg_current_xact_id()", "SELECT pg_current_wal_insert_lsn()")[0][0]
        slot = self.slot()
        wait_until(
            lambda: self.source.value(
                "postgres", f"SELECT confirmed_flush_lsn >= '{lsn}' FROM pg_replication_slots WHERE slot_name = '{slot}'"),
            what=f"the confirmation of {lsn}")

    def clean(self, source_database):
        """Leaves nothing of a run, at either side."""
        if self.streams:
            self.unsubscribe(source_database)
        self.target.empty_database(self.database)


class Livesync(Contender):
    streams = True
    keys = ("before", "after")

    def __init__(self, name, source, target, bindir, workers=4):
        super().__init__(name, source, target, bindir)
        self.workers = workers

    @property
    def connector(self):
        return self.database

    def subscribe(self, source_database, key="before"):
        self.target.sql(
            self.database,
            "CREATE EXTENSION pg_livesync",
            f"SELECT livesync.create_connector('{self.connector}', '{self.source.dsn(source_database)}',"
            f" publications => '{{{PUBLICATION}}}', copy_workers => {self.workers}, create_tables => {key == 'after'})",
        )

    def wait_copied(self):
        if not self.target.value(self.database, f"SELECT livesync.wait_for_sync('{self.connector}', '1 hour')"):
            raise TimeoutError("the tables were not copied in an hour")

    def pause(self):
        self.target.sql(self.database, f"SELECT livesync.pause_connector('{self.connector}')")

    def resume(self):
        self.target.sql(self.database, f"SELECT livesync.resume_connector('{self.connector}')")

    def unsubscribe(self, source_database):
        slot = self.slot()
        self.pause()
        self.target.sql(self.database, f"SELECT livesync.drop_connector('{self.connector}')")
        wait_until(lambda: not self.source.sql("postgres", f"SELECT FROM pg_replication_slots WHERE slot_name = '{slot}'"),
                   60, what=f"the removal of slot {slot}")

    def slot(self):
        return self.target.value(self.database, f"SELECT slot_name FROM livesync.connectors WHERE name = '{self.connector}'")

    def applier(self):
        return self.target.value(
            self.database,
            "SELECT max(pid) FROM pg_stat_activity WHERE backend_type = 'livesync connector' AND datname = current_database()")


class Native(Contender):
    """The server's own subscription."""

    streams = True

    def subscribe(self, source_database, key="before"):
        self.target.sql(
            self.database,
            f"CREATE SUBSCRIPTION {self.database} CONNECTION '{self.source.dsn(source_database)}' PUBLICATION {PUBLICATION}")

    def wait_copied(self):
        wait_until(lambda: self.target.value(self.database, "SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate <> 'r'"),
                   what="the end of the copy")

    def pause(self):
        self.target.sql(self.database, f"ALTER SUBSCRIPTION {self.database} DISABLE")
        wait_until(lambda: not self.applier(), what="the end of the apply worker")

    def resume(self):
        self.target.sql(self.database, f"ALTER SUBSCRIPTION {self.database} ENABLE")

    def unsubscribe(self, source_database):
        self.target.sql(self.database, f"DROP SUBSCRIPTION {self.database}")

    def slot(self):
        return self.database

    def applier(self):
        return self.target.value(self.database, f"SELECT max(pid) FROM pg_stat_subscription WHERE subname = '{self.database}' AND relid IS NULL")


class Pglogical(Contender):
    streams = True

    def subscribe(self, source_database, key="before"):
        dsn = self.source.dsn(source_database)
        self.source.sql(source_database, "CREATE EXTENSION IF NOT EXISTS pglogical")
        if not self.source.sql(source_database, "SELECT FROM pglogical.node"):
            self.source.sql(
                source_database,
                f"SELECT pglogical.create_node('provider', '{dsn}')",
                "SELECT pglogical.replication_set_add_table(CASE WHEN i.indrelid IS NULL THEN 'default_insert_only' ELSE 'default' END, c.oid)"
                " FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary"
                " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'")
        self.target.sql(
            self.database,
            "CREATE EXTENSION pglogical",
            f"SELECT pglogical.create_node('subscriber', '{self.target.dsn(self.database)}')",
            f"SELECT pglogical.create_subscription('bench', '{dsn}', synchronize_structure := false, synchronize_data := true)")

    def wait_copied(self):
        wait_until(
            lambda: self.target.value(
                self.database,
                "SELECT count(*) > 0 AND bool_and(sync_status IN ('r', 'y')) FROM pglogical.local_sync_status"),
            what="the end of the copy")

    def pause(self):
        self.target.sql(self.database, "SELECT pglogical.alter_subscription_disable('bench', true)")
        wait_until(lambda: not self.applier(), what="the end of the apply worker")

    def resume(self):
        self.target.sql(self.database, "SELECT pglogical.alter_subscription_enable('bench', true)")

    def unsubscribe(self, source_database):
        self.target.sql(self.database, "SELECT pglogical.drop_subscription('bench')")

    def slot(self):
        return self.target.value(self.database, "SELECT sub_slot_name FROM pglogical.subscription")

    def applier(self):
        return self.target.value(
            self.database,
            "SELECT max(pid) FROM pg_stat_activity WHERE application_name LIKE 'pglogical apply%' AND datname = current_database()")


class Pgcopydb(Contender):
    keys = ("after",)

    def copy(self, job):
        folder = tempfile.mkdtemp(prefix="pgcopydb.")
        try:
            self._run(
                ["pgcopydb", "clone", "--source", self.source.uri(job.database), "--target", self.target.uri(self.database),
                 "--dir", f"{folder}/work", "--table-jobs", "4", "--index-jobs", "4", "--split-tables-larger-than", "200MB",
                 "--no-owner", "--no-acl", "--skip-large-objects", "--skip-extensions"])
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, command):
        environment = dict(os.environ, PATH=f"{self.bindir}:{os.environ['PATH']}")
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise RuntimeError("pgcopydb: " + done.stdout.decode(errors="replace")[-400:])


class Pipe(Contender):
    """psql -c 'COPY … TO STDOUT' | psql -c 'COPY … FROM STDIN', so many at once: the copy's limit.

    A job of one table is cut into as many ranges of ctid, each pipe with a snapshot of its own: right
    only while nobody writes."""

    keys = ("before", "none")

    def __init__(self, name, source, target, bindir, pipes, binary):
        super().__init__(name, source, target, bindir)
        self.pipes = pipes
        self.format = " WITH (FORMAT binary)" if binary else ""

    def copy(self, job):
        if len(job.tables) > 1:
            parts = [(table, f"SELECT * FROM {table}") for table in job.tables]
        else:
            parts = self._ranges(job.database, job.tables[0])
        with concurrent.futures.ThreadPoolExecutor(self.pipes) as pool:
            for done in [pool.submit(self._pipe, job.database, *part) for part in parts]:
                done.result()

    def _ranges(self, database, table):
        pages = self.source.value(database, f"SELECT pg_relation_size('{table}') / current_setting('block_size')::int")
        bounds = [pages * number // self.pipes for number in range(self.pipes)] + [2**32 - 2]
        return [(table, f"SELECT * FROM {table} WHERE ctid >= '({low},0)' AND ctid < '({high},0)'")
                for low, high in zip(bounds, bounds[1:])]

    def _pipe(self, database, table, query):
        psql = [f"{self.bindir}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        reader = subprocess.Popen(psql + ["-d", self.source.dsn(database), "-c", f"COPY ({query}) TO STDOUT{self.format}"],
                                  stdout=subprocess.PIPE)
        writer = subprocess.Popen(psql + ["-d", self.target.dsn(self.database), "-c", f"COPY {table} FROM STDIN{self.format}"],
                                  stdin=reader.stdout)
        reader.stdout.close()
        if writer.wait() != 0 or reader.wait() != 0:
            raise RuntimeError(f"psql | psql failed for {table}")


ALL = {
    "livesync": lambda *at: Livesync("livesync", *at),
    "livesync-1": lambda *at: Livesync("livesync-1", *at, workers=1),
    "livesync-2": lambda *at: Livesync("livesync-2", *at, workers=2),
    "native": lambda *at: Native("native", *at),
    "pglogical": lambda *at: Pglogical("pglogical", *at),
    "pgcopydb": lambda *at: Pgcopydb("pgcopydb", *at),
    **{f"{'binary-' if binary else ''}pipe-{pipes}": lambda *at, pipes=pipes, binary=binary: Pipe(
        f"{'binary-' if binary else ''}pipe-{pipes}", *at, pipes=pipes, binary=binary)
       for binary in (False, True) for pipes in (1, 2, 4)},
}
WHAT = {
    "livesync": "pg_livesync with 4 copy workers, its default",
    "livesync-1": "pg_livesync with 1 copy worker",
    "livesync-2": "pg_livesync with 2 copy workers",
    "native": "the server's own subscription",
    "pglogical": "pglogical 2.4",
    "pgcopydb": "pgcopydb clone, 4 table jobs, 4 index jobs",
    **{f"pipe-{pipes}": f"psql | psql, {pipes} at once, text" for pipes in (1, 2, 4)},
    **{f"binary-pipe-{pipes}": f"psql | psql, {pipes} at once, binary" for pipes in (1, 2, 4)},
}
