"""What people ask and do: one set of questions and acts, used by the admin socket and by offline commands.

Every act is written to the audit trail in the transaction that does it, with who and why.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from isthmus.ops.books import Books, books
from isthmus.ops.closing import KINDS as CLOSE_KINDS
from isthmus.ops.closing import CloseReport, Closing, month_of
from isthmus.ops.errors import NotFound, Refused
from isthmus.ops.explain import Explanation, explain
from isthmus.ops.reconciling import drift_of
from isthmus.ops.replaying import Replay, Wanted, replay_page
from isthmus.ops.rewinding import CursorLine, Rewound, cursor_lines, rewind
from isthmus.ops.story import Step, tell
from isthmus.ops.tokens import TokenDesk
from isthmus.ops.workbench import Site, Workbench
from isthmus.store import anchors, audit, deliveries, lanes, receipts, shadows
from isthmus.store import log as event_log
from isthmus.store.copies import Copy, Standing, back_up, standing
from isthmus.store.errors import StoreDamaged
from isthmus.store.face import Store, Tx
from isthmus.store.open import BACKUPS_NAME
from isthmus.store.proof import Proof, Verdict

__all__ = ["Desk", "EventLine", "EventPage", "LogPage"]


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event in a list."""

    seq: int
    id: str
    type: str
    entity: str
    subject: str
    recorded_at: datetime
    stale: bool


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it was recorded; ``payload`` is its JSON."""

    seq: int
    id: str
    kind: str
    entity: str
    stale: bool
    payload: str


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows of the log, how long it is, and how far each lane has read."""

    head: int
    positions: dict[str, int]
    rows: list[LogRow]


LOG_PAGE_MAX = 2000
EXPLAINED_MAX = 200
"""More origins than anybody reads: a project's, not an invoice's."""
CLOSE_PAGE = 2000
CHECK_S = 900.0
"""How long a look at the whole file may take."""
SCAN = 20_000
"""Rows that one look for a charge reads, so that no read is long."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event stands in one lane."""

    lane: str
    state: str
    remote_id: str | None = None
    detail: str = ""
    at: datetime | None = None


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """One event whole: what it says and where it has arrived."""

    seq: int
    recorded_at: datetime
    event: dict[str, Any]
    lanes: list[Arrival]


