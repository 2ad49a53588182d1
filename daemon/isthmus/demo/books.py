"""The closing table: every system's own ledger against the next one's. Nothing here asks the daemon."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from isthmus.demo.contracts import (
    CONTRACTS,
    Contract,
    Expense,
    Hours,
    cents,
    expected_cents,
    planned_cents,
)
from isthmus.demo.world import World
from isthmus.sdk.simulator import Record

__all__ = ["Comparison", "Ledgers", "compare", "read_ledgers"]


class Ledgers(msgspec.Struct, frozen=True, kw_only=True):
    """All records of all systems at one moment, by instance."""

    records: Mapping[str, list[Record]]

    def of(self, instance: str, *kinds: str) -> list[Record]:
        return [record for record in self.records[instance] if record.kind in kinds]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table: what one system says there must be, and what the other has."""

    what: str
    between: str
    expected: str
    found: str
    lost: int = 0
    doubled: int = 0

    @property
    def agrees(self) -> bool:
        return self.lost == 0 and self.doubled == 0


async def read_ledgers(world: World) -> Ledgers:
    """Ask every system for its ledger."""
    return Ledgers(records={instance: await system.ledger() for instance, system in world.systems.items()})


def compare(
    ledgers: Ledgers, *, amended: bool = False, contracts: Sequence[Contract] = CONTRACTS
) -> list[Comparison]:
    """Every row of the closing table.

    Args:
        amended: Whether the change order was made, so that its terms are in force.
        contracts: What was sold; the demo's contracts unless told otherwise.
    """
    rows = [_projects(ledgers, contract) for contract in contracts]
    rows += [_money(ledgers, contract, amended=amended) for contract in contracts]
    rows.append(_hours(ledgers))
    rows += [_invoices(ledgers, instance) for instance in ("netsuite", "ledger")]
    rows.append(_shown_in_psa(ledgers))
    rows += [row for contract in contracts if (row := _outlook(ledgers, contract)) is not None]
    rows.append(_twins(ledgers))
    return rows


def project_key(ledgers: Ledgers, contract: Contract) -> str:
    """The key of a contract's project: the deal as the CRM numbers it; a deal not won has none."""
    deals = [deal.id for deal in ledgers.of("crm", "Opportunity") if deal.fields["Name"] == contract.deal]
    return f"crm:{deals[0]}" if deals else "crm:not won"


def _count(what: str, between: str, expected: int, found: int) -> Comparison:
    return Comparison(
        what=what,
        between=between,
        expected=str(expected),
        found=str(found),
        lost=max(0, expected - found),
        doubled=max(0, found - expected),
    )


def _amount(what: str, between: str, expected: int, found: int, currency: str) -> Comparison:
    """Amounts in cents; a difference counts as one thing lost or doubled."""
    return Comparison(
        what=what,
        between=between,
        expected=f"{Decimal(expected) / 100:,.2f} {currency}",
        found=f"{Decimal(found) / 100:,.2f} {currency}",
        lost=int(found < expected),
        doubled=int(found > expected),
    )


def _projects(ledgers: Ledgers, contract: Contract) -> Comparison:
    """One project in PSA, ERP and planner for each deal won."""
    key = project_key(ledgers, contract)
    erp, kind = ("netsuite", "job") if contract.entity == "acme-us" else ("ledger", "project")
    places = (("psa", "Workspace"), (erp, kind), ("planner", "project"))
    found = [
        sum(_is_key(record.external_key, key) for record in ledgers.of(instance, name))
        for instance, name in places
    ]
    return Comparison(
        what=f"project {contract.deal}",
        between=f"CRM → PSA, {'NetSuite' if erp == 'netsuite' else 'legacy ERP'}, planner",
        expected="1 in each",
        found=", ".join(map(str, found)),
        lost=sum(each == 0 for each in found),
        doubled=sum(max(0, each - 1) for each in found),
    )


def _is_key(external: str | None, key: str) -> bool:
    """Whether a peer's external key is ours, with or without the peer's prefix."""
    return external is not None and (external == key or external.endswith(f":{key}"))


