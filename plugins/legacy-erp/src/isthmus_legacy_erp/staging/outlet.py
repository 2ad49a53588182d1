"""What the ERP tells by tables: ``isth_out``, append-only, and ``isth_period``, its periods as they stand.

Identities are given out in order and committed out of order. So a missing one is remembered as a gap and
asked for again, until ``trailing_s`` after it was first missed; only then it counts as rolled back. Nothing
is read twice, and no clock of the database matters.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, or_, select

from isthmus.events import minor_digits
from isthmus_legacy_erp.batch import Batch, Totals
from isthmus_legacy_erp.codec import Row as Record
from isthmus_legacy_erp.codec import Value
from isthmus_legacy_erp.look import Arrived, Cursor, Gap, Look
from isthmus_legacy_erp.names import FileName
from isthmus_legacy_erp.settings import LegacyErpSettings, Staging
from isthmus_legacy_erp.staging.database import Database

GAPS_MAX = 100
NEEDED = {
    "invoice": ("customer_no", "issued_on", "due_on"),
    "charge": ("invoice_no",),
    "payment": ("invoice_no", "issued_on", "open_amount"),
    "void": ("issued_on",),
}
"""Columns a row must have, by kind, beside those every row has."""
ALWAYS = ("ref", "amount", "currency", "created_at")
NO_TOTALS = Totals(count=1, quantity=Decimal(0), amount=Decimal(0), hash_total=0)


class Outlet:
    """Reads the ERP's own tables of one company."""

    def __init__(self, database: Database, settings: LegacyErpSettings, staging: Staging) -> None:
        self._database = database
        self._tables = database.tables
        self._company = settings.company
        self._page = staging.rows_per_page
        self._trailing = timedelta(seconds=staging.trailing_s)

    def receivables(self, cursor: Cursor, now: datetime) -> Look:
        """The next rows: new ones, and late ones in the gaps."""
        table = self._tables.out
        wanted: list[ColumnElement[bool]] = [table.c.id > cursor.top]
        wanted += [table.c.id.between(gap.first, gap.last) for gap in cursor.gaps]
        lowest = min([cursor.top + 1, *(gap.first for gap in cursor.gaps)])
        # The bound keeps the database from walking through all that was read long ago. Rows of other
        # companies are read as well: what is theirs is no gap.
        query = select(table).where(table.c.id >= lowest, or_(*wanted)).order_by(table.c.id).limit(self._page)

        def work(connection: Connection) -> tuple[Sequence[Any], dict[str, list[Any]]]:
            rows = connection.execute(query).all()
            invoices = [row.ref for row in rows if row.kind == "invoice" and row.company == self._company]
            return rows, self._charges(connection, invoices)

        rows, charges = self._database.read("reading isth_out", work)
        look = Look(last=dict(cursor.last), more=len(rows) == self._page)
        seen: list[int] = []
        for row in rows:
            if row.company == self._company and not self._take(row, charges, cursor, now, look):
                continue
            seen.append(row.id)
        upto = rows[-1].id if look.more else None
        look.top = max([cursor.top, *(row.id for row in rows)])
        look.gaps = still_missing(cursor, look.top, seen, upto, now, self._trailing)
        return look

    def periods(self, cursor: Cursor) -> Look:
        """The periods whose state changed since ``cursor``; the table is small and read whole."""
        table = self._tables.period
        query = select(table).where(table.c.company == self._company).order_by(table.c.change_no)
        rows = self._database.rows("reading isth_period", query)
        look = Look(last=dict(cursor.last))
        for row in rows:
            place = f"{row.period}/{row.ledger}"
            if row.change_no <= look.last.get(place, 0):
                continue
            look.last[place] = row.change_no
            if row.status not in ("OPEN", "CLOSED") or None in (row.starts_on, row.ends_on, row.changed_at):
                reason = f"isth_period {place}: status {row.status!r} or a day is not usable; ask the ERP"
                look.refuse(place, reason, reason.encode(), to="told")
                continue
            values: dict[str, Value] = {
                "ref": row.period,
                "starts_on": row.starts_on,
                "ends_on": row.ends_on,
                "ledger": row.ledger,
                "change": row.change_no,
            }
            name = "closed" if row.status == "CLOSED" else "reopened"
            record = _record(row.change_no, name, values)
            look.arrived.append(
                self._arrived("periods", row.change_no, row.changed_at, f"isth_period {place}", [record])
            )
        return look

    def _take(
        self, row: Any, charges: dict[str, list[Any]], cursor: Cursor, now: datetime, look: Look
    ) -> bool:
        """Add one row; False for an invoice whose charges are not all there yet."""
        place = f"isth_out {row.id}"
        if row.kind == "charge":
            return True  # it comes with its invoice
        if (problem := _problem(row)) is not None:
            look.refuse(place, f"{place}: {problem}; ask the ERP", problem.encode(), to="told")
            return True
        records = [_record(row.id, row.kind, _values(row))]
        if row.kind == "invoice":
            found = charges.get(row.ref, [])
            if len(found) != (row.line_count or 0):
                reason = f"invoice {row.ref} says {row.line_count} charges, {len(found)} are there"
                if not self._given_up(row.id, cursor, now):
                    return False
                look.refuse(place, f"{place}: {reason}; ask the ERP", reason.encode(), to="told")
                return True
            if bad := [f"{charge.ref}: {wrong}" for charge in found if (wrong := _problem(charge))]:
                look.refuse(place, f"{place}: charge {bad[0]}; ask the ERP", bad[0].encode(), to="told")
                return True
            records += [_record(charge.id, "invoice_charge", _values(charge)) for charge in found]
        look.arrived.append(self._arrived("receivables", row.id, row.created_at, place, records))
        return True

    def _given_up(self, identity: int, cursor: Cursor, now: datetime) -> bool:
        """Whether a row was waited for long enough."""
        return any(
            gap.first <= identity <= gap.last and gap.missed_at + self._trailing <= now for gap in cursor.gaps
        )

    def _charges(self, connection: Connection, invoices: Sequence[str]) -> dict[str, list[Any]]:
        """The charge rows by invoice."""
        table = self._tables.out
        found: dict[str, list[Any]] = {}
        for at in range(0, len(invoices), GAPS_MAX):
            query = (
                select(table)
                .where(
                    table.c.company == self._company,
                    table.c.kind == "charge",
                    table.c.invoice_no.in_(invoices[at : at + GAPS_MAX]),
                )
                .order_by(table.c.id)
            )
            for row in connection.execute(query):
                found.setdefault(row.invoice_no, []).append(row)
        return found

    def _arrived(
        self, interface: str, number: int, at: datetime, place: str, records: list[Record]
    ) -> Arrived:
        return Arrived(
            file=FileName(interface=interface, company=self._company, seq=number, created=""),
            batch=Batch(header={"created": at}, rows=records, totals=NO_TOTALS),
            place=place,
        )


