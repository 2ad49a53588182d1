"""What happens in the demo, step by step, as the people of the firm do it."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import msgspec
import trio

from isthmus.demo.books import compare, read_ledgers
from isthmus.demo.contracts import CONTRACTS, Contract, next_planned_week
from isthmus.demo.process import DaemonProcess
from isthmus.demo.world import World

__all__ = ["STEPS", "Scenario", "Step"]

MONTH = "2026-10"
PATIENCE_S = 60.0

CLOSED = {
    "type": "https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.1",
    "title": "Bad Request",
    "status": 400,
    "o:errorDetails": [
        {
            "detail": "Error while accessing a resource. The period of this transaction is closed.",
            "o:errorCode": "USER_ERROR",
        }
    ],
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step: its name, and what is done."""

    name: str
    act: Callable[["Scenario"], Awaitable[None]]


class Scenario:
    """The world, the daemon, and what the people have learnt so far."""

    def __init__(self, world: World, daemon: DaemonProcess) -> None:
        self.world = world
        self.daemon = daemon
        self.deals: dict[str, dict[str, Any]] = {}
        """By deal name: the ids the CRM gave."""
        self.people: dict[str, str] = {}
        """Name to PSA user id."""
        self.entries: dict[str, list[str]] = {}
        """By deal name: ids of time entries."""
        self.amended = False
        self.faults: list[str] = []

    def project(self, contract: Contract) -> str:
        """The project's key: the deal as the CRM numbers it."""
        return f"crm:{self.deals[contract.deal]['opportunity']}"

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait for the systems to agree on something.

        Raises:
            RuntimeError: they do not within `PATIENCE_S` seconds, or the daemon ended.
        """
        with trio.move_on_after(PATIENCE_S):
            while not await holds():
                if not self.daemon.running:
                    raise RuntimeError(f"the daemon ended while waiting for: {what}; see {self.daemon.log}")
                await trio.sleep(0.1)
            return
        raise RuntimeError(f"not within {PATIENCE_S:g} s: {what}; see {self.daemon.log}")

    async def settled(self, *rows: str) -> None:
        """Wait until the rows of the closing table whose names start so agree."""

        async def agree() -> bool:
            table = compare(await read_ledgers(self.world), amended=self.amended)
            return all(row.agrees for row in table if row.what.startswith(rows))

        await self.until(f"{', '.join(rows)} agree", agree)

    async def told(self, kind: str, **fields: str) -> None:
        """Wait until the daemon knows a fact with these fields."""

        async def known() -> bool:
            lines = await self.daemon.ask("/v1/events", kind=kind, limit=1000)
            pages = [await self.daemon.ask(f"/v1/events/{line['seq']}") for line in lines[-10:]]
            return any(fields.items() <= page["event"].items() for page in pages)

        await self.until(f"{kind} {fields}", known)

    async def approve(self, contract: Contract, *, day: int, hours: str) -> None:
        """Somebody logs hours on a contract, and they are approved."""
        entry = await self.world.psa.do(
            "log_time",
            workspace=self.project(contract),
            user=self.people[next(iter(contract.people))],
            date=f"{MONTH}-{day}",
            hours=hours,
            service="Consulting",
        )
        await self.world.psa.do("approve_time", entries=[entry["id"]])

    async def count(self, instance: str, *kinds: str) -> int:
        return len(await self.world.systems[instance].of_kind(*kinds))


async def win(scenario: Scenario) -> None:
    """Sales wins the deals; an expired session is in the way."""
    crm = scenario.world.crm
    for number, contract in enumerate(CONTRACTS):
        scenario.deals[contract.deal] = await crm.do(
            "win_deal",
            account=contract.account,
            name=contract.deal,
            amount=f"{contract.value}.00",
            currency=contract.currency,
            entity=contract.entity,
            lines=contract.lines(),
            signed_on="2026-09-21",
            starts_on="2026-10-01",
            time_zone=contract.time_zone,
            period_policy=contract.period_policy,
        )
        if number == 0:
            await crm.do("expire_sessions")
            scenario.faults.append("session expired")
    await scenario.settled("project ")


async def fall_due(scenario: Scenario) -> None:
    """What the contracts make due by the calendar is billed without anybody's approval."""

    async def billed() -> bool:
        found = await scenario.count("netsuite", "invoice"), await scenario.count("ledger", "charge")
        return found >= (2, 2)

    await scenario.until("instalments, the retainer and the subscription in the ERPs", billed)


