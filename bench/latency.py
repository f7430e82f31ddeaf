"""Latency: from the return of COMMIT at the source to the moment a query at the target sees the row.

One probe at a time, 50 a second; at the higher rate the other transactions run beside the probes."""

import dataclasses
import statistics
import subprocess
import time

from contenders import PUBLICATION

PROBES_PER_SECOND = 50


@dataclasses.dataclass
class Workload:
    name: str
    what: str
    rate: int


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("latency-50", "latency at 50 transactions a second", 50),
        Workload("latency-2000", "latency at 2,000 transactions a second", 2000),
    )
}


def run(workload, contender, scale, source, target, bindir):
    database = source.create_database("bench_latency")
    tables = ("CREATE TABLE probe (id integer PRIMARY KEY)", "CREATE TABLE load (id bigint PRIMARY KEY, t text)")
    source.sql(database, *tables, "CREATE SEQUENCE ids CACHE 100", f"CREATE PUBLICATION {PUBLICATION} FOR TABLES IN SCHEMA public")
    contender.make_database()
    target.sql(contender.database, *tables)
    try:
        contender.subscribe(database)
        contender.wait_copied()
        load = start_load(workload.rate - PROBES_PER_SECOND, source, database, bindir)
        try:
            delays = probe(source, database, target, contender.database, max(int(2000 * scale), 100))
        finally:
            if load:
                load.terminate()
                load.wait()
    finally:
        contender.clean(database)
    source.empty_database(database)
    delays.sort()
    return {
        "p50": statistics.median(delays),
        "p99": delays[min(int(len(delays) * 0.99), len(delays) - 1)],
        "maximum": delays[-1],
        "probes": len(delays),
    }


def start_load(rate, source, database, bindir):
    if rate <= 0:
        return None
    command = [f"{bindir}/pgbench", "-n", "-c", "4", "-R", str(rate), "-T", "86400", "-f", "/dev/stdin", source.dsn(database)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.stdin.write(b"INSERT INTO load VALUES (nextval('ids'), 'hello');\n")
    process.stdin.close()
    return process


def probe(source, database, target, target_database, probes):
    """The delays in seconds; the first fifty, while processes warm up, are not counted."""
    delays = []
    at_source, at_target = source.connect(database), target.connect(target_database)
    with at_source.cursor() as writer, at_target.cursor() as reader:
        reader.execute("PREPARE look AS SELECT FROM probe WHERE id = $1")
        for number in range(probes + 50):
            began = time.monotonic()
            writer.execute("INSERT INTO probe VALUES (%s)", (number,))
            committed = time.monotonic()
            reader.execute("EXECUTE look(%s)", (number,))
            while reader.rowcount == 0:
                if time.monotonic() - committed > 60:
                    raise TimeoutError("a row did not arrive within a minute")
                reader.execute("EXECUTE look(%s)", (number,))
            if number >= 50:
                delays.append(time.monotonic() - committed)
            time.sleep(max(0.0, 1 / PROBES_PER_SECOND - (time.monotonic() - began)))
    at_source.close()
    at_target.close()
    return delays
