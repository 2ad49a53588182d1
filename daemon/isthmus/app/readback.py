"""Reads back both sides of a pair and the log between them, and compares.

The left side is read first, then the log, then the right side: what happens meanwhile is young, and so a
matter of timing.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial

import msgspec
import trio

from isthmus.config import ReconcileConfig
from isthmus.delivery.gate import NOT_SENT
from isthmus.delivery.lane import Lane
from isthmus.delivery.peer import Peer
from isthmus.reconcile.compare import Bounds, Difference, Result, Standing, compare
from isthmus.reconcile.facts import Known, Landed, PairKind, Told
from isthmus.reconcile.known import Scan, scan_of
from isthmus.sdk.connector import Census, CensusRow
from isthmus.sdk.errors import ConnectorError
from isthmus.store import crosswalk, deliveries, lanes, receipts, reconciliations
from isthmus.store import log as event_log
from isthmus.store.face import Store, Tx

log = logging.getLogger(__name__)

__all__ = ["LINKS", "Pair", "ReadBack", "fingerprint"]

PAGE = 2000
EARLIER = timedelta(days=31)
"""Work is told after it was done; this long before a window the log is read all the same."""
LATER = timedelta(days=62)
"""A charge may be posted to a later period than its work; so long after a window the right side is read."""
LISTENS_S = 1800.0
"""The longest a system may take to tell all it holds."""
CENSUS: Mapping[PairKind, tuple[str, str]] = {
    "time": ("time", "charge"),
    "expense": ("expense", "charge"),
    "milestone": ("milestone", "charge"),
    "invoice": ("invoice", "invoice"),
    "hours": ("time", "burn"),
    "contract": ("deal", "project"),
}
"""What each side is asked for."""
LINKS: Mapping[PairKind, str] = {
    "time": "charge",
    "expense": "charge",
    "milestone": "charge",
    "invoice": "invoice",
    "hours": "burn",
    "contract": "project",
}
"""The crosswalk's word for what stands on the right."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One pair as it is compared."""

    name: str
    given: ReconcileConfig
    lanes: tuple[Lane, ...]
    """The live lanes that write to its right side."""


class ReadBack:
    """Compares pairs; keeps nothing."""

    def __init__(
        self,
        store: Store,
        peers: Mapping[str, Peer],
        *,
        billing: Sequence[str],
        now: Callable[[], datetime],
    ) -> None:
        """
        Args:
            billing: The lanes of the process that decides about work.
        """
        self._store = store
        self._peers = peers
        self._billing = billing
        self._now = now

    async def compared(
        self, pair: Pair, done: reconciliations.Run
    ) -> tuple[reconciliations.Run, list[Difference]]:
        """Compare a pair in the window of ``done``; what came of it.

        Raises:
            ConnectorError: a side cannot be read back, now or ever.
        """
        given = pair.given
        left_kind, right_kind = CENSUS[given.kind]
        left = await self._rows(given.left, left_kind, done.since, done.until, given.entity)
        scan = scan_of(given.kind, done.since, done.until, left=given.left, entity=given.entity)
        known, billed = await self._known(pair, scan, done.since, frozenset(row.key for row in left))
        last = done.until if given.kind == "hours" else max(done.until, self._now().date()) + LATER
        right = await self._rows(given.right, right_kind, done.since, last, given.entity)
        left = [row for row in left if row.key in known.left or row.key not in scan.met]
        right = await self._concerned(pair, right, known, scan, done)
        bounds = Bounds(
            settled_before=done.started_at - timedelta(seconds=given.settle_s),
            tolerance=given.tolerance,
            hours_tolerance=given.hours_tolerance,
        )
        one, other = compare("left", known.left, left, bounds), compare("right", known.right, right, bounds)
        ours = [_aged(each, known, billed, bounds) for each in known.undecided]
        found = [*one.differences, *other.differences, *ours]
        explained = await self._store.read(lambda tx: reconciliations.explanations(tx, pair.name))
        return _summed(done, one, other, found, known, set(explained), self._now()), found

    async def _rows(
        self, instance: str, kind: str, since: date, until: date, entity: str | None
    ) -> list[CensusRow]:
        """All a side holds of a kind.

        Raises:
            ConnectorError: it cannot tell, now or ever.
        """
        census = self._census(instance, kind)
        try:
            with trio.fail_after(LISTENS_S):
                rows = [row async for row in census.rows(kind, since, until)]
        except trio.TooSlowError as error:
            raise ConnectorError(f"{instance} has not told all it holds within {LISTENS_S:g} s") from error
        except ConnectorError as error:
            raise ConnectorError(f"{instance}: {error}") from error
        except Exception as error:
            # A connector's bug is told like its peer's refusal: the other pairs are compared all the same.
            log.exception("reconcile.census_broke", extra={"connector": instance})
            raise ConnectorError(f"{instance} broke while it was read back: {error!r}") from error
        return [row for row in rows if entity is None or row.entity in (None, entity)]

    def _census(self, instance: str, kind: str) -> Census:
        opened = self._peers[instance].opened
        if opened is None:
            raise ConnectorError(f"{instance} is not open; see: isthmus status")
        if opened.census is None or kind not in opened.census.kinds:
            told = ", ".join(sorted(opened.census.kinds)) if opened.census is not None else "nothing"
            raise ConnectorError(f"{instance} cannot read back {kind}; it can read back {told}")
        return opened.census

    async def _known(self, pair: Pair, scan: Scan, since: date, shown: frozenset[str]) -> tuple[Known, int]:
        """What the log says must stand, and how far billing has read it."""
        begin = datetime.combine(since, time(), UTC) - EARLIER
        position = await self._store.read(lambda tx: event_log.seq_before(tx, begin))
        roads = [_Road(lane, position) for lane in pair.lanes]
        billed = await self._store.read(lambda tx: _read_so_far(tx, self._billing))
        for road in roads:
            await road.look(self._store)
        while True:
            page = partial(event_log.read_after, seq=position, kinds=scan.kinds, limit=PAGE)
            rows, upto = await self._store.read_in_turn(page)
            if upto == position:
                break
            for row in rows:
                scan.take(Told(seq=row.seq, recorded_at=row.recorded_at, event=row.event()))
            position = upto
            await trio.lowlevel.checkpoint()

        def road_of(told: Told) -> Landed | None:
            found = [landed for road in roads if (landed := road(told)) is not None]
            return found[0] if found else None

        return scan.known(road_of, shown), billed

    async def _concerned(
        self,
        pair: Pair,
        rows: Sequence[CensusRow],
        known: Known,
        scan: Scan,
        done: reconciliations.Run,
    ) -> list[CensusRow]:
        """The right side's rows this comparison is about: not those of other windows or kinds."""
        kept, strangers = [], []
        for row in rows:
            inside = row.on is None or done.since <= row.on <= done.until
            if row.key in known.right or (not row.key and inside):
                kept.append(row)
            elif row.key and inside and row.key not in scan.met:
                strangers.append(row)

        def linked(tx: Tx) -> set[str]:
            word, right = LINKS[pair.given.kind], pair.given.right
            return {row.key for row in strangers if crosswalk.remote(tx, word, row.key, right) is not None}

        elsewhere = await self._store.read(linked) if strangers else set()
        return kept + [row for row in strangers if row.key not in elsewhere]