async def staff(scenario: Scenario) -> None:
    """The PSA gets its people; they appear in the planner."""
    for contract in CONTRACTS:
        for name, role in contract.people.items():
            email = f"{name.replace(' ', '.').lower()}@example.com"
            user = await scenario.world.psa.do("add_user", name=name, role=role, email=email)
            scenario.people[name] = str(user["id"])

    async def planned() -> bool:
        return await scenario.count("planner", "person") >= len(scenario.people)

    await scenario.until("people in the planner", planned)


async def plan(scenario: Scenario) -> None:
    """Somebody is booked on the first project for a week to come."""
    contract = CONTRACTS[0]
    monday = next_planned_week(date.today())  # noqa: DTZ011  the planner's people live by their own calendar
    await scenario.world.planner.do(
        "assign",
        person=next(iter(contract.people)),
        project=scenario.project(contract),
        start=f"{monday}",
        end=f"{monday + timedelta(days=4)}",
        minutes=480,
        role=next(iter(contract.rates)),
    )


async def work(scenario: Scenario) -> None:
    """A month of work is approved, while systems throttle and fail."""
    await scenario.world.netsuite.fault(
        "throttle", match={"method": "PUT", "path_prefix": "/services/rest/record"}, skip=10, retry_after_s=1
    )
    await scenario.world.psa.fault(
        "status", match={"method": "GET", "path_prefix": "/api/v1/time_entries"}, status=503, times=3
    )
    await scenario.world.planner.do("use_up_rate_limit", calls=2)
    scenario.faults += ["429 with Retry-After (NetSuite)", "503 burst (PSA)", "429 (planner)"]
    for number, contract in enumerate(CONTRACTS):
        done = await scenario.world.psa.do(
            "work_month",
            workspace=scenario.project(contract),
            users=[scenario.people[name] for name in contract.people],
            month=MONTH,
            entries=contract.entries,
            seed=number,
        )
        scenario.entries[contract.deal] = done["entries"]


async def crash(scenario: Scenario) -> None:
    """While charges are being posted, the daemon is killed and started again."""

    async def posting() -> bool:
        return await scenario.count("netsuite", "timeBill") >= 25

    await scenario.until("charges being posted", posting)
    scenario.daemon.kill()
    scenario.faults.append("kill -9")
    await scenario.daemon.start()
    await scenario.settled("billed on")


async def spend(scenario: Scenario) -> None:
    """Expenses are approved on the contract that pays them."""
    psa = scenario.world.psa
    contract = CONTRACTS[2]
    ids = []
    for number, (category, amount) in enumerate(
        [("Travel", 41_250), ("Lodging", 28_800), ("Travel", 9_990), ("Meals", 3_475)]
    ):
        row = await psa.do(
            "add_expense",
            workspace=scenario.project(contract),
            user=next(iter(scenario.people[name] for name in contract.people)),
            date=f"{MONTH}-{12 + number}",
            category=category,
            amount_in_cents=amount,
            currency=contract.currency,
        )
        ids.append(row["id"])
    await psa.do("approve_expenses", expenses=ids)
    await scenario.settled("billed on")


async def achieve(scenario: Scenario) -> None:
    """Milestones are completed; the answer to an invoice request gets lost."""
    await scenario.world.netsuite.fault(
        "lose_response", match={"method": "PUT", "path_prefix": "/services/rest/record/v1/invoice"}
    )
    scenario.faults.append("lost response on an invoice (NetSuite)")
    for story in await scenario.world.psa.of_kind("Story"):
        if story.fields["story_type"] == "milestone" and story.fields["title"] != "Go-live":
            await scenario.world.psa.do("complete_milestone", story=story.id)
    await scenario.settled("billed on")


async def amend(scenario: Scenario) -> None:
    """A change order raises a cap and adds a fee; the hours the cap held back are billed."""
    contract = CONTRACTS[1]
    before = await scenario.count("netsuite", "timeBill")
    await scenario.world.crm.do(
        "amend_contract",
        contract=scenario.deals[contract.deal]["contract"],
        lines=contract.changed.lines(),
        effective_on="2026-10-01",
        reason="Phase two ordered",
    )
    scenario.amended = True
    await scenario.settled("billed on")
    await scenario.told("change_order.stepped", step="projection", state="done")
    assert await scenario.count("netsuite", "timeBill") > before, "the change order released nothing"


