"""Lanes in shadow: what they would have sent beside what another integration wrote, and going live.

Nothing is written to the peer here. Going live is a person's act: what agrees is adopted under the record's
id, what does not becomes an exception, what is missing is owed only where that was asked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import sha256

import msgspec
import trio

from isthmus.delivery.attempt import delivery_for
from isthmus.delivery.compare import VERDICTS, Decided, Line, compare
from isthmus.delivery.gate import NOT_SENT
from isthmus.delivery.lane import Lane
from isthmus.delivery.peer import Peer
from isthmus.delivery.settle import SHADOW
from isthmus.events.base import BusinessEvent
from isthmus.events.finance import ChargeDetermined
from isthmus.ops.errors import NotFound, Refused
from isthmus.sdk.connector import Candidate, Receipt, Sink
from isthmus.sdk.errors import ConnectorError, Rejected
from isthmus.store import audit, crosswalk, dead_letters, deliveries, receipts, recovery, shadows
from isthmus.store import log as event_log
from isthmus.store.errors import CrosswalkConflict
from isthmus.store.face import Store, Tx

__all__ = ["GoneLive", "ShadowReport", "Shadows"]

PAGE = 500
"""Facts the sink is asked about at once, and facts one transaction settles."""
ASK_S = 300.0
"""The longest one page may take to be looked up."""


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """One lane: each fact it decided in shadow, each record nobody stands behind, and the sums."""

    lane: str
    stage: str
    at: datetime
    counts: dict[str, int]
    """By verdict."""
    amounts: dict[str, dict[str, Decimal]]
    """By verdict and currency: of extras what the peer has, of the rest what the lane would have sent."""
    lines: list[Line]

    @property
    def agrees(self) -> bool:
        """Whether nothing is there for a person to look at."""
        return not any(self.counts[verdict] for verdict in VERDICTS if verdict not in ("agree", "cancelled"))


class GoneLive(msgspec.Struct, frozen=True, kw_only=True):
    """What going live came to, or would."""

    report: ShadowReport
    adopted: int
    exceptions: int
    owed: int
    """Facts that are missing over there and are sent now."""
    dry_run: bool


class Shadows:
    """Questions and acts about lanes in shadow."""

    def __init__(
        self,
        store: Store,
        lanes: Mapping[str, Lane],
        peers: Mapping[str, Peer],
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._peers = peers
        self._now = now

    async def report(self, name: str) -> ShadowReport:
        """Compare what a lane has decided in shadow with what is in the peer now.

        Raises:
            NotFound: there is no such lane.
            Refused: the peer cannot be asked now; the message has its words.
        """
        return _bare(await self._compared(name))

    async def _compared(self, name: str) -> ShadowReport:
        lane = self._lane(name)
        sink = self._sink(lane)
        decided: list[Decided] = []
        found: dict[str, Candidate] = {}
        alone: list[Line] = []
        after = 0
        while True:
            rows = await self._store.read(lambda tx, after=after: _page(tx, name, after))  # type: ignore[misc]
            if not rows:
                break
            after = rows[-1].seq
            facts = [(row, row.event()) for row in rows]
            candidates = await _ask(lane, sink, [event for _, event in facts])
            if candidates is None:
                alone += [await _look_up(lane, sink, _decided(row, event), event) for row, event in facts]
                continue
            decided += [_decided(row, event) for row, event in facts]
            for each in candidates:
                known = found.get(each.remote_id)
                stands_for = {**(known.stands_for if known else {}), **each.stands_for}
                sure = each.sure or (known is not None and known.sure)
                found[each.remote_id] = msgspec.structs.replace(each, stands_for=stands_for, sure=sure)
        instance = lane.instance
        free = await self._store.read(lambda tx: _free(tx, instance, found.values()))
        lines = compare(decided, free) + alone
        return ShadowReport(
            lane=name,
            stage=lane.stage,
            at=self._now(),
            counts={verdict: sum(line.verdict == verdict for line in lines) for verdict in VERDICTS},
            amounts={
                verdict: _sums(line for line in lines if line.verdict == verdict) for verdict in VERDICTS
            },
            lines=lines,
        )

    async def go_live(
        self, name: str, *, by: str, why: str, send_missing: bool = False, dry_run: bool = False
    ) -> GoneLive:
        """Settle everything a lane decided in shadow, page by page; one that was interrupted goes on.

        The lane stands still meanwhile: it is configured live, and starts only when nothing is left open.

        Raises:
            NotFound: there is no such lane.
            Refused: the configuration says it is in shadow, or the peer cannot be asked now.
        """
        lane = self._lane(name)
        if lane.stage != "live" and not dry_run:
            raise Refused(
                f'lane {name} is in shadow by its configuration; write stage = "live" under [lanes.{name}] '
                "and restart: it then stands still, and sends nothing, until go-live has settled what it "
                "decided in shadow"
            )
        report = await self._compared(name)
        lines = [line for line in report.lines if line.seq is not None]
        fates: list[shadows.Outcome | None] = [_fate(line, send_missing) for line in lines]
        at = self._now()
        if not dry_run:
            fates = []
            for start in range(0, len(lines), PAGE):
                part = lines[start : start + PAGE]

                def unit(tx: Tx, part: Sequence[Line] = part) -> list[shadows.Outcome | None]:
                    ended = [_settle(tx, lane, each, send_missing, by, why, at) for each in part]
                    said = {"lane": name, "send_missing": send_missing, "reason": why, **_counted(ended)}
                    audit.append(tx, by, "lane.go-live", said, at)
                    return ended

                fates += await self._store.write(unit)
        return GoneLive(report=_bare(report), dry_run=dry_run, **_counted(fates))

    def _lane(self, name: str) -> Lane:
        if name not in self._lanes:
            raise NotFound(f"no delivery lane {name!r} that is not off; 'isthmus lane list' shows the lanes")
        return self._lanes[name]

    def _sink(self, lane: Lane) -> Sink:
        peer = self._peers[lane.instance]
        if peer.opened is None or peer.opened.sink is None:
            raise Refused(f"connector {lane.instance} is not open; 'isthmus status' says why")
        if not peer.may_be_asked(self._now()):
            raise Refused(f"connector {lane.instance} rests or is paused; 'isthmus status' says until when")
        return peer.opened.sink


def _counted(fates: Sequence[shadows.Outcome | None]) -> dict[str, int]:
    """How many were adopted, left to a person, and sent."""
    return {
        "adopted": fates.count("adopted"),
        "exceptions": fates.count("exception"),
        "owed": fates.count("owed"),
    }


def _bare(report: ShadowReport) -> ShadowReport:
    """Without the receipts, which are for adopting only."""
    lines = [msgspec.structs.replace(line, receipt=None) for line in report.lines]
    return msgspec.structs.replace(report, lines=lines)


def _page(tx: Tx, lane: str, after: int) -> list[event_log.LogRow]:
    return event_log.by_seqs(tx, shadows.open_page(tx, lane, after, PAGE))


def _decided(row: event_log.LogRow, event: BusinessEvent) -> Decided:
    if isinstance(event, ChargeDetermined):
        return Decided(
            seq=row.seq,
            event_id=row.id,
            about=event.charge,
            amount=event.amount,
            currency=event.currency,
            quantity=event.quantity,
            dated=event.posting_on,
            reverses=event.reverses,
        )
    return Decided(seq=row.seq, event_id=row.id, about=f"{row.kind.partition('.')[0]} {row.subject}")


async def _ask(lane: Lane, sink: Sink, events: Sequence[BusinessEvent]) -> Sequence[Candidate] | None:
    try:
        with trio.fail_after(ASK_S):
            return await sink.match(events)
    except (ConnectorError, trio.TooSlowError) as error:
        raise _unanswered(lane, error) from error


async def _look_up(lane: Lane, sink: Sink, fact: Decided, event: BusinessEvent) -> Line:
    """One fact of a sink that cannot match: by our key, where it can be searched by that."""
    line = Line(
        verdict="unknown",
        about=fact.about,
        event_id=fact.event_id,
        seq=fact.seq,
        amount=fact.amount,
        currency=fact.currency,
        detail=f"connector {lane.instance} cannot look it up",
    )
    changed = msgspec.structs.replace
    try:
        with trio.fail_after(lane.timeout_s):
            receipt = await sink.find(delivery_for(lane, fact.event_id, event))
    except NotImplementedError:
        return line
    except Rejected as refused:
        return changed(line, verdict="differ", detail=refused.peer_words or str(refused))
    except (ConnectorError, trio.TooSlowError) as error:
        raise _unanswered(lane, error) from error
    if receipt is None:
        return changed(line, verdict="missing", detail="")
    return changed(line, verdict="agree", records=[receipt.remote_id], receipt=receipt, detail=receipt.detail)


def _unanswered(lane: Lane, error: Exception) -> Refused:
    return Refused(f"{lane.instance} cannot be compared with now: {str(error) or 'no answer in time'}")


def _free(tx: Tx, instance: str, candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates without what the crosswalk knows to be another fact's record."""
    free = []
    for each in candidates:
        fits = {
            event: receipt
            for event, receipt in each.stands_for.items()
            if all(
                crosswalk.key_of(tx, instance, link.kind, link.remote_id) in (None, link.key)
                for link in receipt.links
            )
        }
        if fits or crosswalk.key_of(tx, instance, "charge", each.remote_id) is None:
            free.append(msgspec.structs.replace(each, stands_for=fits))
    return free


