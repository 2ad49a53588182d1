"""A story as rows for people: alike facts in a row are folded into one line."""

from collections.abc import Sequence
from typing import Any

import msgspec

ARROWS = {
    "delivered": "→",
    "waiting": "… retry",
    "blocked": "… behind",
    "in_doubt": "? in doubt",
    "dead": "✗",
}


def timeline(steps: Sequence[Any], *, fold: bool = True) -> list[dict[str, str]]:
    """Rows with time, source, what, says and arrived.

    Args:
        steps: `isthmus.ops.story.Step` as Structs or as plain values.
        fold: Facts of one type that follow each other become one row with their count and their sums.
    """
    plain = [msgspec.to_builtins(step) for step in steps]
    groups: list[list[dict[str, Any]]] = []
    for step in plain:
        if fold and groups and groups[-1][0]["type"] == step["type"]:
            groups[-1].append(step)
        else:
            groups.append([step])
    return [_row(group) for group in groups]


def _row(group: list[dict[str, Any]]) -> dict[str, str]:
    first = group[0]
    kind = first["type"].partition("/")[0]
    return {
        "time": first["recorded_at"][11:23],
        "source": first["source"],
        "what": kind if len(group) == 1 else f"{kind} ×{len(group)}",
        "says": _says(group),
        "arrived": _arrived(group),
    }


def _says(group: list[dict[str, Any]]) -> str:
    from decimal import Decimal

    events = [step["event"] for step in group]
    words: list[str] = []
    if len(group) == 1:
        names = ("name", "title", "number", "stage", "period", "reason", "milestone", "worked_on")
        words += [str(events[0][name]) for name in names if events[0].get(name)]
        words.append(f"[{group[0]['subject']}]")
    for field, unit in (("hours", "h"), ("amount", ""), ("total", "")):
        values = [Decimal(event[field]) for event in events if event.get(field)]
        if values:
            currency = next((event["currency"] for event in events if event.get("currency")), "")
            words.append(f"{sum(values, Decimal(0)):,} {unit or currency}".strip())
    return " ".join(words)


def _arrived(group: list[dict[str, Any]]) -> str:
    counts: dict[tuple[str, str], list[str]] = {}
    for step in group:
        for landing in step["landings"]:
            counts.setdefault((landing["lane"], landing["state"]), []).append(landing["remote_id"])
    parts = []
    for (lane, state), ids in counts.items():
        told = ids[0] if len(ids) == 1 else f"×{len(ids)}"
        parts.append(f"{ARROWS.get(state, state)} {lane} {told}".strip())
    return "; ".join(parts)
