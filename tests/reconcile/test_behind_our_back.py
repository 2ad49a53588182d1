"""A daemon between real fakes, and a night that edits, deletes, doubles and adds behind its back."""

import re
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import trio

from isthmus.demo.contracts import CONTRACTS
from isthmus.demo.process import DaemonProcess
from isthmus.demo.scenario import Scenario, staff, win
from isthmus.demo.settings import write_configuration
from isthmus.demo.world import World, opened

PAIR = "time-netsuite"
OCTOBER = {"since": "2026-10-01", "until": "2026-10-31"}
ENTRIES = 60
Planted = Counter[tuple[str, str]]


async def work(scenario: Scenario) -> None:
    """Sixty entries are approved on the first contract; what of them is billable is billed."""
    contract = CONTRACTS[0]
    await scenario.world.psa.do(
        "work_month",
        workspace=scenario.project(contract),
        users=[scenario.people[name] for name in contract.people],
        month="2026-10",
        entries=ENTRIES,
        seed=1,
    )

    async def billed() -> bool:
        told = await scenario.daemon.ask("/v1/events", kind="time.approved", limit=1000)
        return len(told) >= ENTRIES and await quiet(scenario.daemon)

    await scenario.until("every hour in NetSuite", billed)


async def quiet(daemon: DaemonProcess) -> bool:
    """Whether nothing is on its way in the lanes of charges."""
    status = await daemon.ask("/v1/status")
    behind = [row["behind"] for row in status["processes"] if row["process"] == "billing"]
    owed = [row["owed"] for row in status["lanes"] if row["lane"] == "netsuite-charges"]
    return not any(behind) and not any(owed)


async def night(world: World) -> Planted:
    """Fifty things nobody tells: what must be found, as kind and side with the amount or hours at stake."""
    planted: Planted = Counter()
    bills = [record for record in await world.netsuite.of_kind("timeBill") if record.external_key]
    entries = {record.id: record for record in world.psa.simulator.ledger.of_kind("TimeEntry")}
    billed = {
        f"{bill.fields['custcol_isth_charge']}": Decimal(bill.fields["custcol_isth_amount"]) for bill in bills
    }
    for n, bill in enumerate(bills[:35]):
        amount = billed[bill.fields["custcol_isth_charge"]]
        rate = Decimal(bill.fields["rate"])
        copy = {
            name: value
            for name, value in bill.fields.items()
            if name not in ("createdDate", "lastModifiedDate", "invoice")
        }
        if n < 15:
            hours, _, minutes = bill.fields["hours"].partition(":")
            longer = f"{int(hours) + 1}:{minutes}"
            await world.netsuite.do("edit_record", kind="timeBill", id=bill.id, fields={"hours": longer})
            planted["amount", f"{rate:.2f}"] += 1
        elif n < 25:
            await world.netsuite.do("delete_record", kind="timeBill", id=bill.id)
            planted["missing", f"{amount:.2f}"] += 1
        else:
            await world.netsuite.do("create_record", kind="timeBill", fields=copy)
            planted["double", f"{amount:.2f}"] += 1
    for n in range(10):
        plain = {
            name: bills[0].fields[name] for name in ("employee", "customer", "item", "price", "isBillable")
        }
        fields = {**plain, "tranDate": "2026-10-09", "hours": f"{n + 10}:00", "rate": "11"}
        await world.netsuite.do("create_record", kind="timeBill", fields=fields)
        planted["extra", f"{(n + 10) * 11}.00"] += 1
    # Support of the PSA changes hours of entries that are approved, and no stamp says so.
    for bill in bills[35:40]:
        (entry,) = re.findall(r"^time psa:(\d+) ", bill.fields["memo"])
        entries[entry].fields["time_in_minutes"] += 90
        planted["stale", "1.50 h"] += 1
    assert planted.total() == 50
    return planted


def told(page: dict[str, Any]) -> Planted:
    """The drift of a comparison in the words of `night`."""
    return Counter(
        (line["kind"], f"{line['quantity']} h" if line["kind"] == "stale" else line["amount"])
        for line in page["differences"]
        if line["state"] == "drift"
    )


