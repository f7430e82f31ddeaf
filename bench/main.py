"""The benchmark: runs workloads for contenders, interleaved, and writes the figures.  See bench/run."""

import argparse
import json
import os
import platform
import sys
import time

import applying
import contenders
import copying
import growth
import latency
from server import Server

WORKLOADS = {**copying.WORKLOADS, **applying.WORKLOADS, **latency.WORKLOADS, **growth.COPY, **growth.APPLY, **growth.CONNECTORS}
GROUPS = {
    "copy": list(copying.WORKLOADS),
    "apply": list(applying.WORKLOADS),
    "latency": list(latency.WORKLOADS),
    "growth": [*growth.COPY, *growth.APPLY, *growth.CONNECTORS],
}
GROUPS["all"] = [name for names in list(GROUPS.values()) for name in names]
QUICK = ["copy-wide", "copy-narrow", "apply-tpcb", "apply-single", "apply-delete", "apply-full", "latency-50"]
USUAL = ["livesync", "native", "pglogical", "pgcopydb", "pipe-2", "binary-pipe-2"]


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench/run", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Times pg_livesync beside what people use today, both servers on this machine.",
        epilog="workloads:\n" + "\n".join(f"  {w.name:22} {w.what}" for w in WORKLOADS.values())
        + "\n  copy, apply, latency, growth, all: every one of that kind"
        + f"\n  without a name: {' '.join(QUICK)}"
        + "\n\ncontenders:\n" + "\n".join(f"  {name:22} {what}" for name, what in contenders.WHAT.items())
        + "\n\nHow long: --scale 0.02 --runs 1, the default, about five minutes; --scale 1 --runs 3 all, some hours.")
    parser.add_argument("workload", nargs="*", help="see below")
    parser.add_argument("--contender", action="append", metavar="NAME", help=f"may be repeated; default: {', '.join(USUAL)}")
    parser.add_argument("--scale", type=float, default=0.02, help="share of the full number of rows (0.02)")
    parser.add_argument("--runs", type=int, default=1, help="how often each workload is run for each contender (1)")
    parser.add_argument("--output", default="bench/results", help="folder of the figures (bench/results)")
    for hidden in ("--bindir", "--directory"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)  # of the arguments only
    chosen = parser.parse_args()
    chosen.workload = [name for word in chosen.workload or QUICK for name in GROUPS.get(word, [word])]
    chosen.contender = chosen.contender or USUAL
    for kind, names, known in (("workload", chosen.workload, WORKLOADS), ("contender", chosen.contender, contenders.ALL)):
        for name in names:
            if name not in known:
                parser.error(f'unknown {kind} "{name}"; bench/run --help lists them')
    if chosen.scale <= 0 or chosen.runs < 1:
        parser.error("--scale and --runs must be positive")
    return chosen


class Bench:
    def __init__(self, chosen):
        self.chosen = chosen
        self.source = Server("source", chosen.directory + "/source")
        self.target = Server("target", chosen.directory + "/target")
        self.results = []
        self.filled = {}

    def record(self, workload, contender, key, run, outcome):
        result = {"workload": workload.name, "what": workload.what, "contender": contender, "key": key, "run": run}
        if isinstance(outcome, contenders.Unsupported):
            result["not_done"] = str(outcome)
        elif isinstance(outcome, Exception):
            result["failed"] = f"{type(outcome).__name__}: {outcome}".strip().splitlines()[0]
        else:
            result.update(outcome)
        self.results.append(result)
        shown = result.get("not_done") or result.get("failed") or ", ".join(
            f"{name} {outcome[name]:.4g}" for name in ("seconds", "target_cpu", "source_cpu", "sender_cpu", "applier_cpu", "p50", "p99", "maximum") if name in outcome)
        print(f"  {time.strftime('%H:%M:%S')} {workload.name:14} {contender:14} {key or '':7} {shown}", flush=True)

    def contender(self, name):
        return contenders.ALL[name](self.source, self.target, self.chosen.bindir)

    def in_turn(self, run):
        """The contenders, each run begun by another one."""
        names = self.chosen.contender
        shift = run % len(names)
        return names[shift:] + names[:shift]

    def attempt(self, workload, name, key, run, measure):
        try:
            outcome = measure()
        except Exception as error:  # the others go on; the report says what happened
            outcome = error
        self.record(workload, name, key, run, outcome)

    def copy(self, workload, run):
        filled = copying.fill(workload, self.chosen.scale, self.source)
        for name in self.in_turn(run):
            for key in self.contender(name).keys:
                self.attempt(workload, name, key, run, lambda: copying.run(
                    workload, self.contender(name), key, self.chosen.scale, filled, self.source, self.target, self.chosen.bindir))
        self.source.empty_database(filled.database)

    def apply(self, workload, run):
        able = [contender for contender in map(self.contender, self.in_turn(run)) if contender.streams]
        applying.run(workload, able, self.chosen.scale, self.source, self.target, self.chosen.bindir,
                     lambda contender, outcome: self.record(workload, contender.name, None, run, outcome))

    def latency(self, workload, run):
        for name in self.in_turn(run):
            if self.contender(name).streams:
                self.attempt(workload, name, None, run, lambda: latency.run(
                    workload, self.contender(name), self.chosen.scale, self.source, self.target, self.chosen.bindir))

    def connectors(self, workload, run):
        for name in self.in_turn(run):
            if self.contender(name).streams:
                self.attempt(workload, name, None, run, lambda: growth.run_connectors(
                    workload, name, self.chosen.scale, self.source, self.target, self.chosen.bindir))

    def run(self):
        kinds = ((copying.Workload, self.copy), (applying.Workload, self.apply), (latency.Workload, self.latency),
                 (growth.Connectors, self.connectors))
        for run in range(self.chosen.runs):
            print(f"run {run + 1} of {self.chosen.runs}, scale {self.chosen.scale:g}")
            for name in self.chosen.workload:
                workload = WORKLOADS[name]
                next(method for kind, method in kinds if isinstance(workload, kind))(workload, run)
        return {
            "machine": {
                "processor": processor(), "cores": os.cpu_count(), "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
                "system": platform.platform(), "server": self.target.value("postgres", "SELECT version()"),
            },
            "settings": os.environ.get("BENCH_SETTINGS", "").splitlines(),
            "scale": self.chosen.scale, "runs": self.chosen.runs, "date": time.strftime("%Y-%m-%d"),
            "results": self.results,
        }


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    chosen = arguments()
    if chosen.check:
        return 0
    outcome = Bench(chosen).run()
    os.makedirs(chosen.output, exist_ok=True)
    with open(f"{chosen.output}/results.json", "w", encoding="utf-8") as file:
        json.dump(outcome, file, indent=1)
    import report

    text = report.write(outcome, chosen.output)
    print("\n" + text)
    print(f"written: {chosen.output}/results.json, report.md, copy.svg, apply.svg, growth.svg (as far as measured)")
    return 1 if any("failed" in result for result in outcome["results"]) else 0


if __name__ == "__main__":
    sys.exit(main())