class Desk:
    """Questions and acts over one store."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime],
        ring: Callable[[str], None] = lambda lane: None,
        anchors: Path | None = None,
        site: Site | None = None,
    ) -> None:
        """
        Args:
            ring: Wakes a lane that was given work.
            anchors: The file of the audit chain's anchors; None where there is none.
        """
        self._store = store
        self._now = now
        self._ring = ring
        self._anchors = anchors
        self._site = site or Site()
        self.work = Workbench(store, now=now, ring=ring, site=site)
        self.tokens = TokenDesk(store, now)

    async def events(
        self,
        *,
        kind: str | None = None,
        key: str | None = None,
        after: int = 0,
        since: datetime | None = None,
        limit: int = 50,
    ) -> list[EventLine]:
        """A page of the log, oldest first; ``key`` is any key of the event or its thread.

        Args:
            since: Only what was recorded then or later.
        """

        def unit(tx: Tx) -> list[event_log.LogRow]:
            start = after if since is None else max(after, event_log.seq_before(tx, since))
            return event_log.search(tx, kind=kind, key=key, after=start, limit=limit)

        rows = await self._store.read(unit)
        return [
            EventLine(
                seq=row.seq,
                id=row.id,
                type=row.type,
                entity=row.entity,
                subject=row.subject,
                recorded_at=row.recorded_at,
                stale=row.stale,
            )
            for row in rows
        ]

    async def log_page(self, *, after: int = 0, limit: int = 500) -> LogPage:
        """Raw rows of the log, oldest first, with how far every lane has read."""

        def unit(tx: Tx) -> LogPage:
            rows = event_log.search(tx, after=after, limit=min(limit, LOG_PAGE_MAX))
            return LogPage(
                head=event_log.head(tx),
                positions=lanes.positions(tx),
                rows=[
                    LogRow(
                        seq=row.seq,
                        id=row.id,
                        kind=row.kind,
                        entity=row.entity,
                        stale=row.stale,
                        payload=row.payload.decode(),
                    )
                    for row in rows
                ],
            )

        return await self._store.read(unit)

    async def event(self, event_id: str) -> EventPage:
        """One event by its id or its sequence number.

        Raises:
            NotFound: there is none.
        """

        def unit(tx: Tx) -> EventPage | None:
            if event_id.isascii() and event_id.isdigit():
                found = event_log.by_seqs(tx, [int(event_id)])
                row = found[0] if found else None
            else:
                row = event_log.by_id(tx, event_id)
            if row is None:
                return None
            return EventPage(
                seq=row.seq,
                recorded_at=row.recorded_at,
                event=msgspec.json.decode(row.payload),
                lanes=_arrivals(tx, row.seq),
            )

        page = await self._store.read(unit)
        if page is None:
            raise NotFound(f"no event {event_id!r}; 'isthmus event list' shows ids")
        return page

    async def trace(self, key: str) -> list[Step]:
        """The story of a business key, found by any system's id, in the order it was learnt.

        Raises:
            NotFound: no system knows the key.
        """
        steps = await self._store.read(lambda tx: tell(tx, key))
        if not steps and (origin := await self._origin_of(key)) is not None:
            steps = await self._store.read(lambda tx: tell(tx, origin))
        if not steps:
            raise NotFound(f"no system knows {key!r}; give a key or a record id of any system")
        return steps

    async def explain(self, key: str) -> list[Explanation]:
        """Why a charge, a time entry, an expense, a milestone or an invoice is billed as it is, or not yet.

        Raises:
            NotFound: no system knows the key, or billing has said nothing of it, or too much.
        """
        told = explain(await self.trace(key))
        if not told:
            raise NotFound(
                f"billing has not said anything of {key!r}; 'isthmus event trace' tells what happened"
            )
        if len(told) > EXPLAINED_MAX:
            raise NotFound(
                f"{key!r} has {len(told)} facts that are billed or held; give one of them, or an invoice"
            )
        return told

    async def _origin_of(self, charge: str) -> str | None:
        """The fact a charge was made of. One that no ERP has yet is in no index; it is likely a new one."""
        words = f'"charge":{msgspec.json.encode(charge).decode()}'
        kinds = frozenset({"charge.determined"})
        upto = await self._store.read(event_log.head)
        while upto > 0:
            after = max(upto - SCAN, 0)

            def look(tx: Tx, after: int = after, upto: int = upto) -> list[event_log.LogRow]:
                return event_log.mentioning(tx, words, kinds=kinds, after=after, upto=upto, limit=1)

            found = await self._store.read(look)
            if found:
                return found[0].subject
            upto = after
        return None

    async def replay(
        self,
        lane: str,
        *,
        by: str,
        why: str,
        kind: str | None = None,
        key: str | None = None,
        after: int = 0,
        until: int | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        kinds: frozenset[str] | None = None,
        dry_run: bool = False,
    ) -> Replay:
        """Owe events to a lane again, under the same idempotency keys, page by page.

        An event older than what the lane delivered of its subject is refused: newer state is never
        overwritten with older.

        Args:
            since: Only what was recorded then or later.
            before: Only what was recorded earlier.
            kinds: What the lane takes; events of other kinds are not matched.
        """
        at = self._now()
        wanted = Wanted(lane=lane, kind=kind, key=key, kinds=kinds, by=by, why=why, dry_run=dry_run)

        def bounds(tx: Tx) -> tuple[int, int]:
            first = after if since is None else max(after, event_log.seq_before(tx, since))
            last = event_log.head(tx) if until is None else until
            return first, last if before is None else min(last, event_log.seq_before(tx, before))

        position, last = await self._store.read(bounds)
        whole = Replay(matched=0, scheduled=0, refused=[], dry_run=dry_run)
        while position < last:
            page = partial(replay_page, wanted=wanted, after=position, last=last, now=at)
            position, part = await (self._store.read(page) if dry_run else self._store.write(page))
            whole = whole.and_then(part)
            self._ring(lane)
        return whole

    async def cursors(self) -> list[CursorLine]:
        """How far each source is read."""
        return await self._store.read(cursor_lines)

    async def rewind(
        self,
        connector: str,
        stream: str,
        to: datetime | None,
        *,
        by: str,
        why: str,
        dry_run: bool = False,
    ) -> Rewound:
        """Read a stream again from an earlier place.

        Raises:
            NotFound: there is no such cursor, or nobody knows where it stood then.
        """
        at = self._now()
        try:
            return await self._store.write(
                lambda tx: rewind(tx, connector, stream, to, at, by=by, why=why, dry_run=dry_run)
            )
        except LookupError as error:
            raise NotFound(str(error)) from error

    async def close_report(self, period: str, entity: str | None = None) -> CloseReport:
        """Whether a period can be closed, and what stands in the way.

        Raises:
            Refused: ``period`` is no month.
        """
        try:
            closing = Closing(period, entity)
        except ValueError as error:
            raise Refused(f"{period!r} is no period; write it as 2026-10") from error
        upto, head = 0, await self._store.read(event_log.head)
        while upto < head:
            start = upto
            rows, upto = await self._store.read(
                lambda tx, start=start: event_log.read_after(tx, start, CLOSE_KINDS, CLOSE_PAGE)  # type: ignore[misc]
            )
            for row in rows:
                closing.apply(row.seq, row.event())
            await trio.lowlevel.checkpoint()
        at, billing = self._now(), self._site.billing

        def unit(tx: Tx) -> CloseReport:
            settled = {seq: state for seq in closing.unposted if (state := _settled(tx, seq))}
            report = closing.report(upto=upto, billing=lanes.position(tx, billing), settled=settled, at=at)
            drift = [
                line
                for pair, owner in self._site.pairs.items()
                if None in (owner, entity) or owner == entity
                if (line := drift_of(tx, pair, *month_of(period))) is not None
            ]
            return msgspec.structs.replace(
                report, ready=report.ready and not drift, lines=[*report.lines, *drift]
            )

        return await self._store.read(unit)

    async def sign_close(
        self, period: str, entity: str | None = None, *, by: str, why: str, anyway: bool = False
    ) -> CloseReport:
        """Record in the audit trail who found a period ready, and what was seen.

        Raises:
            Refused: it is not ready, and nobody said to sign it anyway.
        """
        report = await self.close_report(period, entity)
        if not report.ready and not anyway:
            count = sum(line.count for line in report.lines)
            raise Refused(f"{period} is not ready: {count} things stand in the way; see: isthmus close check")
        seen = msgspec.to_builtins(report)
        detail = {"period": period, "entity": entity, "reason": why, "anyway": anyway, "seen": seen}
        await self._store.write(lambda tx: audit.append(tx, by, "close.sign", detail, report.at))
        return report

    async def back_up(self, target: Path | None, *, by: str) -> Copy:
        """Back the store up while it works; the copy counts when it was opened and found sound.

        Args:
            target: A file that does not exist; None: a new one among the backups of the state directory.

        Raises:
            Refused: the file exists, its directory does not, or the copy is not sound.
        """
        at = self._now()
        if target is None:
            target = self._store.path.parent / BACKUPS_NAME / f"isthmus-{at:%Y%m%dT%H%M%SZ}.db"
            await trio.Path(target.parent).mkdir(mode=0o700, exist_ok=True)
        try:
            copy = await back_up(self._store, target, at)
        except FileExistsError as error:
            raise Refused(f"{target} exists; a backup never goes over anything") from error
        except (StoreDamaged, OSError) as error:
            raise Refused(f"{target}: {error}") from error
        detail = {"file": str(target), "sha256": copy.sha256, "events": copy.events}
        await self._store.write(lambda tx: audit.append(tx, by, "db.backup", detail, at))
        return msgspec.structs.replace(copy, file=str(target))

    async def check(self, *, full: bool = False) -> Standing:
        """Look at the whole file."""
        return await self._store.read(lambda tx: standing(tx, full=full), limit_s=CHECK_S)

    async def books(self) -> Books:
        """The figures of `status` and the gauges: one read of small tables."""
        return await self._store.read(books)

    async def verify(self, progress: Callable[[int, int], None] = lambda at, of: None) -> Verdict:
        """Prove acts, events and receipts against their seals and anchors, in many short reads.

        Args:
            progress: Hears how many acts of how many were looked at.

        Raises:
            ValueError: the file of anchors is not one.
        """
        known = [] if self._anchors is None else anchors.read(self._anchors)
        proof = Proof(known)
        while not proof.done:
            await self._store.read(proof.step)
            progress(proof.at, proof.of or 0)
            await trio.lowlevel.checkpoint()
        return proof.verdict()


def _arrivals(tx: Tx, seq: int) -> list[Arrival]:
    """Receipts and troubles of one event."""
    got = [
        Arrival(
            lane=each.lane,
            state="delivered",
            remote_id=each.remote_id,
            detail=each.detail,
            at=each.delivered_at,
        )
        for each in receipts.of_event(tx, seq)
    ]
    stuck = [
        Arrival(lane=each.lane, state=each.state, detail=each.error_text, at=each.due_at)
        for each in deliveries.of_event(tx, seq)
    ]
    shaded = [
        Arrival(lane=each.lane, state="shadow", detail="decided, not sent", at=each.decided_at)
        for each in shadows.of_event(tx, seq)
        if each.outcome == "open"
    ]
    return got + stuck + shaded


def _settled(tx: Tx, seq: int) -> str | None:
    """How the delivery of a charge stands that no ERP has posted; None while it is simply under way."""
    # In shadow it is the other integration's to post; 'isthmus shadow report' tells whether it did.
    if receipts.of_event(tx, seq) or any(each.outcome == "open" for each in shadows.of_event(tx, seq)):
        return "done"
    states = {each.state for each in deliveries.of_event(tx, seq)}
    for state in ("dead", "in_doubt", "blocked"):
        if state in states:
            return state
    return "retrying" if states else None
