"""Whether two tables hold the same rows: counted and hashed on both sides at once, whole rows."""

import threading

HASH = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {} AS t"


def table_hash(server, database, table, result, index):
    result[index] = server.sql(database, "SET max_parallel_workers_per_gather = 0", HASH.format(table))[0]


def unequal_tables(source, source_database, target, target_database, tables):
    """The tables that differ, as text for people; empty when all are equal."""
    differing = []
    for table in tables:
        result = [None, None]
        sides = [
            threading.Thread(target=table_hash, args=(source, source_database, table, result, 0)),
            threading.Thread(target=table_hash, args=(target, target_database, table, result, 1)),
        ]
        for side in sides:
            side.start()
        for side in sides:
            side.join()
        if result[0] is None or result[0] != result[1]:
            rows = [side[0] if side else "no" for side in result]
            differing.append(f"{table}: {rows[0]} rows at the source, {rows[1]} at the target")
    return differing
