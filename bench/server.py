"""A server of the benchmark: connections, databases, and what its processes have used.

CPU time is read from /proc, for the postmaster and all its children, those that have ended included,
so that whatever works for a contender inside the server is counted, by whatever name.
"""

import itertools
import os
import time

NUMBERS = itertools.count(1)
TICKS = os.sysconf("SC_CLK_TCK")

# Processes that serve every contender alike; their memory says nothing about any of them.
HOUSEKEEPERS = ("checkpointer", "background writer", "walwriter", "autovacuum", "logical replication launcher",
                "pg_livesync launcher", "pglogical supervisor")


class Server:
    def __init__(self, side, directory):
        self.side = side
        self.directory = directory
        with open(f"{directory}/data/postmaster.pid", encoding="ascii") as file:
            lines = file.read().splitlines()
        self.postmaster = int(lines[0])
        self.port = int(lines[3])
        self.host = lines[5] or directory  # where it listens, if it does

    def dsn(self, database):
        return f"host={self.host} port={self.port} user=postgres dbname={database}"

    def uri(self, database):
        return f"postgresql://postgres@/{database}?host={self.host}&port={self.port}"

    def connect(self, database="postgres"):
        import psycopg2  # here, so that --help does without it

        connection = psycopg2.connect(self.dsn(database))
        connection.autocommit = True
        return connection

    def sql(self, database, *statements):
        """Runs the statements; returns the rows of the last one, if it has any."""
        with self.connect(database).cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else None
            cursor.connection.close()
        return rows

    def value(self, database, statement):
        return self.sql(database, statement)[0][0]

    def create_database(self, name):
        """A new database; returns its name, which has a number behind what was asked for."""
        database = f"{name}_{next(NUMBERS)}"
        self.sql("postgres", f"CREATE DATABASE {database} TEMPLATE template0")
        return database

    def empty_database(self, database):
        """DROP DATABASE would wait for ever: pglogical's supervisor ignores the barrier that it needs."""
        self.sql(database, "DROP EXTENSION IF EXISTS pg_livesync", "DROP SCHEMA public CASCADE")

    def children(self):
        """(pid, title) of each process of the server but the postmaster."""
        try:
            with open(f"/proc/{self.postmaster}/task/{self.postmaster}/children", encoding="ascii") as file:
                pids = file.read().split()
        except FileNotFoundError:
            return []
        found = []
        for pid in pids:
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                    found.append((int(pid), file.read().replace("\0", " ").strip()))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def cpu_seconds(self):
        """Of all processes of the server since it started."""
        return cpu_seconds(self.postmaster, with_reaped=True) + sum(cpu_seconds(pid) for pid, _ in self.children())

    def worker_memory(self):
        """The largest private memory, in bytes, of a process that works for somebody now."""
        largest = 0
        for pid, title in self.children():
            if not any(name in title for name in HOUSEKEEPERS):
                largest = max(largest, private_memory(pid))
        return largest


def cpu_seconds(pid, with_reaped=False):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(value) for value in fields[11:15 if with_reaped else 13]) / TICKS


def private_memory(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def wait_until(condition, seconds=1200, pause=0.02, what="a condition"):
    """Polls; raises TimeoutError so that a contender that hangs has no figure."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} was not reached in {seconds} s")
        time.sleep(pause)
