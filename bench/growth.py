"""Growth: the same work at 1, 4 and 16 times the rows, tables or connectors.  What matters is the
curve: figures that grow faster than the work show where something bends."""

import dataclasses
import time

import applying
import copying
from contenders import ALL, PUBLICATION
from equality import unequal_tables
from server import wait_until

FACTORS = (1, 4, 16)


def copy_tables(factor, scale):
    return {f"small_{n}": "id integer NOT NULL, a integer, b text" for n in range(max(int(50 * min(scale * 4, 1)), 4) * factor)}


def copy_of_rows(factor):
    return copying.Workload(
        f"growth-copy-rows-{factor}", f"copy of {factor} × 1 million narrow rows",
        lambda scale: {"narrow": copying.NARROW},
        lambda scale: copying.in_slices(
            "INSERT INTO narrow SELECT i % 1000, timestamptz '2024-01-01' + (i / 1000) * interval '1 second', i * 0.5"
            " FROM generate_series({low}::bigint, {high}::bigint) i", max(int(1_000_000 * scale), 10000) * factor), "series, at")


def copy_of_tables(factor):
    return copying.Workload(
        f"growth-copy-tables-{factor}", f"copy of {factor} × 50 tables of 1,000 rows",
        lambda scale: copy_tables(factor, scale),
        lambda scale: [f"INSERT INTO {table} SELECT i, i, 'row ' || i FROM generate_series(1, 1000) i"
                       for table in copy_tables(factor, scale)], "id")


def apply_of_rows(factor):
    return applying.Workload(
        f"growth-apply-rows-{factor}", f"applying one transaction of {factor} × 300,000 inserted rows",
        {"t": applying.PLAIN}, applying.nothing,
        lambda load: load.sql(*applying.rows_of("t", 300_000 * factor)(load.scale)))


def apply_to_tables(factor):
    tables = 10 * factor

    def insert_in_turn(load):
        rows = load.rows(200_000)
        # A transaction for each round, so that the number of transactions differs as little as possible.
        load.sql(*[
            "DO $$ BEGIN FOR i IN %d..%d LOOP %s END LOOP; END $$" % (
                low, low + 49, " ".join(f"INSERT INTO t{n} VALUES (i, i, 'row');" for n in range(tables)))
            for low in range(1, rows // tables + 1, 50)])

    return applying.Workload(
        f"growth-apply-tables-{factor}", f"applying 200,000 inserted rows spread over {factor} × 10 tables",
        {f"t{n}": applying.PLAIN for n in range(tables)}, applying.nothing, insert_in_turn)


COPY = {w.name: w for make in (copy_of_rows, copy_of_tables) for w in map(make, FACTORS)}
APPLY = {w.name: w for make in (apply_of_rows, apply_to_tables) for w in map(make, FACTORS)}


@dataclasses.dataclass
class Connectors:
    name: str
    what: str
    factor: int


CONNECTORS = {
    w.name: w
    for w in (Connectors(f"growth-connectors-{f}", f"{f} connectors, each applying 100,000 single-row transactions of its own", f) for f in FACTORS)
}


def run_connectors(workload, name, scale, source, target, bindir):
    """One connector for each of so many source databases, all applying at once."""
    rows = max(int(100_000 * scale), 500)
    pairs = []
    table = f"CREATE TABLE t ({applying.PLAIN})"
    try:
        for _ in range(workload.factor):
            database = source.create_database("bench_growth")
            contender = ALL[name](source, target, bindir)
            source.sql(database, table, f"CREATE PUBLICATION {PUBLICATION} FOR TABLES IN SCHEMA public")
            contender.make_database()
            pairs.append((database, contender))
            target.sql(contender.database, table)
            contender.subscribe(database)
            contender.wait_copied()
            contender.pause()
        for database, _ in pairs:
            source.sql(database, "CREATE PROCEDURE fill(rows integer) LANGUAGE plpgsql AS"
                       " 'BEGIN FOR i IN 1..rows LOOP INSERT INTO t VALUES (i, i, ''row''); COMMIT; END LOOP; END'",
                       "SET synchronous_commit = off", f"CALL fill({rows})")
        began = time.monotonic()
        for _, contender in pairs:
            contender.resume()
        for _, contender in pairs:
            wait_until(lambda: target.value(contender.database, "SELECT max(id) FROM t") == rows, what="the last row")
        seconds = time.monotonic() - began
        for database, contender in pairs:
            differing = unequal_tables(source, database, target, contender.database, ["t"])
            if differing:
                raise RuntimeError("not equal: " + "; ".join(differing))
    finally:
        for database, contender in pairs:
            contender.clean(database)
            source.empty_database(database)
    return {"seconds": seconds}
