"""Applying: the source's work is done first, while every contender is paused; then each in turn is
resumed and timed until the last transaction is there.  All of them read the very same WAL."""

import dataclasses
import subprocess
import time

from contenders import PUBLICATION, Unsupported
from equality import unequal_tables
from server import cpu_seconds, wait_until
from watch import Watch

PLAIN = "id integer PRIMARY KEY, a integer, t text, at timestamptz DEFAULT '2024-01-01'"


@dataclasses.dataclass
class Workload:
    name: str
    what: str
    tables: dict  # name -> columns
    before: object  # scale -> statements, run before anything is timed
    load: object  # (Load) -> None: what is then applied
    unsupported: dict = dataclasses.field(default_factory=dict)  # contender -> why


@dataclasses.dataclass
class Load:
    """What a workload's load may use."""

    source: object
    database: str
    bindir: str
    scale: float

    def rows(self, full, least=1000):
        return max(int(full * self.scale), least)

    def sql(self, *statements):
        self.source.sql(self.database, *statements)

    def pgbench(self, transactions, script=None):
        command = [f"{self.bindir}/pgbench", "-n", "-c", "4", "-t", str(max(transactions // 4, 50))]
        if script:
            command += ["-f", "/dev/stdin"]
        environment_free = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        subprocess.run(command + [self.source.dsn(self.database)], input=(script or "").encode(), check=True, **environment_free)


TPCB = {
    "pgbench_branches": "bid integer PRIMARY KEY, bbalance integer, filler character(88)",
    "pgbench_tellers": "tid integer PRIMARY KEY, bid integer, tbalance integer, filler character(84)",
    "pgbench_accounts": "aid integer PRIMARY KEY, bid integer, abalance integer, filler character(84)",
    "pgbench_history": "tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler character(22)",
}


def tpcb_rows(scale):
    branches = max(int(50 * scale), 1)
    return [
        f"INSERT INTO pgbench_branches SELECT i, 0, '' FROM generate_series(1, {branches}) i",
        f"INSERT INTO pgbench_tellers SELECT i, 1 + (i - 1) / 10, 0, '' FROM generate_series(1, {branches * 10}) i",
        f"INSERT INTO pgbench_accounts SELECT i, 1 + (i - 1) / 100000, 0, '' FROM generate_series(1, {branches * 100000}) i",
    ]


def rows_of(table, full):
    return lambda scale: [f"INSERT INTO {table} SELECT i, i, 'row ' || i FROM generate_series(1, {max(int(full * scale), 1000)}) i"]


def nothing(_scale):
    return []


def insert_one_by_one(load):
    load.pgbench(load.rows(500_000), "INSERT INTO t (id, a, t) VALUES (nextval('ids'), 1, 'hello');\n")


def insert_interleaved(load):
    rows = load.rows(1_000_000)
    load.sql(
        "DO $$ BEGIN FOR i IN 1.." + str(rows // 4) + " LOOP"
        + "".join(f" INSERT INTO t{n} VALUES (i, i, 'row ' || i);" for n in range(1, 5)) + " END LOOP; END $$")


def update_without_key(load):
    load.sql(*[
        f"UPDATE t SET a = a + 1 WHERE id BETWEEN {low} AND {low + 19}"
        for low in range(1, load.rows(100_000, 5000), max(load.rows(100_000, 5000) // 100, 50))])


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("apply-tpcb", "300,000 transactions of pgbench, scale 50", TPCB, tpcb_rows, lambda load: load.pgbench(load.rows(300_000))),
        Workload("apply-single", "500,000 transactions of one inserted row", {"t": PLAIN}, nothing, insert_one_by_one),
        Workload("apply-insert", "one transaction inserts 2 million rows", {"t": PLAIN}, nothing,
                 lambda load: load.sql(*rows_of("t", 2_000_000)(load.scale))),
        Workload("apply-update", "one transaction updates 1 million rows by key", {"t": PLAIN}, rows_of("t", 1_000_000),
                 lambda load: load.sql("UPDATE t SET a = a + 1")),
        Workload("apply-delete", "one transaction deletes 1 million rows by key", {"t": PLAIN}, rows_of("t", 1_000_000),
                 lambda load: load.sql("DELETE FROM t")),
        Workload("apply-four", "one transaction inserts 1 million rows into four tables in turn",
                 {f"t{n}": PLAIN for n in range(1, 5)}, nothing, insert_interleaved),
        Workload("apply-full", "2,000 rows of 100,000 updated, REPLICA IDENTITY FULL and no key",
                 {"t": PLAIN.replace(" PRIMARY KEY", "")},
                 lambda scale: rows_of("t", 100_000)(max(scale, 0.05)) + ["ALTER TABLE t REPLICA IDENTITY FULL"],
                 update_without_key, {"pglogical": "needs a key"}),
        Workload("apply-huge", "one transaction of 5 million rows", {"t": PLAIN}, nothing,
                 lambda load: load.sql(*rows_of("t", 5_000_000)(load.scale))),
        Workload("apply-wide", "100,000 rows of 8 kB, stored out of line, inserted and then updated beside",
                 {"t": "id integer PRIMARY KEY, a integer, t text"}, nothing,
                 lambda load: load.sql(
                     "INSERT INTO t SELECT i, 0, (SELECT string_agg(md5((i * n)::text), '') FROM generate_series(1, 250) n)"
                     f" FROM generate_series(1, {load.rows(100_000)}) i", "UPDATE t SET a = 1")),
    )
}


def run(workload, contenders, scale, source, target, bindir, report):
    """Everyone in the given order, on the same WAL.  report(contender, figures or exception) is called for each."""
    database = source.create_database("bench_apply")
    everything = dict(workload.tables, bench_marker="id integer PRIMARY KEY, n bigint")
    source.sql(database, *[f"CREATE TABLE {table} ({columns})" for table, columns in everything.items()],
               "CREATE SEQUENCE ids CACHE 100", "INSERT INTO bench_marker VALUES (1, 0)", *workload.before(scale),
               f"CREATE PUBLICATION {PUBLICATION} FOR TABLES IN SCHEMA public", "ANALYZE")
    able = []
    for contender in contenders:
        if contender.name in workload.unsupported:
            report(contender, Unsupported(workload.unsupported[contender.name]))
            continue
        contender.make_database()
        target.sql(contender.database, *[f"CREATE TABLE {table} ({columns})" for table, columns in everything.items()])
        contender.subscribe(database)
        contender.wait_copied()
        target.sql(contender.database, "ANALYZE")
        contender.pause()
        able.append(contender)
    load = Load(source, database, bindir, scale)
    began = time.monotonic()
    workload.load(load)
    source_seconds = time.monotonic() - began
    source.sql(database, "UPDATE bench_marker SET n = 1")
    for contender in able:
        source.sql("postgres", "CHECKPOINT")
        target.sql("postgres", "CHECKPOINT")
        try:
            figures = timed(contender, source, target)
            figures["source_seconds"] = source_seconds
            differing = unequal_tables(source, database, target, contender.database, list(everything))
            if differing:
                raise RuntimeError("not equal: " + "; ".join(differing[:3]))
            report(contender, figures)
        except Exception as error:  # the others go on
            report(contender, error)
        contender.clean(database)
    source.empty_database(database)


def timed(contender, source, target):
    connection = target.connect(contender.database)
    with connection.cursor() as cursor:
        watch = Watch(source, target).start()
        try:
            contender.resume()

            def is_there():
                cursor.execute("SELECT n FROM bench_marker")
                return cursor.fetchone()[0] == 1

            wait_until(is_there, pause=0.005, what="the last transaction")
        finally:
            figures = watch.stop()
    connection.close()
    sender = source.value("postgres", f"SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{contender.slot()}'")
    figures["sender_cpu"] = cpu_seconds(sender)
    figures["applier_cpu"] = cpu_seconds(contender.applier())
    contender.pause()
    return figures