def _money(ledgers: Ledgers, contract: Contract, *, amended: bool) -> Comparison:
    """What the PSA approved, priced by hand, against what stands in the ERP."""
    key = project_key(ledgers, contract)
    work, expenses, achieved = _approved(ledgers, key)
    terms = contract.changed if amended else contract
    expected = expected_cents(terms, work, expenses=expenses, achieved=achieved)
    found = netsuite_cents(ledgers, key) if contract.entity == "acme-us" else legacy_cents(ledgers, key)
    erp = "NetSuite" if contract.entity == "acme-us" else "legacy ERP"
    return _amount(f"billed on {contract.deal}", f"PSA → {erp}", expected, found, contract.currency)


def _approved(ledgers: Ledgers, key: str) -> tuple[list[Hours], list[Expense], list[str]]:
    """Approved billable entries, expenses and achieved milestones of a project, as the PSA has them."""
    workspaces = _ids(ledgers, "psa", "Workspace", key)
    roles = {role.id: str(role.fields["name"]).lower() for role in ledgers.of("psa", "Role")}
    mine = [record for record in ledgers.records["psa"] if record.fields.get("workspace_id") in workspaces]
    work = [
        Hours(
            service=roles[record.fields["role_id"]], hundredths=record.fields["time_in_minutes"] * 100 // 60
        )
        for record in mine
        if record.kind == "TimeEntry" and record.fields["approved"] and record.fields["billable"]
    ]
    reports = {
        report.id
        for report in ledgers.of("psa", "ExpenseReportSubmission")
        if report.fields["status"] == "approved"
    }
    expenses = [
        Expense(cents=record.fields["amount_in_cents"])
        for record in mine
        if record.kind == "Expense" and record.fields["active_submission_id"] in reports
        if record.fields["is_billable"]
    ]
    achieved = [
        record.fields["title"]
        for record in mine
        if record.kind == "Story" and record.fields["state"] == "completed"
    ]
    return work, expenses, achieved


def _ids(ledgers: Ledgers, instance: str, kind: str, key: str) -> set[str]:
    """The records a system has under one of our keys: one, if all is well."""
    return {record.id for record in ledgers.of(instance, kind) if _is_key(record.external_key, key)}


def netsuite_cents(ledgers: Ledgers, key: str) -> int:
    """The net of a job's billable records, in cents, as NetSuite holds them."""
    jobs = _ids(ledgers, "netsuite", "job", key)
    total = 0
    for record in ledgers.of("netsuite", "timeBill", "charge", "invoice", "creditMemo"):
        if record.external_key is not None and _job_of(record) in jobs:
            total += _netsuite_amount(record)
    return total


def _job_of(record: Record) -> str | None:
    for name in ("customer", "billTo", "entity"):
        value = record.fields.get(name)
        if isinstance(value, dict):
            return str(value["id"])
    return None


def _netsuite_amount(record: Record) -> int:
    """The exact amount that travels with a record; NetSuite itself keeps hours to the minute."""
    for name in ("custcol_isth_amount", "custbody_isth_amount"):
        if record.fields.get(name):
            return cents(record.fields[name])
    return 0


def legacy_cents(ledgers: Ledgers, key: str) -> int:
    """The net of a project's posted charges in the legacy ERP, in cents."""
    projects = _ids(ledgers, "ledger", "project", key)
    return sum(
        cents(record.fields["amount"])
        for record in ledgers.of("ledger", "charge")
        if record.fields["project"] in projects
    )


def _hours(ledgers: Ledgers) -> Comparison:
    """Approved minutes in the PSA against actuals in the planner."""
    expected = sum(
        record.fields["time_in_minutes"]
        for record in ledgers.of("psa", "TimeEntry")
        if record.fields["approved"]
    )
    found = sum(
        record.fields["billableMinutes"] + record.fields["nonbillableMinutes"]
        for record in ledgers.of("planner", "actual")
    )
    return Comparison(
        what="approved hours",
        between="PSA → planner",
        expected=f"{Decimal(expected) / 60:,.2f} h",
        found=f"{Decimal(found) / 60:,.2f} h",
        lost=int(found < expected),
        doubled=int(found > expected),
    )