class _Road:
    """Where facts stand in one lane, read at one moment."""

    def __init__(self, lane: Lane, after: int) -> None:
        self._lane = lane
        self._after = after
        self._done: dict[int, tuple[str, str]] = {}
        self._stuck: dict[int, deliveries.Delivery] = {}

    async def look(self, store: Store) -> None:
        """Read receipts and troubles, page by page."""
        name = self._lane.name
        position = self._after
        while page := await store.read_in_turn(partial(receipts.after, lane=name, seq=position, limit=PAGE)):
            for seq, remote_id, detail in page:
                self._done[seq] = (remote_id, detail)
            position = page[-1][0]
        stuck_after = 0
        while rows := await store.read(partial(deliveries.listing, lane=name, after=stuck_after, limit=PAGE)):
            self._stuck |= {row.seq: row for row in rows}
            stuck_after = rows[-1].seq

    def __call__(self, told: Told) -> Landed | None:
        """None: the lane does not take it."""
        lane, event = self._lane, told.event
        if event.kind not in lane.kinds or (lane.entities is not None and event.entity not in lane.entities):
            return None
        stuck = self._stuck.get(told.seq)
        if stuck is not None:  # also what was delivered once and is sent again
            stands: Mapping[str, Standing] = {"dead": "dead_letter", "in_doubt": "in_doubt"}
            words = f"lane {lane.name}: {stuck.error_text or stuck.state}"
            return Landed(lane=lane.name, standing=stands.get(stuck.state, "in_flight"), words=words)
        if told.seq not in self._done:
            return Landed(lane=lane.name, standing="in_flight", words=f"lane {lane.name} has not sent it yet")
        remote_id, detail = self._done[told.seq]
        standing: Standing = "not_sent" if remote_id == NOT_SENT else "there"
        return Landed(lane=lane.name, standing=standing, words=detail or remote_id, remote_id=remote_id)


def _read_so_far(tx: Tx, names: Sequence[str]) -> int:
    """How far the slowest of these lanes has read; to the end where there is none."""
    known = lanes.positions(tx)
    return min((known.get(name, 0) for name in names), default=event_log.head(tx))


def _aged(difference: Difference, known: Known, billed: int, bounds: Bounds) -> Difference:
    """What billing has not read, or heard a moment ago, is a matter of timing."""
    entry = known.left[difference.key]
    if difference.seq > billed or entry.changed_at > bounds.settled_before:
        return msgspec.structs.replace(difference, state="timing")
    return difference


def _summed(
    done: reconciliations.Run,
    left: Result,
    right: Result,
    found: Sequence[Difference],
    known: Known,
    explained: set[str],
    ended_at: datetime,
) -> reconciliations.Run:
    drift = [each for each in found if each.state == "drift"]
    open_ones = [each for each in drift if fingerprint(done.pair, each) not in explained]
    amounts: dict[str, Decimal] = {}
    for each in open_ones:
        if each.amount is not None and each.currency is not None:
            amounts[each.currency] = amounts.get(each.currency, Decimal(0)) + each.amount
    return msgspec.structs.replace(
        done,
        ended_at=ended_at,
        compared=left.compared + right.compared,
        matched=left.matched + right.matched,
        timing=len(found) - len(drift),
        explained=len(drift) - len(open_ones),
        drift=len(open_ones),
        held=known.held,
        amounts=amounts,
    )


def fingerprint(pair: str, difference: Difference) -> str:
    """What a difference looks like: another figure on any side makes it another one."""
    sides = (difference.left, difference.ours, difference.right)
    parts = [pair, difference.key, difference.kind, difference.side]
    parts += ["" if each is None else msgspec.json.encode(each).decode() for each in sides]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
