"""Facts out of NetSuite, by SuiteQL: invoices, credits and payments by keyset, periods by comparison."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
import trio

from isthmus.events import BusinessEvent
from isthmus.sdk import ConnectorError, Context, Fatal, Link, Page, Refused, Rejected, Retryable, Source
from isthmus_netsuite import reading
from isthmus_netsuite.client import Client, Row
from isthmus_netsuite.directory import Directory, listed, quoted
from isthmus_netsuite.reading import Frame, Lines, Party, PeriodState
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.stamps import (
    ORACLE_STAMP,
    Cursor,
    Moment,
    is_again,
    moment_of,
    read_cursor,
    reread_from,
    to_stamp,
    told_twice,
    write_cursor,
)

TYPES = {"invoices": "CustInvc", "credits": "CustCred", "payments": "CustPymt"}
T = TypeVar("T")
PLACES = {"invoices": "invoice", "credits": "creditMemo", "payments": "customerPayment"}


class PeriodsCursor(msgspec.Struct, frozen=True, kw_only=True):
    """What was last told of each period, by internal id."""

    periods: dict[str, PeriodState] = {}


class NetSuiteSource(Source):
    """Four streams; each is read again from its watermark less the overlap."""

    streams = ("invoices", "credits", "payments", "periods")

    def __init__(
        self, client: Client, directory: Directory, settings: NetSuiteSettings, ctx: Context
    ) -> None:
        self._client = client
        self._directory = directory
        self._settings = settings
        self._ctx = ctx

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        try:
            if stream == "periods":
                return await self._periods(read_cursor(cursor, PeriodsCursor))
            return await self._transactions(stream, read_cursor(cursor, Cursor))
        except Rejected as error:
            raise Fatal(
                f"NetSuite refuses to be read: {error}; run the probe: a table, a column or a permission is "
                "missing",
                peer_words=error.peer_words,
            ) from error

    async def _transactions(self, stream: str, cursor: Cursor) -> Page:
        """One page of a sweep, in the order (stamp, id), which no later change can reorder backwards."""
        since = cursor.since
        if not cursor.sweeping and cursor.watermark:
            since = reread_from(cursor.watermark, self._settings.overlap_s, self._settings.zone)
        rows, more = await self._client.page(self._sweep(stream, since, cursor))
        _require_order(rows, cursor, self._settings.zone)
        page = _Reading(self._ctx.instance)
        if rows:
            await self._translate(stream, rows, page)
        watermark = max([cursor.watermark, *(row["modified"] for row in rows)])
        after = Cursor(watermark=watermark)
        if more:
            last = rows[-1]
            after = Cursor(watermark=watermark, since=since, stamp=last["modified"], id=int(last["id"]))
        return Page(
            events=page.events, next=write_cursor(after), more=more, refused=page.refused, links=page.links
        )

    def _sweep(self, stream: str, since: str, cursor: Cursor) -> str:
        """The SuiteQL of the next page. Values in it are stamps, digits and our own prefix."""
        where = [f"type = {quoted(TYPES[stream])}"]
        if cursor.sweeping:
            at = _date(cursor.stamp)
            where.append(f"(lastmodifieddate > {at} OR (lastmodifieddate = {at} AND id > {cursor.id}))")
        elif since:
            where.append(f"lastmodifieddate >= {_date(since)}")
        where.append(f"({self._settled()})")
        if stream == "credits" and self._settings.record_key == "custom_field":
            where.append("custbody_isth_charge IS NULL")
        elif stream == "credits":
            ours = quoted(self._settings.external_id_prefix + ":%")
            where.append(f"(externalid IS NULL OR externalid NOT LIKE {ours})")
        return (
            "SELECT id, tranid, entity, currency, status, approvalstatus, voided, memo, externalid, "  # noqa: S608
            "foreigntotal AS total, TO_CHAR(trandate, 'YYYY-MM-DD') AS trandate, "
            f"TO_CHAR(duedate, 'YYYY-MM-DD') AS duedate, "
            f"TO_CHAR(lastmodifieddate, '{ORACLE_STAMP}') AS modified "
            f"FROM transaction WHERE {' AND '.join(where)} ORDER BY lastmodifieddate, id"
        )

    def _settled(self) -> str:
        """The condition for changes that are old enough, though the clock may show their time again."""
        now, zone = self._ctx.now(), self._settings.zone
        settled = now - timedelta(seconds=self._settings.settle_s)
        condition = f"lastmodifieddate <= {_date(to_stamp(settled, zone))}"
        if is_again(settled, zone):  # what is stamped later than now was saved in the hour before
            condition += f" OR lastmodifieddate > {_date(to_stamp(now, zone))}"
        return condition

    async def _translate(self, stream: str, rows: Sequence[Row], page: "_Reading") -> None:
        ids = [row["id"] for row in rows]
        lines = await self._lines(ids)
        moments = await self._moments(stream, rows)
        symbols = await self._directory.symbols(row["currency"] for row in rows if "currency" in row)
        applied: Mapping[str, list[Row]] = {}
        if stream == "invoices":
            parties = await self._directory.parties(row["entity"] for row in rows if "entity" in row)
        else:
            applied = await self._applied(ids)
            owners = (row["entity"] for links in applied.values() for row in links if "entity" in row)
            parties = await self._directory.parties(owners)
        for row in rows:
            id = row["id"]
            try:
                settled = _value(lines.get(id, Lines()))
                saved = _value(moments[id])
                if saved is None:
                    continue  # saved again meanwhile: the next sweep tells what it is now
                if row["currency"] not in symbols:
                    raise ValueError(f"currency {row['currency']} is not in the account's list")  # noqa: TRY301
                frame = Frame(
                    source=self._ctx.instance,
                    entity=self._settings.entity_of(settled.subsidiary) or self._ctx.entity,
                    currency=symbols[row["currency"]],
                    saved=saved,
                )
                if stream == "invoices":
                    page.add_invoice(row, settled, parties[row["entity"]], frame, self._ctx.key(id))
                else:
                    await self._settlements(stream, row, applied.get(id, ()), parties, frame, page)
            except (KeyError, ValueError) as error:
                page.refuse(error, f"/services/rest/record/v1/{PLACES[stream]}/{id}", row)

    async def _settlements(
        self,
        stream: str,
        row: Row,
        applied: Sequence[Row],
        parties: Mapping[str, Party],
        frame: Frame,
        page: "_Reading",
    ) -> None:
        """What a payment or credit memo settles, one fact per invoice; unapplied it says nothing yet."""
        for link in applied:
            invoice = await self._directory.key("invoice", link["previousdoc"])
            project = parties[link["entity"]].project
            # One payment may settle several invoices, and one more later: the key names both.
            remote_id = f"{row['id']}/{link['previousdoc']}"
            tell = reading.credit if stream == "credits" else reading.payment
            event = tell(row, link, frame, key=self._ctx.key(remote_id), invoice=invoice, project=project)
            page.events.append(event)
            if stream == "payments":
                page.links.append(Link(kind="payment", key=event.key, remote_id=remote_id))

    async def _moments(self, stream: str, rows: Sequence[Row]) -> dict[str, Moment | Exception | None]:
        """When each row was saved; None where it was saved again since.

        A stamp of the hour told twice does not say which telling it is of. The record itself does: the
        record service tells instants.
        """
        zone = self._settings.zone
        moments: dict[str, Moment | Exception | None] = {}

        async def ask(row: Row) -> None:
            try:
                at = await self._client.modified_at(PLACES[stream], row["id"])
            except (ConnectorError, ValueError) as error:
                moments[row["id"]] = error
                return
            same = at is not None and to_stamp(at, zone) == row["modified"]
            moments[row["id"]] = (
                moment_of(row["modified"], zone, again=is_again(at, zone)) if same and at else None
            )

        async with trio.open_nursery() as nursery:
            for row in rows:
                if told_twice(row["modified"], zone):
                    nursery.start_soon(ask, row)
                else:
                    moments[row["id"]] = moment_of(row["modified"], zone)
        if failed := [moment for moment in moments.values() if isinstance(moment, ConnectorError)]:
            raise failed[0]
        return moments

    async def _lines(self, ids: Sequence[str]) -> dict[str, Lines | Exception]:
        """The lines of these transactions, folded; what cannot be read is an error of its transaction."""
        folded: dict[str, Lines | Exception] = {}
        rows: list[Row] = []

        def fold() -> None:
            if rows:
                try:
                    folded[rows[0]["transaction"]] = reading.lines_of(rows)
                except (KeyError, ValueError) as error:
                    folded[rows[0]["transaction"]] = error
                rows.clear()

        async for row in self._client.walk(
            "transaction, id, mainline, subsidiary, custcol_isth_charge, custcol_isth_amount, "
            "custcol_isth_contract",
            "transactionline",
            where=f"transaction IN ({listed(ids)}) AND (mainline = 'T' OR custcol_isth_charge IS NOT NULL)",
            keys={"transaction": "transaction", "id": "id"},
        ):
            if rows and rows[0]["transaction"] != row["transaction"]:
                fold()
            rows.append(row)
        fold()
        return folded

    async def _applied(self, ids: Sequence[str]) -> dict[str, list[Row]]:
        """The invoices these payments or credit memos settle, with what each still asks for."""
        rows: dict[str, list[Row]] = defaultdict(list)
        async for row in self._client.walk(
            "l.nextdoc, l.previousdoc, SUM(l.foreignamount) AS foreignamount, i.entity, "
            "i.foreignamountunpaid AS unpaid",
            "previoustransactionlinelink l INNER JOIN transaction i ON i.id = l.previousdoc",
            where=f"l.nextdoc IN ({listed(ids)}) AND l.linktype = 'Payment' AND i.type = 'CustInvc'",
            keys={"nextdoc": "l.nextdoc", "previousdoc": "l.previousdoc"},
            group="l.nextdoc, l.previousdoc, i.entity, i.foreignamountunpaid",
        ):
            rows[row["nextdoc"]].append(row)
        return dict(rows)

    async def _periods(self, cursor: PeriodsCursor) -> Page:
        """All base periods, compared with what was last told of each; some hundred rows at most."""
        page = _Reading(self._ctx.instance)
        told = dict(cursor.periods)
        rows = [
            row
            async for row in self._client.walk(
                "id, periodname, closed, alllocked, arlocked, aplocked, "
                "TO_CHAR(startdate, 'YYYY-MM-DD') AS startdate, TO_CHAR(enddate, 'YYYY-MM-DD') AS enddate, "
                "TO_CHAR(closedondate, 'YYYY-MM-DD') AS closedondate",
                "accountingperiod",
                where="isyear = 'F' AND isquarter = 'F' AND isadjust = 'F'",
                keys={"id": "id"},
            )
        ]
        for row in sorted(rows, key=lambda row: row.get("startdate", "")):
            try:
                events, state = reading.period(
                    row,
                    told.get(row["id"], PeriodState()),
                    source=self._ctx.instance,
                    entity=self._ctx.entity,
                    zone=self._settings.zone,
                    now=self._ctx.now(),
                )
            except (KeyError, ValueError) as error:
                page.refuse(error, f"/services/rest/record/v1/accountingPeriod/{row.get('id')}", row)
                continue
            page.events.extend(events)
            if state != PeriodState():
                told[row["id"]] = state
        return Page(events=page.events, next=write_cursor(PeriodsCursor(periods=told)), refused=page.refused)


class _Reading:
    """What one page gathers."""

    def __init__(self, instance: str) -> None:
        self.events: list[BusinessEvent] = []
        self.refused: list[Refused] = []
        self.links: list[Link] = []

    def add_invoice(self, row: Row, lines: Lines, party: Party, frame: Frame, key: str) -> None:
        event = reading.invoice(row, lines, party, frame, key)
        if event is not None:
            self.events.append(event)
            self.links.append(Link(kind="invoice", key=key, remote_id=row["id"]))

    def refuse(self, error: Exception, place: str, row: Row) -> None:
        why = f"column {error} is missing" if isinstance(error, KeyError) else str(error)
        reason = f"{why}; correct the record in NetSuite, which tells it again"
        self.refused.append(Refused(reason=reason, place=place, raw=msgspec.json.encode(dict(row))))


def _value(found: T | Exception) -> T:
    """What was found; what went wrong is raised where its row is read."""
    if isinstance(found, Exception):
        raise found
    return found


def _require_order(rows: Sequence[Row], cursor: Cursor, zone: ZoneInfo) -> None:
    """Check that a page goes on behind the cursor; a peer that ignores the condition would loop for ever.

    The hour told twice is left out: there time may be in order while its stamps are not.

    Raises:
        Retryable: a row is not behind the one before it.
    """
    last = (cursor.stamp, cursor.id)
    for row in rows:
        at = (row["modified"], int(row["id"]))
        if at <= last and not told_twice(at[0], zone):
            raise Retryable(f"SuiteQL repeats itself: transaction {at[1]} of {at[0]} comes after {last}")
        last = at


def _date(stamp: str) -> str:
    return f"TO_DATE({quoted(stamp)}, '{ORACLE_STAMP}')"
