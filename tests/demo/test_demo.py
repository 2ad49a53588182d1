"""One run of the demo, as anybody's first command: what it prints, and what its store tells afterwards."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.process.registry import PROCESSES
from tests.cli.inside import Done, isthmus


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """How it went, and what it left."""

    code: int
    out: str
    err: str
    kept: Path

    @property
    def outcome(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.out)
        return said

    def isthmus(self, *arguments: str) -> Done:
        return isthmus(*arguments, ISTHMUS_CONFIG=str(self.kept), COLUMNS="100")

    def ask(self, *arguments: str) -> Any:
        done = self.isthmus(*arguments, "--offline", "--output", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    kept = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "isthmus", "demo", "--json", "--keep", str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    return Run(code=done.returncode, out=done.stdout, err=done.stderr, kept=kept)


def test_it_ends_well(demo: Run) -> None:
    assert demo.code == 0, demo.err
    assert demo.outcome["duration_s"] > 0


def test_it_prints_one_object_with_the_fixed_names(demo: Run) -> None:
    outcome = demo.outcome
    assert {"steps", "lost", "doubled", "events", "charges_total", "duration_s"} <= set(outcome)
    assert (outcome["lost"], outcome["doubled"]) == (0, 0)
    assert [step["step"] for step in outcome["steps"] if not step["ok"]] == []
    assert len(outcome["steps"]) >= 10
    assert outcome["restarts"] == 1, "the daemon was killed midway"
    assert outcome["events"] > 500


def test_what_it_says_was_billed_is_what_the_ledgers_hold(demo: Run) -> None:
    billed: dict[str, Decimal] = {}
    for row in demo.outcome["ledgers"]:
        if row["what"].startswith("billed on"):
            assert row["found"] == row["expected"]
            amount, currency = row["found"].replace(",", "").split()
            billed[currency] = billed.get(currency, Decimal(0)) + Decimal(amount)
    totals = {currency: Decimal(text) for currency, text in demo.outcome["charges_total"].items()}
    assert totals == billed
    assert min(totals.values()) > 10_000


def test_nothing_was_left_open_or_unbroken(demo: Run) -> None:
    assert demo.ask("exception", "list") == []
    (letter,) = demo.ask("exception", "list", "--state", "any", "--error-class", "period")
    assert letter["state"] == "resolved"


def test_the_books_are_proven_and_who_changes_a_charge_is_named(demo: Run) -> None:
    verdict = demo.ask("audit", "verify")
    assert (verdict["findings"], verdict["unsealed"]) == ([], 0)
    assert verdict["events"] == len(demo.ask("event", "list", "--limit", "100000"))
    assert min(verdict["receipts"], verdict["acts"], verdict["anchors"]) > 0
    charge = demo.ask("event", "list", "--kind", "charge.determined", "--limit", "1")[0]
    with closing(sqlite3.connect(demo.kept / "state" / "isthmus.db")) as file:
        (guard,) = file.execute(
            "SELECT sql FROM sqlite_schema WHERE name = 'log_is_not_rewritten'"
        ).fetchone()
        file.execute("DROP TRIGGER log_is_not_rewritten")
        change = "UPDATE log SET payload = replace(payload, ?, ?) WHERE seq = ?"
        file.execute(change, ('"amount":"', '"amount":"1', charge["seq"]))
        file.commit()
        done = demo.isthmus("audit", "verify", "--offline")
        file.execute(change, ('"amount":"1', '"amount":"', charge["seq"]))
        file.execute(guard)
        file.commit()
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].split()[:3] == ["events", str(charge["seq"]), "changed"]
    assert "1 rows are not as they were" in done.stdout
    assert demo.isthmus("audit", "verify", "--offline").stdout.startswith("the books are whole: ")


ROAD = [
    "deal.won",
    "contract.signed",
    "project.created",
    "charge.determined",
    "charge.posted",
    "invoice.released",
    "payment.received",
]
"""Deal to cash."""


def records(demo: Run) -> dict[str, str]:
    """What people see of one milestone's way in each system, found in the log as they would find it."""
    won = next(
        event
        for line in demo.ask("event", "list", "--kind", "deal.won")
        for event in [demo.ask("event", "show", line["id"])["event"]]
        if event["name"] == "Terminal rollout"
    )
    steps = demo.ask("event", "trace", won["deal"])
    landings = {
        (step["type"].partition("/")[0], each["lane"]): each for step in steps for each in step["landings"]
    }
    invoice = next(step["event"] for step in steps if step["type"].startswith("invoice.released"))
    charge = invoice["charges"][0]
    posted = next(
        step["event"]
        for step in steps
        if step["event"].get("charge") == charge and "remote_id" in step["event"]
    )
    return {
        "deal": won["deal"],
        "psa workspace": landings["project.created", "psa"]["remote_id"],
        "erp project": landings["project.created", "netsuite-master"]["remote_id"],
        "charge": charge,
        "erp charge": posted["remote_id"],
        "invoice": invoice["invoice"],
        "crm invoice": landings["invoice.released", "crm-status"]["remote_id"],
        "psa invoice": landings["invoice.released", "psa-status"]["remote_id"],
    }


@pytest.fixture(scope="module")
def known(demo: Run) -> dict[str, str]:
    return records(demo)


