"""A story as rows: what is alike is one row, and nothing that matters is folded away."""

from typing import Any

import pytest

from isthmus.ops.timeline import timeline


def step(seq: int, kind: str, cause: str | None = None, day: int = 1, **fields: Any) -> dict[str, Any]:
    event = {"causation": cause, **fields}
    return {
        "seq": seq,
        "recorded_at": f"2026-10-{day:02}T08:00:{seq:02}Z",
        "type": f"{kind}/1",
        "subject": str(fields.get("origin_key") or fields.get("contract") or "s"),
        "source": "billing",
        "event": event,
        "landings": [],
    }


def charge(seq: int, name: str, cause: str | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = {"charge": name, "origin_key": f"e{name}", "amount": "10.00", "currency": "EUR"}
    return step(seq, "charge.determined", cause, **fields)


def freed(seq: int, name: str, cause: str) -> dict[str, Any]:
    return step(seq, "charge.released", cause, origin_key=f"e{name}", reason="cap_reached")


def stepped(seq: int, name: str, state: str, detail: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "change": "C1/2",
        "contract": "C1",
        "step": name,
        "state": state,
        "detail": detail,
    }
    return step(seq, "change_order.stepped", f"cause {seq}", **fields)


@pytest.mark.parametrize(
    ("steps", "rows"),
    [
        pytest.param(
            [charge(1, "a"), charge(2, "b")],
            [("charge.determined ×2", "20.00 EUR")],
            id="alike facts that follow each other are one row with their sum",
        ),
        pytest.param(
            [charge(1, "a", "x"), freed(2, "a", "x"), charge(3, "b", "x"), freed(4, "b", "x")],
            [("charge.determined ×2", "20.00 EUR"), ("charge.released ×2", "")],
            id="two kinds in turn, by one cause, are a row each",
        ),
        pytest.param(
            [charge(1, "a", "x"), freed(2, "a", "x"), charge(3, "b", "y")],
            [
                ("charge.determined", "a of ea 10.00 EUR"),
                ("charge.released", "cap_reached ea"),
                ("charge.determined", "b of eb 10.00 EUR"),
            ],
            id="another cause is another row",
        ),
        pytest.param(
            [stepped(1, "terms", "ordered", "waits for billing"), stepped(2, "terms", "done", "")],
            [
                ("change_order.stepped", "C1/2 terms ordered: waits for billing"),
                ("change_order.stepped", "C1/2 terms done"),
            ],
            id="each state of a step of a change order has its row",
        ),
        pytest.param(
            [
                stepped(1, "contract", "ordered", "waits for a, b"),
                stepped(2, "contract", "ordered", "waits for b"),
            ],
            [("change_order.stepped", "C1/2 contract ordered: waits for b")],
            id="what a step waits for is told as it stands now",
        ),
        pytest.param(
            [step(1, "demand.revised", contract="C1", hours={"consulting": "20.00"})],
            [("demand.revised", "C1")],
            id="hours by service are no sum",
        ),
    ],
)
def test_rows(steps: list[dict[str, Any]], rows: list[tuple[str, str]]) -> None:
    day, *told = timeline(steps)
    assert day["time"] == "2026-10-01"
    assert [(row["what"], row["says"]) for row in told] == rows


def test_unfolded_every_fact_has_its_row() -> None:
    steps = [charge(1, "a", "x"), freed(2, "a", "x"), charge(3, "b", "x"), freed(4, "b", "x")]
    assert len(timeline(steps, fold=False)) == 1 + len(steps)