def _outlook(ledgers: Ledgers, contract: Contract) -> Comparison | None:
    """What bookings will bring, priced by hand, against the months the planner shows; None without any."""
    key = project_key(ledgers, contract)
    mine = [record for record in ledgers.of("planner", "project") if _is_key(record.external_key, key)]
    planned: dict[str, int] = {}
    for record in ledgers.of("planner", "assignment"):
        if str(record.fields["projectId"]) not in [project.id for project in mine]:
            continue
        first, last = (date.fromisoformat(record.fields[name]) for name in ("startDate", "endDate"))
        month = f"{first:%Y-%m}"
        planned[month] = planned.get(month, 0) + planned_cents(
            contract, first, last, record.fields["minutesPerDay"]
        )
    if not planned:
        return None
    text = " ".join(
        str(field["value"]) for project in mine for field in project.fields["customFields"]["text"]
    )
    shown = dict(re.findall(r"(\d{4}-\d{2}) (-?[\d.]+) ", text))
    found = sum(cents(shown.get(month, "0")) for month in planned)
    what = f"planned work on {contract.deal}"
    return _amount(what, "planner → outlook", sum(planned.values()), found, contract.currency)


def _invoices(ledgers: Ledgers, instance: str) -> Comparison:
    """Released invoices of an ERP, with what is open, against the CRM's copies."""
    released = invoices(ledgers, instance)
    shown = Counter(
        (cents(str(record.fields["Total__c"])), cents(str(record.fields["Open_Amount__c"])))
        for record in ledgers.of("crm", "Invoice__c")
        if record.external_key is not None and record.external_key.startswith(f"{instance}:")
    )
    wanted = Counter(released)
    name = "NetSuite" if instance == "netsuite" else "legacy ERP"
    return Comparison(
        what=f"invoices of {name}, total and open",
        between=f"{name} → CRM",
        expected=_sums(wanted),
        found=_sums(shown),
        lost=sum((wanted - shown).values()),
        doubled=sum((shown - wanted).values()),
    )


def invoices(ledgers: Ledgers, instance: str) -> list[tuple[int, int]]:
    """Total and open amount, in cents, of every released invoice."""
    if instance == "ledger":
        return [
            (cents(record.fields["total"]), cents(record.fields["open"]))
            for record in ledgers.of("ledger", "invoice")
        ]
    return [
        (cents(str(record.fields["total"])), cents(str(record.fields["amountRemaining"])))
        for record in ledgers.of("netsuite", "invoice")
        if _approved_invoice(record)
    ]


def _approved_invoice(record: Record) -> bool:
    status: Any = record.fields.get("approvalStatus")
    return status is None or (isinstance(status, dict) and status["id"] == "2")


def _sums(amounts: Counter[tuple[int, int]]) -> str:
    total = sum(total * n for (total, _), n in amounts.items())
    rest = sum(rest * n for (_, rest), n in amounts.items())
    return f"{amounts.total()}: {Decimal(total) / 100:,.2f}, open {Decimal(rest) / 100:,.2f}"


def _shown_in_psa(ledgers: Ledgers) -> Comparison:
    """Each released invoice is visible once in the PSA."""
    expected = sum(len(invoices(ledgers, instance)) for instance in ("netsuite", "ledger"))
    found = sum(
        record.fields["service_model"] == "Invoice" for record in ledgers.of("psa", "ExternalReference")
    )
    return _count("invoice states", "ERPs → PSA", expected, found)


def _twins(ledgers: Ledgers) -> Comparison:
    """Records of one system that carry the same key of ours: each beyond the first is a double."""
    twins = 0
    for records in ledgers.records.values():
        keys = Counter((record.kind, record.external_key) for record in records if record.external_key)
        twins += sum(_beyond_first(keys.values()))
    return _count("two records under one key", "in any system", 0, twins)


def _beyond_first(counts: Iterable[int]) -> Iterable[int]:
    return (count - 1 for count in counts if count > 1)
