"""The figures as pictures: bars by workload, curves for growth."""

import re

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402 (the back end must be chosen first)

import report  # noqa: E402

COLOURS = {
    "livesync": "#1f6feb", "livesync-1": "#79b0ff", "livesync-2": "#4b8ff5", "native": "#6e7781", "pglogical": "#bf8700",
    "pgcopydb": "#8250df", "pipe-1": "#b4e0b4", "pipe-2": "#7cc47c", "pipe-4": "#4a9a4a",
    "binary-pipe-1": "#b0dede", "binary-pipe-2": "#6fbcbc", "binary-pipe-4": "#3a8f8f",
}
GROWTH = re.compile(r"growth-(.+)-(\d+)$")


def draw(results, folder):
    good = [result for result in results if "failed" not in result and "not_done" not in result]
    for prefix in ("copy", "apply"):
        bars([result for result in good if result["workload"].startswith(prefix + "-")], f"{folder}/{prefix}.svg")
    curves([result for result in good if GROWTH.match(result["workload"])], f"{folder}/growth.svg")


def bars(results, path):
    names = list(dict.fromkeys(result["workload"] for result in results))
    if not names:
        return
    figure, axes = plt.subplots(len(names), 1, figsize=(8, 1.0 + sum(0.5 + 0.24 * len(groups(results, name)) for name in names)),
                                gridspec_kw={"height_ratios": [len(groups(results, name)) + 1 for name in names]}, squeeze=False)
    for axis, name in zip(axes[:, 0], names):
        found = groups(results, name)
        seconds = [report.median(runs, "seconds") for runs in found.values()]
        labels = [contender + report.key_text(key) for contender, key in found]
        axis.barh(labels, seconds, color=[COLOURS[contender] for contender, _ in found])
        for place, value in enumerate(seconds):
            axis.text(value, place, f" {value:.2f}", va="center", fontsize=8)
        sender = report.median([run for runs in found.values() for run in runs], "sender_cpu")
        if sender:
            axis.axvline(sender, color="#cf222e", linewidth=1, linestyle=":")
            axis.text(sender, -0.8, "walsender's CPU", color="#cf222e", fontsize=7, ha="center")
        axis.invert_yaxis()
        axis.set_xlim(0, max(seconds) * 1.12)
        axis.set_title(f"{name} (s)", loc="left", fontsize=10)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def groups(results, name):
    return report.by_contender([result for result in results if result["workload"] == name])


def curves(results, path):
    kinds = list(dict.fromkeys(GROWTH.match(result["workload"]).group(1) for result in results))
    if not kinds:
        return
    figure, axes = plt.subplots(1, len(kinds), figsize=(3.2 * len(kinds), 3.2), squeeze=False)
    for axis, kind in zip(axes[0], kinds):
        lines = {}
        for result in results:
            found = GROWTH.match(result["workload"])
            if found.group(1) == kind:
                lines.setdefault((result["contender"], result["key"]), {}).setdefault(int(found.group(2)), []).append(result)
        for (contender, key), points in lines.items():
            factors = sorted(points)
            axis.plot(factors, [report.median(points[factor], "seconds") for factor in factors], marker="o", linewidth=1.2,
                      color=COLOURS[contender], linestyle="--" if key == "after" else "-", label=contender + report.key_text(key))
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks([1, 4, 16], ["1×", "4×", "16×"])
        axis.set_title(f"{kind} (s)", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
