"""Records that another integration may have written for our facts: found by what both sides know.

By our key where the record bears it. Else time by job, day and employee, costs and invoices by job and day,
customers by tax number or name, jobs by name under their customer. Nothing is written.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from isthmus.events import BusinessEvent, ChargeDetermined, CustomerChanged, ProjectCreated, round_money
from isthmus.sdk import Candidate, Context, Receipt
from isthmus_netsuite import translate
from isthmus_netsuite.client import Client, Row
from isthmus_netsuite.directory import Directory, quoted
from isthmus_netsuite.records import KEY_FIELD, TRANSACTIONS, Records
from isthmus_netsuite.translate import NAME_MAX, RecordType

__all__ = ["Matching"]

NAMED_MAX = 200
"""Names in one question: each stands in it as text."""
TRANSACTION = (
    "id, externalid, tranid AS detail, TO_CHAR(trandate, 'YYYY-MM-DD') AS dated, entity AS job, currency, "
    "foreigntotal AS amount, custbody_isth_charge AS charge"
)
QUESTIONS: Mapping[RecordType, tuple[str, str, str]] = {
    "timeBill": (
        "id, externalid, memo AS detail, TO_CHAR(trandate, 'YYYY-MM-DD') AS dated, customer AS job, "
        "employee, hours, rate, custcol_isth_charge AS charge",
        "timebill",
        "trandate",
    ),
    "charge": (
        "id, externalid, description AS detail, TO_CHAR(chargedate, 'YYYY-MM-DD') AS dated, billto AS job, "
        "currency, amount, custcol_isth_charge AS charge",
        "charge",
        "chargedate",
    ),
    "invoice": (TRANSACTION, "transaction", "trandate"),
    "creditMemo": (TRANSACTION, "transaction", "trandate"),
}
"""Columns, table, and the column that dates it."""


class _Wanted(msgspec.Struct, kw_only=True):
    """A charge with the internal ids it is looked for by; None where the crosswalk has none."""

    event: ChargeDetermined
    job: str | None
    employee: str | None


class Matching:
    """Looks for records of one account.

    Args:
        posted: The receipt of a charge for a record of this type, with at least its id.
        linked: The receipt of master data: type, noun, key, id.
    """

    def __init__(
        self,
        client: Client,
        directory: Directory,
        records: Records,
        ctx: Context,
        *,
        posted: Callable[[ChargeDetermined, str, dict[str, Any]], Receipt],
        linked: Callable[[Any, str, str, str], Receipt],
    ) -> None:
        self._client = client
        self._directory = directory
        self._records = records
        self._ctx = ctx
        self._posted = posted
        self._linked = linked

    async def match(self, events: Sequence[BusinessEvent]) -> list[Candidate]:
        found: list[Candidate] = []
        customers = [event for event in events if isinstance(event, CustomerChanged)]
        projects = [event for event in events if isinstance(event, ProjectCreated)]
        charges = [event for event in events if isinstance(event, ChargeDetermined)]
        if customers:
            found += [each async for each in self._customers(customers)]
        if projects:
            found += [each async for each in self._projects(projects)]
        wanted: dict[RecordType, list[_Wanted]] = {}
        jobs = await self._jobs({event.project for event in charges})
        for event in charges:
            employee = None
            if event.resource is not None and event.origin in translate.HOURS:
                employee = await self._ctx.crosswalk.remote_id("resource", event.resource)
            each = _Wanted(event=event, job=jobs.get(event.project), employee=employee)
            wanted.setdefault(translate.record_type(event), []).append(each)
        for type, these in wanted.items():
            found += [candidate async for candidate in self._work(type, these)]
        return found

    async def _work(self, type: RecordType, wanted: Sequence[_Wanted]) -> AsyncIterator[Candidate]:
        """Records of work between the first and the last day, on the jobs the facts are about."""
        symbols = await self._directory.symbols()
        columns, table, column = QUESTIONS[type]
        days = {day for each in wanted for day in (each.event.posting_on, each.event.earned_on)}
        first, last = (f"TO_DATE('{day}', 'YYYY-MM-DD')" for day in (min(days), max(days)))
        where = f"{column} >= {first} AND {column} <= {last}"
        if type in TRANSACTIONS:
            where = f"type = '{TRANSACTIONS[type]}' AND {where}"
        currencies = {each.job: each.event.currency for each in wanted if each.job is not None}
        by_key: dict[str, list[_Wanted]] = {}
        by_place: dict[tuple[str, str], list[_Wanted]] = {}
        for each in wanted:
            for key in {each.event.charge, self._records.name(each.event.charge)}:
                by_key.setdefault(key, []).append(each)
            for day in {each.event.posting_on, each.event.earned_on} if each.job is not None else ():
                by_place.setdefault((str(each.job), str(day)), []).append(each)
        async for row in self._client.walk(columns, table, where=where, keys={"id": "id"}):
            keyed = by_key.get(row.get("charge", "")) or by_key.get(row.get("externalid", "")) or []
            fits = keyed
            if not row.get("charge"):  # one with the key of another charge is that charge's
                near = by_place.get((row.get("job", ""), row.get("dated", "")), [])
                fits = keyed or [each for each in near if _same_person(row, each)]
            # An invoice may be made of time that was counted as time: by itself it says nothing.
            if not fits and (row.get("charge") or row.get("job") not in currencies or type in TRANSACTIONS):
                continue
            record = {"id": row["id"], "tranId": row.get("detail")}
            currency = symbols.get(row.get("currency", "")) or currencies.get(row.get("job", ""))
            yield Candidate(
                remote_id=f"{type}/{row['id']}",
                stands_for={each.event.id: self._posted(each.event, type, record) for each in fits},
                sure=bool(keyed),
                amount=_amount(row, currency),
                currency=currency,
                quantity=translate.number(row.get("hours")),
                dated=date.fromisoformat(row["dated"]) if "dated" in row else None,
                detail=row.get("detail", ""),
            )

    async def _jobs(self, projects: Iterable[str]) -> dict[str, str]:
        """Jobs of our projects: by crosswalk, else by the key they bear."""
        jobs: dict[str, str] = {}
        unknown = []
        for project in sorted(projects):
            known = await self._ctx.crosswalk.remote_id("project", project)
            if known is None:
                unknown.append(project)
            else:
                jobs[project] = known
        async for row in self._named("id, " + _KEYS, "job", {self._key_column: self._names(unknown)}):
            jobs |= {project: row["id"] for project in unknown if self._marked(row, project)}
        return jobs

    async def _customers(self, events: Sequence[CustomerChanged]) -> AsyncIterator[Candidate]:
        by = {
            self._key_column: self._names(event.customer for event in events),
            "vatregnumber": {event.tax_id for event in events if event.tax_id},
            "companyname": {event.name[:NAME_MAX] for event in events},
        }
        async for row in self._named(f"id, companyname, vatregnumber, {_KEYS}", "customer", by):
            keyed = [event for event in events if self._marked(row, event.customer)]
            fits = keyed or [
                event
                for event in events
                if not row.get("ours")
                and (
                    row.get("vatregnumber") == event.tax_id
                    if event.tax_id and row.get("vatregnumber")
                    else row.get("companyname") == event.name[:NAME_MAX]
                )
            ]
            receipts = {e.id: self._linked("customer", "customer", e.customer, row["id"]) for e in fits}
            yield _master("customer", row, receipts, sure=bool(keyed))

    async def _projects(self, events: Sequence[ProjectCreated]) -> AsyncIterator[Candidate]:
        parents = {
            event.id: await self._ctx.crosswalk.remote_id("customer", event.customer) for event in events
        }
        by = {
            self._key_column: self._names(event.project for event in events),
            "companyname": {event.name[:NAME_MAX] for event in events},
        }
        async for row in self._named(f"id, companyname, parent, {_KEYS}", "job", by):
            keyed = [event for event in events if self._marked(row, event.project)]
            fits = keyed or [
                event
                for event in events
                if not row.get("ours")
                and row.get("companyname") == event.name[:NAME_MAX]
                and parents[event.id] in (None, row.get("parent"))
            ]
            receipts = {e.id: self._linked("job", "project", e.project, row["id"]) for e in fits}
            yield _master("job", row, receipts, sure=bool(keyed))

    @property
    def _key_column(self) -> str:
        return KEY_FIELD if self._records.by_field else "externalid"

    def _names(self, keys: Iterable[str]) -> set[str]:
        return {self._records.name(key) for key in keys}

    def _marked(self, row: Row, key: str) -> bool:
        return row.get("ours" if self._records.by_field else "externalid") == self._records.name(key)

    async def _named(self, columns: str, table: str, by: Mapping[str, Iterable[str]]) -> AsyncIterator[Row]:
        """Each row that has one of these texts in one of these columns, once."""
        seen: set[str] = set()
        for column, texts in by.items():
            listed = sorted(texts)
            for n in range(0, len(listed), NAMED_MAX):
                where = f"{column} IN ({', '.join(map(quoted, listed[n : n + NAMED_MAX]))})"
                async for row in self._client.walk(columns, table, where=where, keys={"id": "id"}):
                    if row["id"] not in seen:
                        seen.add(row["id"])
                        yield row


_KEYS = f"externalid, {KEY_FIELD} AS ours"


def _master(type: str, row: Row, receipts: Mapping[str, Receipt], *, sure: bool) -> Candidate:
    return Candidate(
        remote_id=f"{type}/{row['id']}", stands_for=receipts, sure=sure, detail=row.get("companyname", "")
    )


def _same_person(row: Row, wanted: _Wanted) -> bool:
    """Whether time may be this charge's; where one side names nobody, that decides nothing."""
    return wanted.employee is None or row.get("employee", wanted.employee) == wanted.employee


def _amount(row: Row, currency: str | None) -> Decimal | None:
    """What a record comes to; of time, what NetSuite will bill for it."""
    amount = translate.number(row.get("amount"))
    hours, rate = translate.number(row.get("hours")), translate.number(row.get("rate"))
    if amount is None and hours is not None and rate is not None:
        amount = hours * rate
    if amount is None or currency is None:
        return None
    return round_money(amount, currency)
