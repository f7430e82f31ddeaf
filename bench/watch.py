"""What a run costs besides its seconds: CPU, memory, and what the source must keep for it."""

import resource
import threading
import time

KEPT = """
SELECT coalesce(max(pg_current_wal_insert_lsn() - restart_lsn), 0)::bigint,
    (SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float8
     FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND application_name <> 'writer')
FROM pg_replication_slots WHERE NOT slot_name = ANY(%s)
"""


class Watch:
    """Samples both servers from start() to stop(); `figures` then holds the result."""

    interval = 0.1

    def __init__(self, source, target):
        self.source = source
        self.target = target
        self.figures = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._memory = 0
        self._wal = 0
        self._snapshot = 0.0

    def start(self):
        self._others = [row[0] for row in self.source.sql("postgres", "SELECT slot_name FROM pg_replication_slots")]
        self._began = (self.target.cpu_seconds(), self.source.cpu_seconds(), client_seconds(), time.monotonic())
        self._thread.start()
        return self

    def stop(self):
        seconds = time.monotonic() - self._began[3]
        self.figures = {
            "seconds": seconds,
            "target_cpu": self.target.cpu_seconds() - self._began[0],
            "source_cpu": self.source.cpu_seconds() - self._began[1],
            "client_cpu": client_seconds() - self._began[2],
        }
        self._end.set()
        self._thread.join()
        self.figures["worker_memory"] = self._memory
        self.figures["wal_kept"] = self._wal
        self.figures["snapshot_age"] = self._snapshot
        return self.figures

    def _sample(self):
        connection = self.source.connect()
        with connection.cursor() as cursor:
            while not self._end.wait(self.interval):
                self._memory = max(self._memory, self.target.worker_memory())
                cursor.execute(KEPT, (self._others,))
                wal, snapshot = cursor.fetchone()
                self._wal = max(self._wal, wal)
                self._snapshot = max(self._snapshot, snapshot)
        connection.close()


def client_seconds():
    """CPU time of the programs that the benchmark ran beside the servers and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