def still_missing(
    cursor: Cursor, top: int, seen: Iterable[int], upto: int | None, now: datetime, trailing: timedelta
) -> list[Gap]:
    """What is missing below ``top`` after a page.

    A gap that is older than ``trailing``, was looked into once more and found empty, is given up.

    Args:
        seen: the identities of the page.
        upto: where a full page ended; None when there was nothing behind it.
    """
    fresh = [Gap(first=cursor.top + 1, last=top, missed_at=now)] if top > cursor.top else []
    left: list[Gap] = []
    there = sorted(seen)
    for gap in [*cursor.gaps, *fresh]:
        unread = upto is not None and gap.last > upto
        if gap.missed_at + trailing <= now and gap not in fresh and not unread:
            continue
        left += _without(gap, there)
    return _bounded(left)


def _without(gap: Gap, there: Sequence[int]) -> list[Gap]:
    """What is left of a gap when the sorted identities ``there`` are not missing."""
    left: list[Gap] = []
    first = gap.first
    for identity in there:
        if identity < first or identity > gap.last:
            continue
        if identity > first:
            left.append(Gap(first=first, last=identity - 1, missed_at=gap.missed_at))
        first = identity + 1
    if first <= gap.last:
        left.append(Gap(first=first, last=gap.last, missed_at=gap.missed_at))
    return left


def _bounded(gaps: list[Gap]) -> list[Gap]:
    """At most ``GAPS_MAX`` gaps: neighbours are joined, with what lies between them, as if missed last.

    What lies between is read again then, and dropped as a duplicate.
    """
    gaps = sorted(gaps, key=lambda gap: gap.first)
    apart = sorted(range(1, len(gaps)), key=lambda n: gaps[n].first - gaps[n - 1].last, reverse=True)
    starts = [0, *sorted(apart[: GAPS_MAX - 1]), len(gaps)]
    groups = [gaps[start:end] for start, end in pairwise(starts) if start < end]
    return [
        Gap(first=group[0].first, last=group[-1].last, missed_at=max(gap.missed_at for gap in group))
        for group in groups
    ]


def _problem(row: Any) -> str | None:
    """Why a row makes no fact."""
    if row.kind not in NEEDED:
        return f"kind {row.kind!r} is none of {', '.join(NEEDED)}"
    missing = [name for name in (*ALWAYS, *NEEDED[row.kind]) if getattr(row, name) in (None, "")]
    if missing:
        return f"{row.kind} {row.ref} has nothing usable in {', '.join(missing)}"
    for name in ("amount", "open_amount"):
        amount = getattr(row, name)
        if amount is not None and not amount.is_finite():
            return f"{row.kind} {row.ref}: {name} is no number"
    return None


def _values(row: Any) -> dict[str, Value]:
    """A row under the names of a receivables line; amounts with the digits of their currency."""
    names: dict[str, dict[str, str]] = {
        "invoice": {"ref": "ref", "customer_no": "customer_no", "issued_on": "issued_on", "due_on": "due_on"},
        "charge": {"ref": "ref", "invoice": "invoice_no", "charge_ref": "charge_ref"},
        "payment": {"ref": "ref", "invoice": "invoice_no", "received_on": "issued_on"},
        "void": {"ref": "ref", "voided_on": "issued_on", "reason": "reason"},
    }
    values: dict[str, Value] = {name: getattr(row, column) for name, column in names[row.kind].items()}
    values |= {"project_no": row.project_no, "currency": row.currency}
    for name in ("amount", "open_amount"):
        if (amount := getattr(row, name)) is not None:
            values[name] = exact(amount, row.currency)
    return values


def exact(amount: Decimal, currency: str) -> Decimal:
    """An amount with the digits of its currency; one that has more keeps them, and is refused later."""
    short = amount.quantize(Decimal(1).scaleb(-minor_digits(currency)))
    return short if short == amount else amount


def _record(number: int, name: str, values: dict[str, Value]) -> Record:
    raw = msgspec.json.encode({name: value for name, value in values.items() if value is not None})
    return Record(number=number, tag="", name=name, values=values, raw=raw)
