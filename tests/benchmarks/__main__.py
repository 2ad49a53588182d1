"""``python -m tests.benchmarks``: what isthmus does a second, beside plain SQLite, and what it costs at rest.

Every figure comes from a process of its own, so that memory is its own. Progress goes to stderr; the last
line on stdout is one JSON object. All are medians of a few turns; in each, plain SQLite runs right before the
daemon's path, since a shared machine is not the same from minute to minute.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
TURNS, LATENCY_TURNS, BILLING_TURNS = 7, 3, 3


def measure(what: str, *arguments: str | Path) -> dict[str, float]:
    """Run one benchmark in a fresh process; what it printed.

    Raises:
        CalledProcessError: it failed; its traceback went to stderr.
    """
    command = [sys.executable, "-m", f"tests.benchmarks.{what}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    named = ", ".join(f"{name} {value:,.6g}" for name, value in found.items())
    print(f"{what:8} {named}", file=sys.stderr, flush=True)
    return found


def outbox(folder: Path) -> dict[str, float]:
    """Throughput on an empty file and on one with a million settled events, and plain SQLite's."""
    say("a million settled events")
    full = folder / "full"
    measure("history", full)
    os.sync()  # what the history left to write would slow the first turn
    say("plain SQLite, the outbox on an empty file, the outbox on a million")
    plain, empty, million = [], [], []
    for turn in range(TURNS):
        plain.append(measure("plain", fresh(folder, f"plain{turn}")))
        empty.append(measure("outbox", "throughput", folder / f"empty{turn}"))
        million.append(measure("outbox", "throughput", full, "--turn", str(turn)))
    say("unbilled work counted anew over a million")
    recount = measure("recount", full)
    speed = [each["events_per_s"] for each in empty]
    bare = [each["events_per_s"] for each in plain]
    grown = [each["events_per_s"] for each in million]
    return {
        "outbox_events_per_s": round(median(speed)),
        "outbox_ratio_to_sqlite": round(
            median(ours / theirs for ours, theirs in zip(speed, bare, strict=True)), 3
        ),
        "sqlite_events_per_s": round(median(bare)),
        "outbox_events_per_s_1m": round(median(grown)),
        "outbox_1m_ratio": round(median(late / early for late, early in zip(grown, speed, strict=True)), 3),
        "rss_mb": round(max(each["rss_mb"] for each in [*empty, *million]), 1),
        "recount_s_1m": round(recount["recount_s"]),
        "recount_rss_mb": round(recount["rss_mb"], 1),
    }


def latency(folder: Path) -> dict[str, float]:
    """How long one event is under way when 200 come a second."""
    say("latency at 200 events/s")
    found = [measure("outbox", "latency", folder / f"latency{turn}") for turn in range(LATENCY_TURNS)]
    return {
        name.replace("p", "delivery_p", 1): round(median(each[name] for each in found), 2)
        for name in ("p50_ms", "p99_ms")
    }


def billing(folder: Path) -> dict[str, float]:
    """What a determination costs: the rules alone, the actor over the store, and a day that is busy."""
    say("billing: the rules in memory, then the actor over a file")
    rules, actor = [], []
    for turn in range(BILLING_TURNS):
        rules.append(measure("billing", "rules", folder))
        actor.append(measure("billing", "actor", fresh(folder, f"billing{turn}")))
    say("billing: ten thousand retainers on one day")
    busy = measure("billing", "due", fresh(folder, "due"))

    def middle(found: list[dict[str, float]], name: str) -> float:
        return median(each[name] for each in found)

    return {
        "determinations_per_s_one_contract": round(middle(actor, "one_contract_per_s")),
        "determinations_per_s_many_contracts": round(middle(actor, "many_contracts_per_s")),
        "determinations_per_core_s_one_contract": round(middle(actor, "one_contract_per_core_s")),
        "determinations_per_core_s_many_contracts": round(middle(actor, "many_contracts_per_core_s")),
        "rules_per_core_s_one_contract": round(middle(rules, "one_contract_per_core_s")),
        "rules_per_core_s_many_contracts": round(middle(rules, "many_contracts_per_core_s")),
        "determination_cost_growth": round(middle(actor, "billed_growth"), 2),
        "wake_cost_growth": round(middle(actor, "woken_growth"), 2),
        "rules_determination_cost_growth": round(middle(rules, "billed_growth"), 2),
        "rules_wake_cost_growth": round(middle(rules, "woken_growth"), 2),
        "rules_amendment_cost_growth": round(middle(rules, "raised_growth"), 2),
        "rules_tick_cost_growth": round(middle(rules, "ticked_growth"), 2),
        "due_contracts_per_s": round(busy["due_per_s"]),
        "due_longest_wait_ms": round(busy["longest_wait_ms"]),
    }


def idle(folder: Path) -> dict[str, float]:
    """A daemon with five connectors that has nothing to do."""
    say("a daemon at rest, for a minute")
    found = measure("idle", fresh(folder, "idle"))
    return {
        "idle_cpu_percent": round(found["cpu_percent"], 2),
        "idle_rss_mb": round(found["rss_mb"], 1),
    }


def fresh(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    return path


def say(line: str) -> None:
    print(f"== {line}", file=sys.stderr, flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as name:
        folder = Path(name)
        figures = {**outbox(folder), **latency(folder), **billing(folder), **idle(folder)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