def _sums(lines: Iterable[Line]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for line in lines:
        if line.amount is not None and line.currency is not None:
            sums[line.currency] = sums.get(line.currency, Decimal(0)) + line.amount
    return sums


def _fate(line: Line, send_missing: bool) -> shadows.Outcome:
    match line.verdict:
        case "agree" | "cancelled":
            return "adopted"
        case "missing" if send_missing:
            return "owed"
    return "exception"


def _settle(
    tx: Tx, lane: Lane, line: Line, send_missing: bool, by: str, why: str, at: datetime
) -> shadows.Outcome | None:
    """Carry out the fate of one fact; None where that was done already."""
    assert line.seq is not None
    name, seq, fate = lane.name, line.seq, _fate(line, send_missing)
    (row,) = event_log.by_seqs(tx, [seq])
    if not shadows.end(tx, name, seq, fate):
        return None
    match fate:
        case "adopted" if line.receipt is not None:
            try:
                _adopt(tx, lane, seq, line.receipt, f"adopted, {by}: {why}", at)
            except CrosswalkConflict as conflict:
                _ask_person(tx, lane, row, "duplicate", f"it could not be adopted: {conflict}", at)
                return "exception"
        case "adopted":
            receipts.add(tx, name, seq, NOT_SENT, at, line.detail)
        case "owed":
            deliveries.schedule(tx, name, seq, row.subject, at)
        case _:
            reason_class = "duplicate" if line.verdict in ("differ", "ambiguous") else "in_doubt"
            _ask_person(tx, lane, row, reason_class, _words(line, lane.instance), at)
    return fate


def _adopt(tx: Tx, lane: Lane, seq: int, receipt: Receipt, detail: str, at: datetime) -> None:
    for link in receipt.links:
        crosswalk.link(tx, link.kind, link.key, lane.instance, link.remote_id, at)
    receipts.add(tx, lane.name, seq, receipt.remote_id, at, detail)
    event_log.append(tx, list(receipt.facts), at)


def _ask_person(
    tx: Tx, lane: Lane, row: event_log.LogRow, reason_class: str, reason: str, at: datetime
) -> None:
    """Nobody sends it, and what follows of its subject waits, until a person has decided."""
    deliveries.postpone(
        tx, lane.name, row.seq, row.subject, recovery.NEVER, 0, SHADOW, reason, at, "in_doubt"
    )
    dead_letters.open_one(
        tx,
        "delivery",
        lane.name,
        reason_class,
        reason,
        at,
        seq=row.seq,
        subject=row.subject,
        payload_hash=sha256(row.payload).hexdigest(),
        payload_place=row.id,
    )


def _words(line: Line, instance: str) -> str:
    """Why a person must look, in one sentence."""
    records = ", ".join(line.records[:5])
    match line.verdict:
        case "differ":
            fields = "; ".join(f"{each.field} is {each.theirs}, not {each.ours}" for each in line.differences)
            return f"when the lane went live, {instance} had {records or 'a record'}: {fields or line.detail}"
        case "ambiguous":
            return f"when the lane went live, {instance} had {records}: {line.detail}"
        case "missing":
            return f"when the lane went live, {instance} had no record of it"
    return f"when the lane went live, nobody could see whether {instance} has it: {line.detail}"