@pytest.mark.parametrize(
    "by",
    ["deal", "psa workspace", "erp project", "charge", "erp charge", "invoice", "crm invoice", "psa invoice"],
)
def test_the_whole_road_is_told_by_the_id_of_any_system(demo: Run, known: dict[str, str], by: str) -> None:
    steps = demo.ask("event", "trace", known[by])
    kinds = [step["type"].partition("/")[0] for step in steps]
    assert [kind for kind in ROAD if kind not in kinds] == []
    first = [kinds.index(kind) for kind in ROAD]
    assert first[1:] == sorted(first[1:]), "in the order it happened"
    assert first[0] < first[3], "the deal is told by a stream of its own, somewhere before the first charge"
    arrived = {each["lane"] for step in steps for each in step["landings"] if each["state"] == "delivered"}
    assert {"psa", "netsuite-master", "netsuite-charges", "psa-status", "crm-status", "planner"} <= arrived


def test_a_charge_is_told_with_its_own_way_only(demo: Run, known: dict[str, str]) -> None:
    whole, own = demo.ask("event", "trace", known["deal"]), demo.ask("event", "trace", known["charge"])
    charges = {step["event"]["charge"] for step in own if step["type"].startswith("charge.posted")}
    assert known["charge"] in charges
    assert len(own) < len(whole) / 5


def test_the_story_is_readable_on_a_hundred_columns(demo: Run, known: dict[str, str]) -> None:
    shown = demo.isthmus("event", "trace", known["deal"], "--offline").stdout.splitlines()
    assert max(map(len, shown)) <= 100
    assert len(shown) < 60, "alike facts are folded"
    assert shown[0].startswith(f"trace of {known['deal']}")
    told = "\n".join(shown)
    for word in ("deal.won", "time.approved ×", "→ netsuite-charges ×", "payment.received", "→ crm-status"):
        assert word in told
    every = demo.isthmus("event", "trace", known["deal"], "--offline", "--all").stdout.splitlines()
    assert len(every) > 3 * len(shown)


def test_every_statement_of_every_process_is_derived_again_to_the_byte(demo: Run) -> None:
    verdicts = {each["process"]: each for each in demo.ask("audit", "replay")}
    assert set(PROCESSES) <= set(verdicts)
    for process, verdict in verdicts.items():
        assert verdict["equal"] > 0, process
        assert (verdict["differences"], verdict["unread"]) == ([], []), process


def test_each_charge_carries_the_dimensions_of_its_entity(demo: Run) -> None:
    pages = [
        demo.ask("event", "show", line["id"])["event"]
        for line in demo.ask("event", "list", "--kind", "charge.determined", "--limit", "1000")[::20]
    ]
    named = {(page["entity"], page["dimensions"].get("department")) for page in pages}
    assert named == {("acme-us", "Delivery"), ("acme-de", None)}


def test_the_month_can_be_closed(demo: Run) -> None:
    for entity in ("acme-us", "acme-de"):
        report = demo.ask("close", "check", "2026-10", "--entity", entity)
        assert (report["ready"], report["closed"], report["lines"]) == (True, True, [])


def test_a_change_order_shows_where_each_step_stands(demo: Run) -> None:
    (amended,) = demo.ask("event", "list", "--kind", "contract.amended")
    shown = demo.isthmus("event", "trace", amended["subject"], "--offline", "--all").stdout
    told = " ".join(shown.split())
    at = -1
    for step in ("terms", "contract", "schedule", "demand", "projection"):
        found = told.find(f"/2 {step} done", at + 1)
        assert found > at, f"{step} is done after the step before it"
        at = found


@pytest.mark.parametrize("by", ["charge", "erp charge", "invoice"])
def test_billing_is_explained_by_any_systems_id(demo: Run, known: dict[str, str], by: str) -> None:
    explained = demo.ask("billing", "explain", known[by])
    parts = [part for each in explained for part in each["parts"]]
    assert known["charge"] in {part["charge"] for part in parts}
    assert all(part["invoices"] and part["landings"] for part in parts if part["state"] == "billed")


def test_the_derivation_of_an_entry_the_cap_split_is_told_in_full(demo: Run) -> None:
    held = next(
        page["event"]
        for line in demo.ask("event", "list", "--kind", "charge.held")
        for page in [demo.ask("event", "show", line["id"])]
        if page["event"]["reason"] == "cap_reached"
    )
    told = demo.isthmus("billing", "explain", held["origin_key"], "--offline").stdout
    for words in (
        " billed: ",
        "contract crm:",
        " at 160.00 USD per hour",
        "cap 20000.00 USD: ",
        " do not fit",
        "cap_reached ",
        "it ends when a reversal makes room, or an amendment raises the cap",
        "cap 90000.00 USD: 20000.00 before, ",
        "posted on 2026-10-",
        "netsuite has it as timeBill/",
        "invoice INV",
    ):
        assert words in told, words


def test_nobody_knows_a_made_up_key(demo: Run) -> None:
    done = demo.isthmus("event", "trace", "crm:nobody", "--offline")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no system knows 'crm:nobody'" in done.stderr


FORMS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("event", "list", "--kind", "deal.won"), id="event list"),
        pytest.param(("exception", "list", "--state", "any"), id="exception list"),
        pytest.param(("event", "show", "1"), id="event show"),
        pytest.param(("event", "trace", "DEAL"), id="event trace"),
    ],
)
def test_programs_get_json(demo: Run, known: dict[str, str], command: tuple[str, ...], form: str) -> None:
    command = tuple(known["deal"] if word == "DEAL" else word for word in command)
    done = demo.isthmus(*command, "--offline", "--output", form)
    assert (done.returncode, done.stderr) == (0, "")
    assert FORMS[form](done.stdout)
