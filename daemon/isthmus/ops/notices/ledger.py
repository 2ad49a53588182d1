"""What owners were told, kept in the store, and what there is to tell, read from it."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

import msgspec

from isthmus.events.values import decode_hook
from isthmus.ops.notices.deciding import Book, Item, Key, Notice
from isthmus.ops.work_items import domain_of, owner_of, stake_of
from isthmus.store import dead_letters, states
from isthmus.store.face import Tx

__all__ = ["NAME", "OPERATIONS", "faults", "load", "open_items", "save"]

NAME = "(notices)"
"""Under which books are kept; no process has this name."""
OPERATIONS = "operations"
"""The domain of what stands still."""

_encoder = msgspec.json.Encoder(decimal_format="string")


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A book as it is stored: numbers of exceptions as runs, for ten thousand of them come in a row."""

    told: list[tuple[int, int] | str] = []
    tells: list[tuple[int, int] | str] = []
    since: datetime | None = None
    last_at: datetime | None = None
    alarmed: bool = False
    notice: Notice | None = None
    failures: int = 0
    due_at: datetime | None = None
    gone: str = ""


_decoder = msgspec.json.Decoder(_Kept, dec_hook=decode_hook)


def load(tx: Tx, book: str) -> Book:
    """The book of this name; a new one where there is none."""
    row = states.get(tx, NAME, book)
    if row is None:
        return Book()
    kept = _decoder.decode(row)
    fields = {name: getattr(kept, name) for name in kept.__struct_fields__}
    return Book(**{**fields, "told": _keys(kept.told), "tells": _keys(kept.tells)})


def save(tx: Tx, book: str, known: Book) -> None:
    fields = {name: getattr(known, name) for name in known.__struct_fields__}
    kept = _Kept(**{**fields, "told": _runs(known.told), "tells": _runs(known.tells)})
    states.put(tx, NAME, book, _encoder.encode(kept).decode())


def open_items(tx: Tx, owners: Mapping[str, str]) -> dict[str, list[Item]]:
    """Every unsolved exception by its owner.

    Args:
        owners: By domain.
    """
    found: dict[str, list[Item]] = {}
    for each in dead_letters.all_unsolved(tx):
        stake = stake_of({"amount": each.amount, "total": each.total, "currency": each.currency})
        item = Item(
            key=each.id,
            error_class=each.error_class,
            where=each.lane_or_source,
            subject=each.subject,
            amount=None if stake is None else stake.amount,
            currency="" if stake is None else stake.currency,
            waits=each.state == "open",
        )
        found.setdefault(owner_of(each.assigned_to, domain_of(each.type), owners), []).append(item)
    return found


def faults(parked: Collection[str], quarantined: Collection[str]) -> list[Item]:
    """Connectors, streams, lanes and plugins that stand still."""
    return [
        Item(key=f"{what} {name}", error_class=what, where=name)
        for what, names in (("parked", parked), ("quarantined", quarantined))
        for name in sorted(names)
    ]


def _runs(keys: Iterable[Key]) -> list[tuple[int, int] | str]:
    runs: list[tuple[int, int] | str] = []
    first = last = None
    for number in sorted(key for key in keys if isinstance(key, int)):
        if last is not None and first is not None and number != last + 1:
            runs.append((first, last))
            first = None
        first, last = number if first is None else first, number
    if first is not None and last is not None:
        runs.append((first, last))
    return [*runs, *sorted(key for key in keys if isinstance(key, str))]


def _keys(runs: Iterable[tuple[int, int] | str]) -> frozenset[Key]:
    keys: set[Key] = set()
    for run in runs:
        if isinstance(run, str):
            keys.add(run)
        else:
            keys.update(range(run[0], run[1] + 1))
    return frozenset(keys)
