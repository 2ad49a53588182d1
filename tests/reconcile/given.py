"""Books of a firm as both sides hold them, and what a night behind our back does to them."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from isthmus.reconcile.compare import Bounds, Difference, Expected, Figures, Result, Side, compare
from isthmus.sdk.connector import CensusRow

NOW = datetime(2026, 11, 2, 5, 0, tzinfo=UTC)
BOUNDS = Bounds(settled_before=NOW - timedelta(hours=1))
LONG_AGO = NOW - timedelta(days=5)


class Books(msgspec.Struct):
    """What must stand on one side, and what stands there."""

    side: Side
    expected: dict[str, Expected]
    rows: list[CensusRow]

    def compared(self) -> Result:
        return compare(self.side, self.expected, self.rows, BOUNDS)


def clean(side: Side, size: int, seed: int = 1) -> Books:
    """Books that agree: hours and amounts as a firm has them, each record under its own key."""
    dice = random.Random(seed)
    expected, rows = {}, []
    for n in range(size):
        hours = Decimal(dice.randint(1, 32)) / 4
        # The cents make each record of a day another one, so that a copy is a copy of one record.
        amount = (hours * dice.choice((95, 150, 180)) + Decimal(n) / 100).quantize(Decimal("0.01"))
        key = f"{'psa' if side == 'left' else 'billing'}:{n}"
        figures = Figures(quantity=hours, amount=amount, currency="EUR", remote_id=f"r{n}")
        expected[key] = Expected(
            key=key, figures=figures, changed_at=LONG_AGO, words="timeBill", seq=n + 1, lane="erp"
        )
        rows.append(
            CensusRow(
                key=key,
                remote_id=f"r{n}",
                status="posted",
                amount=amount,
                currency="EUR",
                quantity=hours,
                on=date(2026, 10, 1) + timedelta(days=n % 28),
                changed_at=LONG_AGO,
            )
        )
    dice.shuffle(rows)
    return Books(side=side, expected=expected, rows=rows)


def edit(books: Books, at: int, n: int) -> tuple[str, str, Decimal]:
    """The amount of a record is changed; what was planted: key, kind, amount at stake."""
    row, more = books.rows[at], Decimal(n + 1) / 100
    books.rows[at] = replace(row, amount=(row.amount or 0) + more)
    return row.key, "amount" if books.side == "right" else "stale", more


def delete(books: Books, at: int, n: int) -> tuple[str, str, Decimal]:
    row = books.rows.pop(at)
    return row.key, "missing" if books.side == "right" else "extra", row.amount or Decimal(0)


def double(books: Books, at: int, n: int) -> tuple[str, str, Decimal]:
    """A copy that bears the key too, or, every other time, one without it."""
    row = books.rows[at]
    books.rows.append(replace(row, remote_id=f"copy{n}", key=row.key if n % 2 else ""))
    return row.key, "double", row.amount or Decimal(0)


def add(books: Books, at: int, n: int) -> tuple[str, str, Decimal]:
    """Somebody enters a record: on the left under a new id, on the right without a key of ours."""
    amount = Decimal(7000 + n)
    left = books.side == "left"
    books.rows.append(
        CensusRow(
            key=f"psa:new{n}" if left else "",
            remote_id=f"new{n}",
            status="posted",
            amount=amount,
            currency="EUR",
            on=date(2026, 10, 9),
            changed_at=LONG_AGO,
        )
    )
    return (f"psa:new{n}", "missing", amount) if left else (f"new{n}", "extra", amount)


def void(books: Books, at: int, n: int) -> tuple[str, str, Decimal]:
    row = books.rows[at]
    books.rows[at] = replace(row, status="voided")
    return row.key, "status", row.amount or Decimal(0)


NIGHT: tuple[Callable[[Books, int, int], tuple[str, str, Decimal]], ...] = (edit, delete, double, add, void)


def planted(books: Books, many: int, seed: int = 2) -> Counter[tuple[str, str, Decimal]]:
    """Do ``many`` things to as many different records; what must be found."""
    dice = random.Random(seed)
    todo = dice.sample([row.remote_id for row in books.rows], many)
    found: Counter[tuple[str, str, Decimal]] = Counter()
    for n, remote_id in enumerate(todo):
        at = next(i for i, row in enumerate(books.rows) if row.remote_id == remote_id)
        found[NIGHT[n % len(NIGHT)](books, at, n)] += 1
    return found


def told(differences: list[Difference]) -> Counter[tuple[str, str, Decimal]]:
    """The differences in the words of `planted`."""
    return Counter((each.key, each.kind, each.amount or Decimal(0)) for each in differences)
