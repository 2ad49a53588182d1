"""How a stream is read: sweeps over a stamp, and the cursor that says where one stands.

A sweep reads everything between the last one (less an overlap) and a few seconds ago, ordered by stamp and
id, and continues behind the last row it saw. Rows with one stamp are told apart by id; rows that became
visible late are met by the overlap. Stamps have whole seconds, so a second is read only when it is over.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

import msgspec

from isthmus.sdk import Fatal, Retryable
from isthmus_salesforce.client import quoted, select
from isthmus_salesforce.fields import Stream
from isthmus_salesforce.settings import SalesforceSettings


class Sweep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cursor. ``reached`` is how far earlier sweeps came.

    The others are set within a sweep: its window, and the last row seen.
    """

    reached: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    at: datetime | None = None
    id: str | None = None


def read_cursor(cursor: bytes | None) -> Sweep:
    """
    Raises:
        Fatal: the bytes are no cursor of this plugin.
    """
    if cursor is None:
        return Sweep()
    try:
        return msgspec.json.decode(cursor, type=Sweep)
    except msgspec.DecodeError as error:
        raise Fatal(f"the cursor {cursor[:80]!r} is none of this plugin's: {error}") from error


def write_cursor(sweep: Sweep) -> bytes:
    return msgspec.json.encode(sweep)


def begun(sweep: Sweep, now: datetime, settings: SalesforceSettings) -> Sweep:
    """The sweep to read now: the one that is under way, or a new one up to ``settle_s`` ago."""
    if sweep.until is not None:
        return sweep
    since = None
    if sweep.reached is not None:
        since = sweep.reached - timedelta(seconds=settings.overlap_s)
    elif settings.read_from is not None:
        since = datetime.combine(settings.read_from, time(), UTC)
    until = (now - timedelta(seconds=settings.settle_s)).astimezone(UTC).replace(microsecond=0)
    return Sweep(reached=sweep.reached, since=since, until=until)


def check_order(rows: Sequence[tuple[datetime, str]], sweep: Sweep) -> None:
    """Only stamps are compared: in which order ids of one stamp come is the server's own.

    Args:
        rows: Stamp and id of each row of a page.

    Raises:
        Retryable: the page repeats the row it should lie behind, or is not in order within its window:
            reading on from it would never end, or pass rows by.
    """
    assert sweep.until is not None, "a sweep that was begun has an end"
    reached = sweep.at or sweep.since
    for stamp, id in rows:
        early = reached is not None and stamp < reached
        if early or stamp >= sweep.until or (stamp, id) == (sweep.at, sweep.id):
            raise Retryable(f"{id} of {stamp.isoformat()} is not where the query asked for it")
        reached = stamp


def after_page(
    sweep: Sweep, last: tuple[datetime, str] | None, *, more: bool, served_at: datetime | None
) -> Sweep:
    """The cursor behind a page.

    A finished sweep counts only as far as the server's own clock had come: when ours is ahead, the rest of
    the window is still to be written.

    Args:
        last: Stamp and id of the page's last row.
    """
    if more and last is not None:
        return msgspec.structs.replace(sweep, at=last[0], id=last[1])
    ends = [moment for moment in (sweep.until, served_at) if moment is not None]
    starts = [moment for moment in (sweep.reached,) if moment is not None]
    return Sweep(reached=max([min(ends), *starts]))


def soql(name: str, stream: Stream, sweep: Sweep, settings: SalesforceSettings) -> str:
    """The query for the next page of ``sweep`` through the stream ``name``."""
    assert sweep.until is not None, "a sweep that was begun has an end"
    stamp = stream.stamp
    conditions = [f"{stamp} < {literal(sweep.until)}"]
    if sweep.at is not None:
        at = literal(sweep.at)
        conditions.append(f"(({stamp} = {at} AND Id > {quoted(sweep.id or '')}) OR {stamp} > {at})")
    elif sweep.since is not None:
        conditions.append(f"{stamp} >= {literal(sweep.since)}")
    further = (stream.where, settings.where.get(name))
    conditions += [f"({condition})" for condition in further if condition]
    return select(
        columns(stream.item, settings, stamp=stream.stamp),
        settings.named(stream.item),
        where=conditions,
        order=(stamp, "Id"),
        limit=settings.page_size,
    )


def columns(item: str, settings: SalesforceSettings, *, stamp: str = "SystemModstamp") -> list[str]:
    """What an org calls the fields of ``item``."""
    return ["Id", "IsDeleted", stamp, *(settings.named(field) for field in settings.fields(item))]


def renamed(
    item: str, record: dict[str, Any], settings: SalesforceSettings, *, stamp: str = "SystemModstamp"
) -> dict[str, Any]:
    """A record under our field names: look-ups flat, a single currency filled in."""
    row = {"Id": record.get("Id"), "IsDeleted": record.get("IsDeleted"), "SystemModstamp": record.get(stamp)}
    row |= {field: _at(record, settings.named(field)) for field in settings.fields(item)}
    if settings.currency is not None:
        row["CurrencyIsoCode"] = settings.currency
    return row


def _at(record: Any, path: str) -> Any:
    """The value at a path through look-ups; None where one of them is empty."""
    for part in path.split("."):
        record = record.get(part) if isinstance(record, dict) else None
    return record


def literal(moment: datetime) -> str:
    """An instant as SOQL takes it, unquoted."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
