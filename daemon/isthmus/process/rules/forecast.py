"""forecast: what each month brought and what is still to be earned, per project."""

from datetime import datetime
from decimal import Decimal

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended, ContractSigned
from isthmus.events.finance import ChargeDetermined
from isthmus.events.planning import ForecastMonth, ForecastRevised
from isthmus.events.values import Amount, Currency, quantum
from isthmus.process.face import States
from isthmus.process.rules.derive import lineage_id
from isthmus.process.rules.values import line_values

ZERO = Decimal(0)


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """Net revenue and net charged hours earned in one month."""

    revenue: Amount = ZERO
    hours: Amount = ZERO


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """The amounts a contract names, by line, at its newest revision."""

    revision: int
    currency: Currency
    lines: dict[str, Amount]


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """A project's money: it grows with its months and lines, never with its entries."""

    entity: str
    currency: Currency
    months: dict[str, Month] = {}
    contracts: dict[str, Worth] = {}
    earned: dict[str, dict[str, Amount]] = {}
    """Net determined by contract and line, expenses apart: they are no part of the agreed amount."""


class ForecastProcess:
    """Analytical: one ``forecast.revised`` per project in the lag window.

    ``months`` holds what charges determined, by the month they were earned in. ``backlog`` is, per line
    with an agreed amount (milestones, capped time, fixed fee), that amount less the net determined, never
    below zero.
    """

    name = "forecast"
    consumes = frozenset({"contract.signed", "contract.amended", "charge.determined"})

    def apply(self, event: BusinessEvent, states: States) -> set[str]:
        if isinstance(event, (ContractSigned, ContractAmended)):
            return _contract(event, states)
        assert isinstance(event, ChargeDetermined)
        key = f"project:{event.project}"
        row = states.get(key, Outlook) or Outlook(entity=event.entity, currency=event.currency)
        name = f"{event.earned_on:%Y-%m}"
        month = row.months.get(name, Month())
        hours = event.quantity if event.origin == "time" else ZERO
        month = Month(
            revenue=month.revenue + event.amount,
            hours=month.hours + (hours if event.reverses is None else -hours),
        )
        earned = row.earned
        if event.origin != "expense":
            lines = earned.get(event.contract, {})
            lines = {**lines, event.line: lines.get(event.line, ZERO) + event.amount}
            earned = {**earned, event.contract: lines}
        months = dict(sorted({**row.months, name: month}.items()))
        states.put(key, msgspec.structs.replace(row, months=months, earned=earned))
        return {event.project}

    def publish(self, key: str, states: States, as_of: datetime, basis: list[str]) -> list[BusinessEvent]:
        row = states.get(f"project:{key}", Outlook)
        if row is None:
            return []
        return [
            ForecastRevised(
                id=lineage_id(self.name, "forecast.revised", key, basis),
                source=self.name,
                occurred_at=as_of,
                entity=row.entity,
                correlation=basis[0] if basis else None,
                causation=basis[-1] if basis else None,
                project=key,
                currency=row.currency,
                as_of=as_of,
                months=[
                    ForecastMonth(month=name, revenue=month.revenue, hours=month.hours)
                    for name, month in row.months.items()
                ],
                backlog=_backlog(row),
                basis=basis,
            )
        ]


def _contract(event: ContractSigned | ContractAmended, states: States) -> set[str]:
    key = f"project:{event.project}"
    row = states.get(key, Outlook) or Outlook(entity=event.entity, currency=event.currency)
    known = row.contracts.get(event.contract)
    if known is not None and event.revision <= known.revision:
        return set()
    worth = Worth(revision=event.revision, currency=event.currency, lines=line_values(event.lines))
    row = msgspec.structs.replace(row, contracts={**row.contracts, event.contract: worth})
    if next(iter(row.contracts)) == event.contract:
        row = msgspec.structs.replace(row, currency=event.currency, entity=event.entity)
    states.put(key, row)
    return {event.project}


def _backlog(row: Outlook) -> Decimal:
    total = Decimal(0).quantize(quantum(row.currency))
    for contract, worth in row.contracts.items():
        if worth.currency != row.currency:
            continue
        earned = row.earned.get(contract, {})
        for line, value in worth.lines.items():
            total += max(value - earned.get(line, ZERO), Decimal(0))
    return total
