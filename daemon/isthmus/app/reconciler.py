"""Compares each pair of the configuration when it is due, or when somebody asks, and carries out repairs."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import NoReturn

import msgspec
import trio
from cronsim import CronSim

from isthmus.app.readback import LINKS, Pair, ReadBack, fingerprint
from isthmus.config import ReconcileConfig
from isthmus.delivery.lane import Lane
from isthmus.delivery.peer import Peer
from isthmus.events.codec import encode
from isthmus.ops.desk import Desk
from isthmus.ops.errors import NotFound, Refused
from isthmus.ops.metrics import Metrics
from isthmus.ops.reconciling import DifferenceLine, Mended, RunPage, line_of, page_of
from isthmus.reconcile.compare import Difference
from isthmus.reconcile.repair import Proposal, proposal
from isthmus.runtime.patience import wait_out
from isthmus.sdk.errors import ConnectorError
from isthmus.store import audit, crosswalk, deliveries, reconciliations
from isthmus.store import log as event_log
from isthmus.store.errors import StoreFull
from isthmus.store.face import Store, Tx

log = logging.getLogger(__name__)

__all__ = ["Reconciler"]

NAME = "reconcile"
ALL = "all"
"""The label of a pair that is compared over all legal entities."""


class Reconciler:
    """The actor. `run` never returns; everything else is asked through the admin socket."""

    def __init__(
        self,
        store: Store,
        pairs: Mapping[str, ReconcileConfig],
        lane_table: Mapping[str, Lane],
        peers: Mapping[str, Peer],
        desk: Desk,
        metrics: Metrics,
        *,
        now: Callable[[], datetime],
        ring: Callable[[], None],
        poll: Callable[[str | None], int],
        billing: Sequence[str] = (),
    ) -> None:
        """
        Args:
            ring: Wakes every lane and process.
            poll: Looks at the streams of a connector at once.
            billing: The lanes of the process that decides about work.
        """
        self._store = store
        self._desk = desk
        self._metrics = metrics
        self._now = now
        self._ring = ring
        self._poll = poll
        self._read_back = ReadBack(store, peers, billing=billing, now=now)
        self._busy: dict[str, trio.Lock] = defaultdict(trio.Lock)
        self._pairs = {
            name: Pair(
                name=name,
                given=given,
                lanes=tuple(
                    lane
                    for lane in lane_table.values()
                    if lane.instance == given.right and lane.stage == "live"
                ),
            )
            for name, given in pairs.items()
        }

    async def run(self) -> NoReturn:
        """Compare each pair when its schedule says so, all of them in turn."""
        self._metrics.paired({name: pair.given.entity or ALL for name, pair in self._pairs.items()})
        for name in self._pairs:
            await self._show(name)
        due = {name: self._next(name) for name in self._pairs}
        while True:
            if not due:
                await trio.sleep_forever()
            name = min(due, key=lambda each: due[each])
            wait_s = (due[name] - self._now()).total_seconds()
            if wait_s > 0:
                # Short naps: a clock that was set must not make us late.
                await trio.sleep(min(wait_s, 60.0))
                continue
            await self.compare(name, by=NAME)
            due[name] = self._next(name)

    # What people ask

    async def newest(self) -> Sequence[reconciliations.Run]:
        """The newest comparison of each pair, a pair never compared included."""
        found = []
        for name, pair in self._pairs.items():
            newest = await self._store.read(partial(reconciliations.runs, pair=name, limit=1))
            found += newest or [_never(pair, self._now())]
        return found

    async def show(self, which: str) -> RunPage:
        """A comparison by its number, or the newest one of a pair.

        Raises:
            NotFound: there is none.
        """

        def unit(tx: Tx) -> RunPage | None:
            if which.isascii() and which.isdigit():
                done = reconciliations.run(tx, int(which))
            else:
                done = next(iter(reconciliations.runs(tx, which, limit=1)), None)
            if done is None:
                return None
            return page_of(
                done, reconciliations.found_by(tx, done.run), reconciliations.explanations(tx, done.pair)
            )

        page = await self._store.read(unit)
        if page is None:
            raise NotFound(f"no comparison {which!r}; 'isthmus reconcile list' shows pairs and runs")
        return page

    async def compare(
        self, name: str, since: date | None = None, until: date | None = None, *, by: str
    ) -> RunPage:
        """Compare a pair now, and keep what came of it.

        Args:
            since: The first day; as many days back as the configuration says, when not given.
            until: The last day; today when not given.

        Raises:
            NotFound: there is no such pair.
        """
        pair = self._pair(name)
        async with self._busy[name]:
            began = self._now()
            last = until or began.date()
            first = since or last - timedelta(days=pair.given.days)
            done = reconciliations.Run(
                pair=name, since=first, until=last, started_at=began, ended_at=began, by=by
            )
            found: list[Difference] = []
            try:
                done, found = await self._read_back.compared(pair, done)
            except ConnectorError as error:
                log.warning("reconcile.failed", extra={"reason": f"{name}: {error}"})
                done = msgspec.structs.replace(done, error=str(error), ended_at=self._now())
            number = await wait_out(
                StoreFull, lambda: self._store.write(lambda tx: _keep(tx, done, found, self._now()))
            )
            self._metrics.compared(name, pair.given.entity or ALL, done.compared)
            await self._show(name)
            return await self.show(str(number))

    async def explain(self, number: int, *, by: str, why: str) -> DifferenceLine:
        """Say why a difference is no mistake; that holds until it looks otherwise.

        Raises:
            NotFound: there is no such difference.
        """
        at = self._now()

        def unit(tx: Tx) -> DifferenceLine:
            found = _get(tx, number)
            said = reconciliations.Explanation(why, by, at)
            reconciliations.explain(tx, found.pair, found.fingerprint, said)
            audit.append(tx, by, "reconcile.explain", {"difference": number, "reason": why}, at)
            return line_of(found, said)

        line = await self._store.write(unit)
        await self._show(line.pair)
        return line

    async def repair(self, number: int, *, by: str, why: str, dry_run: bool) -> Mended:
        """What would heal a difference; and, unless ``dry_run``, do it.

        Raises:
            NotFound: there is no such difference.
            Refused: it is not there any more, or only people can heal it.
        """
        found = await self._store.read(lambda tx: _get(tx, number))
        pair = self._pair(found.pair)
        difference = msgspec.json.decode(found.body, type=Difference)
        plan = await self._plan(pair, difference)
        shown = Mended(
            id=number,
            act=plan.act,
            words=plan.words,
            lane=plan.lane,
            event=None if plan.event is None else msgspec.json.decode(encode(plan.event)),
            done=False,
        )
        if dry_run:
            return shown
        await self._still_there(found)
        if plan.act == "by_hand":
            raise Refused(f"isthmus cannot heal this: {plan.words}")
        if plan.act == "read_again":
            await self._read_again(pair, difference, by=by, why=why)
        else:
            await self._store.write(
                lambda tx: self._mend(tx, pair, difference, plan, number, by, why, self._now())
            )
            self._ring()
        return msgspec.structs.replace(shown, done=True)

    # Repairing

    async def _plan(self, pair: Pair, difference: Difference) -> Proposal:
        rows = await self._store.read(lambda tx: event_log.by_seqs(tx, [difference.seq]))
        now = self._now()
        return proposal(
            difference,
            pair.given.kind,
            pair.given.left,
            pair.given.right,
            rows[0].event() if rows else None,
            now=now,
            today=now.date(),
        )

    async def _still_there(self, found: reconciliations.Found) -> None:
        """Refuse to heal what a newer comparison does not show any more."""
        newest = await self._store.read(
            lambda tx: next(iter(reconciliations.runs(tx, found.pair, whole=True, limit=1)), None)
        )
        if newest is not None and newest.run > found.run:
            now_found = await self._store.read(lambda tx: reconciliations.found_by(tx, newest.run))
            if found.fingerprint not in {each.fingerprint for each in now_found}:
                raise Refused(f"run {newest.run} does not show difference {found.id} any more")

    async def _read_again(self, pair: Pair, difference: Difference, *, by: str, why: str) -> None:
        """Read the left side from its beginning: nobody knows where the record was missed."""
        left = pair.given.left
        for cursor in await self._desk.cursors():
            if cursor.connector == left:
                await self._desk.rewind(left, cursor.stream, None, by=by, why=f"{difference.key}: {why}")
        self._poll(left)

    def _mend(
        self,
        tx: Tx,
        pair: Pair,
        difference: Difference,
        plan: Proposal,
        number: int,
        by: str,
        why: str,
        at: datetime,
    ) -> None:
        if plan.event is not None:
            event_log.append(tx, [plan.event], at)
        else:
            (row,) = event_log.by_seqs(tx, [plan.seq])
            if difference.kind == "missing":
                # The record is gone, and the one that is written now has another id.
                crosswalk.unlink(tx, LINKS[pair.given.kind], difference.key, pair.given.right)
            deliveries.schedule(tx, plan.lane, plan.seq, row.subject, at)
        detail = {"difference": number, "act": plan.act, "what": plan.words, "reason": why}
        audit.append(tx, by, "reconcile.repair", detail, at)

    # Showing

    async def _show(self, name: str) -> None:
        """Tell the metrics how the newest comparison stands, with what was explained since."""
        pair = self._pair(name)

        def unit(tx: Tx) -> RunPage | None:
            done = next(iter(reconciliations.runs(tx, name, whole=True, limit=1)), None)
            if done is None:
                return None
            return page_of(
                done, reconciliations.found_by(tx, done.run), reconciliations.explanations(tx, name)
            )

        page = await self._store.read(unit)
        if page is not None:
            self._metrics.reconciled(name, pair.given.entity or ALL, page)

    def _pair(self, name: str) -> Pair:
        if name not in self._pairs:
            known = ", ".join(self._pairs) or "none is configured"
            raise NotFound(f"there is no pair {name!r}; pairs are: {known}")
        return self._pairs[name]

    def _next(self, name: str) -> datetime:
        return next(CronSim(self._pairs[name].given.schedule, self._now()))


def _keep(tx: Tx, done: reconciliations.Run, found: Sequence[Difference], at: datetime) -> int:
    """Keep a comparison; what the one before had found already keeps its age."""
    before = next(iter(reconciliations.runs(tx, done.pair, whole=True, limit=1)), None)
    seen = (
        {}
        if before is None
        else {
            (each.key, each.kind, each.side): each.first_seen_at
            for each in reconciliations.found_by(tx, before.run)
        }
    )
    explained = reconciliations.explanations(tx, done.pair)
    rows = []
    for each in found:
        looks = fingerprint(done.pair, each)
        known = each.state == "drift" and looks in explained
        rows.append(
            reconciliations.Found(
                pair=done.pair,
                key=each.key,
                kind=each.kind,
                side=each.side,
                state="explained" if known else each.state,
                fingerprint=looks,
                first_seen_at=seen.get((each.key, each.kind, each.side), at),
                body=msgspec.json.encode(each).decode(),
            )
        )
    return reconciliations.add_run(tx, done, rows)


def _get(tx: Tx, number: int) -> reconciliations.Found:
    found = reconciliations.get(tx, number)
    if found is None:
        raise NotFound(f"no difference {number}; 'isthmus reconcile show PAIR' lists them")
    return found


def _never(pair: Pair, now: datetime) -> reconciliations.Run:
    today = now.date()
    return reconciliations.Run(
        pair=pair.name,
        since=today - timedelta(days=pair.given.days),
        until=today,
        started_at=now,
        ended_at=now,
        by="",
        error="never compared",
    )