async def compared(daemon: DaemonProcess) -> dict[str, Any]:
    page: dict[str, Any] = await daemon.tell("/v1/reconcile/run", {"pair": PAIR, **OCTOBER})
    assert page["error"] == ""
    return page


async def heal(scenario: Scenario, page: dict[str, Any]) -> None:
    """Repair what can be, after it was shown; what only people can do is done as they would."""
    for line in page["differences"]:
        order = {"id": line["id"], "why": "after the night"}
        shown = await scenario.daemon.tell("/v1/reconcile/repair", {**order, "dry_run": True})
        assert not shown["done"]
        if shown["act"] == "by_hand":
            assert line["right"]["remote_id"] in shown["words"]
            record = line["right"]["remote_id"].split("/")[1]
            await scenario.world.netsuite.do("delete_record", kind="timeBill", id=record)
        else:
            assert (shown["event"] is None) == (shown["act"] == "send_again")
            done = await scenario.daemon.tell("/v1/reconcile/repair", order)
            assert (done["done"], done["words"]) == (True, shown["words"])
    await scenario.until("what was repaired in NetSuite", lambda: quiet(scenario.daemon))


async def test_all_of_a_night_is_found_with_kind_and_amount_and_repairs_converge_to_zero(
    tmp_path: Path,
) -> None:
    async with opened() as world:
        write_configuration(tmp_path, world)
        daemon = DaemonProcess(tmp_path)
        scenario = Scenario(world, daemon)
        try:
            await daemon.start()
            for step in (win, staff, work):
                await step(scenario)
            clean = await compared(daemon)
            assert (clean["differences"], clean["matched"]) == ([], clean["compared"])
            await stops_reading_the_psa(daemon, tmp_path)

            planted = await night(world)
            page = await compared(daemon)
            assert told(page) == planted
            assert await exit_code(tmp_path) == 1
            await stays_explained_until_it_changes(scenario, page)

            rounds = 0
            while page["differences"] and rounds < 4:
                await heal(scenario, page)
                page = await compared(daemon)
                rounds += 1
            assert page["differences"] == []
            assert await exit_code(tmp_path) == 0
        finally:
            await daemon.stop()


async def stops_reading_the_psa(daemon: DaemonProcess, directory: Path) -> None:
    """From now on the PSA changes without our knowing."""
    await daemon.stop()
    file = directory / "isthmus.toml"
    head = "[connectors.psa]\n"
    file.write_text(file.read_text().replace(head, head + "read = []\n"))
    await daemon.start()


async def stays_explained_until_it_changes(scenario: Scenario, page: dict[str, Any]) -> None:
    """A longer bill is explained; it is drift again as soon as it says something else."""
    line = next(line for line in page["differences"] if line["kind"] == "amount")
    order = {"id": line["id"], "why": "agreed by phone"}
    await scenario.daemon.tell("/v1/reconcile/explain", order)
    again = await compared(scenario.daemon)
    assert (again["explained"], again["drift"]) == (1, page["drift"] - 1)
    (known,) = [each for each in again["differences"] if each["state"] == "explained"]
    assert (known["key"], known["reason"]) == (line["key"], "agreed by phone")
    record = line["right"]["remote_id"].split("/")[1]
    await scenario.world.netsuite.do("edit_record", kind="timeBill", id=record, fields={"hours": "9:30"})
    changed = await compared(scenario.daemon)
    assert (changed["explained"], changed["drift"]) == (0, page["drift"])
    page["differences"] = changed["differences"]


async def exit_code(directory: Path) -> int:
    """Of the command an admin gives."""
    days = ["--from", OCTOBER["since"], "--to", OCTOBER["until"]]
    command = [sys.executable, "-m", "isthmus", "reconcile", "run", PAIR, *days, "--config", str(directory)]
    done = await trio.run_process(command, check=False, stdout=subprocess.DEVNULL)
    return done.returncode
