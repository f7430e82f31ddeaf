"""The copy: what there is, brought over.  One source database a workload, one target database a run."""

import contextlib
import dataclasses
import subprocess

from contenders import PUBLICATION, Unsupported
from equality import unequal_tables
from watch import Watch


@dataclasses.dataclass
class Workload:
    name: str
    what: str
    tables: object  # scale -> {name: columns}
    fill: object  # scale -> statements
    key: str  # the key's columns
    writer: str = None  # a pgbench script, of a random :aid, that runs during the copy


@dataclasses.dataclass
class Filled:
    """What a workload's source holds."""

    database: str
    tables: list
    rows: int
    size: int  # bytes


@dataclasses.dataclass
class Job:
    database: str
    tables: list
    key: str


def wide_rows(scale):
    return max(int(2_000_000 * scale), 1000)


WIDE = (
    "id bigint NOT NULL, account integer NOT NULL, created_at timestamptz NOT NULL, amount numeric(12,2),"
    " status text, title text, body text, attributes jsonb, tags text[], score double precision"
)
WIDE_FILL = """
INSERT INTO wide SELECT i, i % 5000, timestamptz '2024-01-01' + i * interval '7 seconds', (i % 99991) / 7.0,
    (ARRAY['new','paid','sent','done'])[1 + i % 4], 'order number ' || i, repeat(md5(i::text), 18),
    jsonb_build_object('id', i, 'kind', i % 17, 'name', md5((i * 3)::text), 'list', jsonb_build_array(i, i + 1, i + 2)),
    ARRAY['a' || i % 10, 'b' || i % 100], sqrt(i)
FROM generate_series({low}::bigint, {high}::bigint) i
"""
NARROW = "series integer NOT NULL, at timestamptz NOT NULL, value double precision"
ACCOUNTS = "aid integer NOT NULL, bid integer, abalance integer, filler character(84)"


def in_slices(statement, rows, slices=10):
    return [statement.format(low=rows * n // slices + 1, high=rows * (n + 1) // slices) for n in range(slices)]


def small_tables(scale):
    return {f"small_{n}": "id integer NOT NULL, a integer, b text, c timestamptz" for n in range(max(int(200 * min(scale * 4, 1)), 10))}


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "copy-wide", "one table of 2 million rows of 1 kB (jsonb, text, numeric, timestamptz, array)",
            lambda scale: {"wide": WIDE}, lambda scale: in_slices(WIDE_FILL, wide_rows(scale)), "id"),
        Workload(
            "copy-narrow", "one time series of 20 million rows of 20 bytes",
            lambda scale: {"narrow": NARROW},
            lambda scale: in_slices(
                "INSERT INTO narrow SELECT i % 1000, timestamptz '2024-01-01' + (i / 1000) * interval '1 second', i * 0.5"
                " FROM generate_series({low}::bigint, {high}::bigint) i", max(int(20_000_000 * scale), 10000)), "series, at"),
        Workload(
            "copy-small", "200 tables of 20,000 rows", small_tables,
            lambda scale: [
                f"INSERT INTO {table} SELECT i, i % 7, 'row number ' || i, timestamptz '2024-01-01' + i * interval '1 minute'"
                " FROM generate_series(1, 20000) i" for table in small_tables(scale)], "id"),
        Workload(
            "copy-pgbench", "pgbench_accounts at scale 100, 10 million rows",
            lambda scale: {"accounts": ACCOUNTS},
            lambda scale: in_slices(
                "INSERT INTO accounts SELECT i, 1 + (i - 1) / 100000, 0, '' FROM generate_series({low}, {high}) i",
                max(int(10_000_000 * scale), 10000)), "aid"),
        Workload(
            "copy-busy", "the same, while 200 transactions a second change rows",
            lambda scale: {"accounts": ACCOUNTS},
            lambda scale: in_slices(
                "INSERT INTO accounts SELECT i, 1 + (i - 1) / 100000, 0, '' FROM generate_series({low}, {high}) i",
                max(int(10_000_000 * scale), 10000)), "aid",
            writer="UPDATE accounts SET abalance = abalance + 1 WHERE aid = :aid"),
    )
}


def fill(workload, scale, source):
    """The source's database; made once for all runs."""
    database = source.create_database("bench_copy")
    tables = workload.tables(scale)
    source.sql(database, *[f"CREATE TABLE {table} ({columns})" for table, columns in tables.items()])
    for statement in workload.fill(scale):
        source.sql(database, statement)
    source.sql(database, *[f"ALTER TABLE {table} ADD PRIMARY KEY ({workload.key})" for table in tables],
               f"CREATE PUBLICATION {PUBLICATION} FOR TABLES IN SCHEMA public", "VACUUM (FREEZE, ANALYZE)", "CHECKPOINT")
    rows, size = source.sql(
        database, "SELECT sum(reltuples)::bigint, sum(pg_table_size(oid))::bigint FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")[0]
    return Filled(database, list(tables), rows, size)


@contextlib.contextmanager
def writing(workload, source, bindir, filled):
    """Runs the workload's writer, if it has one, until the block ends."""
    if not workload.writer:
        yield
        return
    script = f"\\set aid random(1, {filled.rows})\n{workload.writer}\n"
    command = [f"{bindir}/pgbench", "-n", "-R", "200", "-c", "2", "-T", "86400", "-f", "/dev/stdin", source.dsn(filled.database) + " application_name=writer"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.stdin.write(script.encode())
    process.stdin.close()
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def run(workload, contender, key, scale, filled, source, target, bindir):
    """One copy, from nothing to all rows committed; returns its figures."""
    if workload.writer and not contender.streams:
        raise Unsupported("loses what is written meanwhile")
    contender.make_database()
    if key != "after":
        for table, columns in workload.tables(scale).items():
            target.sql(contender.database, f"CREATE TABLE {table} ({columns})")
            if key == "before":
                target.sql(contender.database, f"ALTER TABLE {table} ADD PRIMARY KEY ({workload.key})")
    target.sql("postgres", "CHECKPOINT")
    source.sql("postgres", "CHECKPOINT")
    try:
        with writing(workload, source, bindir, filled):
            watch = Watch(source, target).start()
            try:
                contender.copy(Job(filled.database, filled.tables, key))
            finally:
                figures = watch.stop()
        if workload.writer:
            contender.wait_applied()
        differing = unequal_tables(source, filled.database, target, contender.database, filled.tables)
    finally:
        contender.clean(filled.database)
    if differing:
        raise RuntimeError("not equal: " + "; ".join(differing[:3]))
    figures["rows_per_second"] = filled.rows / figures["seconds"]
    figures["bytes_per_second"] = filled.size / figures["seconds"]
    return figures