async def correct(scenario: Scenario) -> None:
    """Hours that were billed already are corrected, in both ERPs."""
    for contract in (CONTRACTS[0], CONTRACTS[2]):
        await scenario.world.psa.do("correct_time", entry=scenario.entries[contract.deal][-1], hours="1.25")
    await scenario.settled("billed on")


async def late(scenario: Scenario) -> None:
    """A late entry and late corrections meet a closed month, under both policies.

    Where the policy is ``hold`` they wait and are carried out when the month is open again; under
    ``next_open`` what is taken back and what replaces it are posted in November.
    """
    await scenario.world.netsuite.do("close_period", period=MONTH)
    await scenario.told("period.closed", period=MONTH)
    patient, eager = CONTRACTS[1], CONTRACTS[3]
    await scenario.approve(patient, day=29, hours="3.5")
    await scenario.told("charge.held", reason="period_closed")
    waiting, moved = (scenario.entries[contract.deal][-1] for contract in (patient, eager))
    await scenario.world.psa.do("correct_time", entry=waiting, hours="2.75")
    await scenario.told("charge.held", reason="period_closed", origin_key=f"psa:{waiting}")
    await scenario.world.psa.do("correct_time", entry=moved, hours="9.75")
    await scenario.settled(f"billed on {eager.deal}")
    dates = [
        record.fields["tranDate"][:7]
        for record in await scenario.world.netsuite.of_kind("timeBill")
        if record.fields["tranDate"][:7] != MONTH
    ]
    assert dates == ["2026-11", "2026-11"], f"reversal and replacement lie in November, not in {dates}"
    await scenario.world.netsuite.do("reopen_period", period=MONTH)
    await scenario.settled("billed on")


async def refuse(scenario: Scenario) -> None:
    """The ERP refuses one record, its period being closed; finance reopens it and retries."""
    await scenario.world.netsuite.fault(
        "status",
        match={"method": "PUT", "path_prefix": "/services/rest/record/v1/timeBill"},
        status=400,
        body=CLOSED,
    )
    scenario.faults.append("closed period (NetSuite)")
    await scenario.approve(CONTRACTS[1], day=30, hours="6.5")

    async def refused() -> bool:
        found = await scenario.daemon.ask("/v1/exceptions", error_class="period")
        return len(found) == 1

    await scenario.until("the refused record among the exceptions", refused)
    await scenario.daemon.tell("/v1/exceptions/retry", {"every": True, "why": "period reopened"})
    await scenario.settled("billed on")


async def invoice(scenario: Scenario) -> None:
    """Finance releases invoices in both ERPs; customers pay, one of them in part."""
    for erp in (scenario.world.netsuite, scenario.world.ledger):
        await erp.do("release_invoices")
    await scenario.settled("invoices of", "invoice states")
    for erp, kind in ((scenario.world.netsuite, "invoice"), (scenario.world.ledger, "invoice")):
        found = await erp.of_kind(kind)
        for number, record in enumerate(found):
            amount = {"amount": "500.00"} if number == 0 else {}
            await erp.do("pay_invoice", invoice=record.id, **amount)
    await scenario.settled("invoices of", "invoice states")


async def close(scenario: Scenario) -> None:
    """The month is closed in both ERPs; every ledger agrees."""
    for erp, source in ((scenario.world.netsuite, "netsuite"), (scenario.world.ledger, "ledger")):
        await erp.do("close_period", period=MONTH)
        await scenario.told("period.closed", period=MONTH, source=source)
    await scenario.settled("")

    async def caught_up() -> bool:
        status = await scenario.daemon.ask("/v1/status")
        return bool(status["planner_lag"] == [])

    await scenario.until("nothing missing in the planner", caught_up)
    for instance, system in scenario.world.systems.items():
        waiting = await system.faults_waiting()
        assert not waiting, f"{instance}: planned faults never happened: {', '.join(waiting)}"


STEPS = (
    Step(name="five deals are won", act=win),
    Step(name="fees and retainers fall due", act=fall_due),
    Step(name="people join", act=staff),
    Step(name="a week to come is planned", act=plan),
    Step(name="a month of time is approved", act=work),
    Step(name="the daemon is killed midway", act=crash),
    Step(name="expenses are approved", act=spend),
    Step(name="milestones are achieved", act=achieve),
    Step(name="a change order raises a cap", act=amend),
    Step(name="posted hours are corrected", act=correct),
    Step(name="late corrections, both policies", act=late),
    Step(name="a closed period refuses a charge", act=refuse),
    Step(name="invoices are released and paid", act=invoice),
    Step(name="the books are closed", act=close),
)
