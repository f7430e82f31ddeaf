"""The figures as text: for each workload a table of medians, and ratios to the first contender."""

import statistics

import chart

REFERENCE = "native"
COLUMNS = (
    # heading, figure, how it is written
    ("seconds", "seconds", lambda v: f"{v:.2f}"),
    ("rows/s", "rows_per_second", lambda v: f"{v:,.0f}"),
    ("MB/s", "bytes_per_second", lambda v: f"{v / 1e6:.1f}"),
    ("target CPU s", "target_cpu", lambda v: f"{v:.1f}"),
    ("source CPU s", "source_cpu", lambda v: f"{v:.1f}"),
    ("client CPU s", "client_cpu", lambda v: f"{v:.1f}"),
    ("sender CPU s", "sender_cpu", lambda v: f"{v:.2f}"),
    ("applier CPU s", "applier_cpu", lambda v: f"{v:.2f}"),
    ("worker MB", "worker_memory", lambda v: f"{v / 1e6:.0f}"),
    ("WAL kept MB", "wal_kept", lambda v: f"{v / 1e6:.0f}"),
    ("snapshot s", "snapshot_age", lambda v: f"{v:.1f}"),
    ("p50 ms", "p50", lambda v: f"{v * 1e3:.2f}"),
    ("p99 ms", "p99", lambda v: f"{v * 1e3:.2f}"),
    ("max ms", "maximum", lambda v: f"{v * 1e3:.2f}"),
)


def by_contender(results):
    """(contender, key) -> its results, in the order in which they first came."""
    found = {}
    for result in results:
        found.setdefault((result["contender"], result["key"]), []).append(result)
    return found


def median(results, figure):
    values = [result[figure] for result in results if figure in result]
    return statistics.median(values) if values else None


def main_figure(results):
    return "p50" if any("p50" in result for result in results) else "seconds"


def key_text(key):
    return {None: "", "before": ", key there", "after": ", key after the load", "none": ", no key"}[key]


def table_of(results):
    groups = by_contender(results)
    used = [column for column in COLUMNS if any(column[1] in result for result in results)]
    figure = main_figure(results)
    reference = median(groups.get((REFERENCE, "before"), groups.get((REFERENCE, None), [])), figure)
    wall = any("sender_cpu" in result for result in results)
    heads = ["contender"] + [column[0] for column in used] + [f"× {REFERENCE}"] + (["× sender CPU"] if wall else [])
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for (contender, key), runs in groups.items():
        cells = [contender + key_text(key)]
        said = next((run.get("failed") or run.get("not_done") for run in runs if "failed" in run or "not_done" in run), None)
        if said:  # one bad run is enough: no figure
            cells += [said.replace("|", "/")] + [""] * (len(heads) - 2)
        else:
            cells += [column[2](median(runs, column[1])) if median(runs, column[1]) is not None else "" for column in used]
            mine = median(runs, figure)
            cells.append(f"{reference / mine:.2f}" if reference else "")
            if wall:
                sender = median(runs, "sender_cpu")
                cells.append(f"{mine / sender:.2f}" if sender else "")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def write(outcome, folder):
    machine = outcome["machine"]
    lines = [
        f"# Figures of {outcome['date']}", "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}; both servers on it.",
        machine["server"] + ".",
        f"Scale {outcome['scale']:g}, medians of {outcome['runs']} run(s), contenders in turn. At the end of each run the whole tables were compared.",
        f"× {REFERENCE}: how many times as fast as the server's own subscription (more is better).",
        "× sender CPU: seconds over the CPU seconds of the walsender, which nobody can be faster than (1 is the best).", "",
        "Settings of both servers:", "", "```", *outcome["settings"], "```", "",
    ]
    names = list(dict.fromkeys(result["workload"] for result in outcome["results"]))
    for name in names:
        results = [result for result in outcome["results"] if result["workload"] == name]
        lines += [f"## {name}: {results[0]['what']}", "", *table_of(results), ""]
    text = "\n".join(lines)
    with open(f"{folder}/report.md", "w", encoding="utf-8") as file:
        file.write(text)
    chart.draw(outcome["results"], folder)
    return text
