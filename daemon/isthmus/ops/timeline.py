"""A story as rows for people: alike facts in a row are folded into one line, each day has a line."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

__all__ = ["COLUMNS", "timeline"]

COLUMNS = ("time", "source", "what", "says", "arrived")

ARROWS = {
    "delivered": "→",
    "waiting": "… retry",
    "blocked": "… behind",
    "in_doubt": "? in doubt",
    "dead": "✗",
}
_NAMES = ("name", "title", "number", "stage", "period", "reason", "milestone", "worked_on")
_STEPPED = "change_order.stepped"
"""Each state of each step of a change order is a row: it says where the change stands."""
_SUMS = (("hours", "h"), ("amount", ""), ("total", ""))


def timeline(steps: Sequence[Any], *, fold: bool = True) -> list[dict[str, str]]:
    """Rows with the `COLUMNS`; times are UTC. A row that has only a time is the day the next ones are of.

    Args:
        steps: `isthmus.ops.story.Step` as Structs or as plain values.
        fold: Facts of one type that follow each other become one row. It counts things: of those told
            again the newest counts, and sums are over them.
    """
    groups: list[list[dict[str, Any]]] = []
    for step in (msgspec.to_builtins(step) for step in steps):
        if fold and _said_already(step):
            continue
        group = _group_of(step, groups) if fold else None
        if group is None:
            groups.append([step])
        else:
            group.append(step)
    rows: list[dict[str, str]] = []
    day = ""
    for group in groups:
        if group[0]["recorded_at"][:10] != day:
            day = group[0]["recorded_at"][:10]
            rows.append({**dict.fromkeys(COLUMNS, ""), "time": day})
        rows.append(_row(group))
    return rows


def _group_of(step: dict[str, Any], groups: list[list[dict[str, Any]]]) -> list[dict[str, Any]] | None:
    """The newest group a step goes into.

    One cause may give two kinds in turn, as a raised cap gives charges and ends of holds: each kind is a row.
    """
    for group in groups[::-1]:
        if _alike(group[0], step):
            return group
        cause = step["event"].get("causation")
        if cause is None or group[-1]["event"].get("causation") != cause:
            return None
    return None


def _alike(first: dict[str, Any], step: dict[str, Any]) -> bool:
    """Whether a step goes into the row of another: the same type on the same day."""
    if first["type"] != step["type"] or first["recorded_at"][:10] != step["recorded_at"][:10]:
        return False
    same = ("change", "step", "state") if _kind(step) == _STEPPED else ()
    return all(first["event"][name] == step["event"][name] for name in same)


def _said_already(step: dict[str, Any]) -> bool:
    """Whether a step only repeats what ``arrived`` shows beside the fact that was delivered."""
    event = step["event"]
    return bool(step["type"].startswith("delivery.settled/") and event.get("outcome") == "delivered")


def _row(group: list[dict[str, Any]]) -> dict[str, str]:
    first = group[0]
    kind = _kind(first)
    things = _things(group)
    count = f" ×{len(things)}" if len(things) > 1 else ""
    return {
        "time": first["recorded_at"][11:19],
        "source": first["source"],
        "what": kind + count + (" stale" if all(step.get("stale") for step in group) else ""),
        "says": _says(things),
        "arrived": _arrived(group),
    }


def _kind(step: dict[str, Any]) -> str:
    """The tag without its version."""
    return str(step["type"]).partition("/")[0]


def _things(group: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest step of each thing a group tells of."""
    newest: dict[str, dict[str, Any]] = {}
    for step in group:
        newest[_key(step)] = step
    return list(newest.values())


def _key(step: dict[str, Any]) -> str:
    """What a fact is about: a payment is not its invoice, nor a charge the entry it was made of."""
    kind = step["type"].partition(".")[0]
    return str(step["event"].get(kind) or step["subject"])


def _says(things: Sequence[dict[str, Any]]) -> str:
    events = [step["event"] for step in things]
    if _kind(things[0]) == _STEPPED:
        said = events[0]
        return f"{said['change']} {said['step']} {said['state']}: {said['detail']}".removesuffix(": ")
    words: list[str] = []
    if len(things) == 1:
        key, subject = _key(things[0]), things[0]["subject"]
        told = [str(events[0][name]) for name in _NAMES if events[0].get(name)]
        words += [word for word in told if word != key]
        words.append(key if key == subject else f"{key} of {subject}")
    for field, unit in _SUMS:
        # A demand names hours by service; only what is one figure is summed.
        values = [Decimal(event[field]) for event in events if isinstance(event.get(field), str)]
        if values:
            currency = next((event["currency"] for event in events if event.get("currency")), "")
            words.append(f"{sum(values, Decimal(0)):,} {unit or currency}".strip())
    return " ".join(words)


def _arrived(group: Sequence[dict[str, Any]]) -> str:
    counts: dict[tuple[str, str], list[str]] = {}
    for step in group:
        for landing in step["landings"]:
            counts.setdefault((landing["lane"], landing["state"]), []).append(landing["remote_id"])
    parts = []
    for (lane, state), ids in counts.items():
        told = ids[0] if len(set(ids)) == 1 else f"×{len(ids)}"
        parts.append(f"{ARROWS.get(state, state)} {lane} {told}".strip())
    return "\n".join(parts)
