"""Delivers one lane: reads what is owed, calls the peer, writes the proof."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import inf
from typing import NoReturn

import msgspec
import trio

from isthmus.delivery.lane import Group, Item, Lane, LaneWatch
from isthmus.delivery.peer import Peer
from isthmus.delivery.policy import DeadLetter, Fate, Park, Rest, decide, delivery_key
from isthmus.delivery.settle import Failure, Settlement, Success, open_work_item, settle
from isthmus.delivery.window import Window
from isthmus.events.codec import decode
from isthmus.runtime.doorbell import Doorbell
from isthmus.sdk.connector import Delivery, DeliveryClass, Receipt, Sink
from isthmus.sdk.errors import (
    ConnectorError,
    Fatal,
    Rejected,
    Retryable,
    Throttled,
    Unmet,
    Unsure,
)
from isthmus.store import deliveries, intents, lanes, receipts, recovery
from isthmus.store import log as event_log
from isthmus.store.face import Store, Tx

log = logging.getLogger(__name__)

__all__ = ["LaneActor"]

IDLE_STEP = 5000
"""A lane that has nothing to deliver still writes down how far it has read, once per this many facts."""


class _Crash(ConnectorError):
    """The connector's code broke on this delivery: our bug or the vendor's, never the peer's word."""


class LaneActor:
    """One lane at work. `run` never returns; everything it must remember is in the store."""

    def __init__(
        self,
        lane: Lane,
        *,
        peer: Peer,
        store: Store,
        bell: Doorbell,
        now: Callable[[], datetime],
        announce: Callable[[], None] = lambda: None,
        sibling_lanes: Sequence[str] = (),
        wake: Callable[[Sequence[str]], None] = lambda lanes: None,
        watch: LaneWatch | None = None,
    ) -> None:
        """
        Args:
            announce: Called when a receipt brought new facts into the log.
            sibling_lanes: All lanes of the same instance; they may wait for a record this one writes.
            wake: Rings the bells of lanes whose waiting deliveries became due.
        """
        self._lane = lane
        self._peer = peer
        self._store = store
        self._bell = bell
        self._now = now
        self._announce = announce
        self._siblings = sibling_lanes or (lane.name,)
        self._wake = wake
        self._watch = watch or LaneWatch()
        self._window = Window(0)
        self._settled_before: set[int] = set()
        self._written = 0
        self._calls = 0
        self._in_hand: set[trio.CancelScope] = set()
        self._emptied = trio.Event()

    async def wait_empty(self) -> None:
        """Return when no call is in flight."""
        while self._in_hand:
            await self._emptied.wait()

    def backlog(self, log_head: int) -> int:
        """Facts owed and not settled, as far as this actor knows, rows not counted.

        What it has not read yet counts whole, of whatever kind.
        """
        return len(self._window) + max(0, log_head - self._window.head)

    def abandon(self) -> None:
        """Stop waiting for calls in flight; their intents tell the next start to look them up."""
        for scope in self._in_hand:
            scope.cancel()

    async def run(self) -> NoReturn:
        """Deliver until cancelled; calls in hand are finished first, at most the lane's timeout.

        Raises:
            Fatal: every delivery would fail the same way; the supervisor parks the lane.
        """
        opened = await self._peer.wait_open()
        sink = self._sink()
        if opened.sink is None:
            raise Fatal(f"connector {self._peer.instance} takes no deliveries")
        await self._recover(sink)
        async with trio.open_nursery() as nursery:
            while True:
                next_due = await self._refill()
                again_at = self._launch(nursery)
                await self._bell.wait(self._seconds_until(next_due, again_at, self._window.ripe_at()))
        raise AssertionError("a lane runs until it is cancelled")

    def _sink(self) -> Sink:
        opened = self._peer.opened
        if opened is None or opened.sink is None:
            raise Retryable(f"connector {self._peer.instance} is not open")
        return opened.sink

    def _seconds_until(self, *times: datetime | None) -> float:
        now = self._now()
        waits = [(time - now).total_seconds() for time in times if time is not None]
        return max(0.0, min(waits, default=inf))

    async def _recover(self, sink: Sink) -> None:
        """Find where the lane stood; what was being sent when the daemon died is in doubt."""
        lane, now = self._lane, self._now()

        def unit(tx: Tx) -> tuple[int, set[int]]:
            position = lanes.position(tx, lane.name)
            done = receipts.done_since(tx, lane.name, position)
            for call in intents.unfinished(tx, lane.name):
                unproven = [seq for seq in call.seqs if receipts.get(tx, lane.name, seq) is None]
                for row in event_log.by_seqs(tx, unproven):
                    self._interrupted(tx, row, sink, now)
                intents.close_call(tx, call.call)
            return position, done | recovery.seqs_since(tx, lane.name, position)

        position, self._settled_before = await self._store.write(unit)
        self._written = position
        self._window = Window(
            position,
            batch_max=sink.batch_max,
            fold_after_s=lane.lag_window_s if lane.mode == "analytical" else None,
        )

    def _interrupted(self, tx: Tx, row: event_log.LogRow, sink: Sink, now: datetime) -> None:
        """Class A is sent again, B is looked up when the peer has had its time, C waits for a person."""
        lane, text = self._lane.name, "the daemon stopped while this was being sent"
        match sink.delivery_class(row.event()):
            case DeliveryClass.A:
                look_up_at = None
            case DeliveryClass.B:
                look_up_at = now + timedelta(seconds=sink.worst_commit_s)
            case DeliveryClass.C:
                look_up_at = recovery.NEVER
                open_work_item(
                    tx, lane, _item(row), reason_class="in_doubt", reason=text, peer_words="", now=now
                )
        recovery.interrupted(tx, lane, row.seq, row.subject, look_up_at=look_up_at, text=text, now=now)

    async def _refill(self) -> datetime | None:
        """Read due rows and new facts; returns when the next row is due."""
        lane, window = self._lane, self._window
        now = self._now()
        room = lane.window - len(window)

        def look(tx: Tx) -> _Look:
            found = _Look(scanned=window.head)
            held = deliveries.due(tx, lane.name, now, lane.window)
            held += recovery.look_ups_due(tx, lane.name, now, lane.window)
            facts = {row.seq: row for row in event_log.by_seqs(tx, [each.seq for each in held])}
            found.due = [_item(facts[each.seq], each) for each in held]
            times = deliveries.next_due_at(tx, lane.name), recovery.next_look_up_at(tx, lane.name)
            found.next_due = min((at for at in times if at is not None and at > now), default=None)
            if room >= lane.window // 2:
                found.rows, found.scanned = event_log.read_after(tx, window.head, lane.kinds, room)
                subjects = {row.subject for row in found.rows}
                if subjects:
                    found.held = deliveries.held_subjects(
                        tx, lane.name, subjects, hold_on_dead=lane.hold_on_dead
                    )
            return found

        found = await self._store.read(look)
        for item in found.due:
            window.add_due(item)
        wanted = [
            row
            for row in found.rows
            if row.seq not in self._settled_before and (lane.entities is None or row.entity in lane.entities)
        ]
        if self._settled_before:
            self._settled_before = {seq for seq in self._settled_before if seq > found.scanned}
        behind = [row for row in wanted if row.subject in found.held]
        if behind:
            await self._store.write(lambda tx: _queue_all(tx, lane, behind, now))
        for row in wanted:
            if row.subject not in found.held:
                window.add(_item(row))
        moved = found.scanned > window.head
        window.head = max(window.head, found.scanned)
        if not len(window) and window.head - self._written > IDLE_STEP:
            await self._store.write(lambda tx: lanes.advance(tx, lane.name, window.head))
            self._written = window.head
        if behind or moved:
            self._bell.ring()
        return found.next_due

    def _launch(self, nursery: trio.Nursery) -> datetime | None:
        """Start as many calls as the peer allows; returns when to ask it again."""
        wanted = self._lane.concurrency or (self._sink().concurrency if self._peer.opened else 1)
        while True:
            now = self._now()
            allowed, again_at = self._peer.calls_allowed(now, self._calls, wanted)
            if allowed == 0:
                return again_at
            group = self._window.next_group(now)
            if group is None:
                return None
            self._calls += 1
            nursery.start_soon(self._call, group)

    async def _call(self, group: Group) -> None:
        """One call, from intent to receipt, under a shield: what was begun is finished."""
        scope = trio.CancelScope(shield=True)
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._in_hand.add(scope)
            with scope:
                await self._carry_out(group)
        finally:
            self._in_hand.discard(scope)
            self._calls -= 1
            if not self._in_hand:
                self._emptied.set()
                self._emptied = trio.Event()
            self._bell.ring()

    async def _carry_out(self, group: Group) -> None:
        lane = self._lane
        seqs = [item.seq for item in group.items]
        began = self._now()
        call: int | None = None
        if lane.stage == "live":
            call = await self._store.write(
                lambda tx: intents.open_call(tx, lane.name, seqs, began, self._store.generation)
            )
        await self._end(group, call, await self._attempt(group))

    async def _attempt(self, group: Group) -> list[Receipt | ConnectorError]:
        """Try once. What a connector may raise becomes a value to judge, a bug too."""
        lane, n = self._lane, len(group.items)
        if lane.stage == "shadow":
            return [Receipt(remote_id="shadow", detail="decided, not sent")] * n
        sends = [
            Delivery(
                key=delivery_key(item.event_id, lane.name, lane.instance),
                lane=lane.name,
                event=decode(item.payload),
                attempt=item.attempts + 1,
            )
            for item in group.items
        ]
        try:
            sink = self._sink()
            with trio.fail_after(lane.timeout_s):
                outcomes = await self._send(sink, group, sends)
        except trio.TooSlowError:
            return [Unsure(f"no answer within {lane.timeout_s:g} s")] * n
        except ConnectorError as error:
            return [error] * n
        except Exception as error:
            log.exception(
                "connector.crashed",
                extra={"lane": lane.name, "connector": lane.instance, "event_id": group.items[0].event_id},
            )
            return [_Crash(repr(error))] * n
        if len(outcomes) != n:
            return [_Crash(f"{len(outcomes)} outcomes for {n} deliveries")] * n
        return [_proven(outcome) for outcome in outcomes]

    async def _send(
        self, sink: Sink, group: Group, sends: Sequence[Delivery]
    ) -> Sequence[Receipt | ConnectorError]:
        if group.items[0].in_doubt and sink.delivery_class(sends[0].event) is DeliveryClass.B:
            found = await sink.find(sends[0])
            if found is not None:
                return [found]
        if sink.batch_max == 1:
            return [await sink.deliver(sends[0])]
        return await sink.deliver_many(sends)

    async def _end(
        self, group: Group, call: int | None, outcomes: Sequence[Receipt | ConnectorError]
    ) -> None:
        lane, now = self._lane, self._now()
        successes: list[Success] = []
        failures: list[Failure] = []
        rested: list[Item] = []
        park: Park | None = None
        for item, outcome in zip(group.items, outcomes, strict=True):
            self._watch.attempted(lane.name, _outcome_name(outcome), 1)
            if isinstance(outcome, Receipt):
                self._peer.answered()
                successes.append(Success(item=item, receipt=outcome))
                continue
            fate = self._judge(item, outcome, now)
            match fate:
                case Rest(until=until):
                    self._peer.rest(until, now)
                    rested.append(item)
                case Park():
                    park = fate
                    rested.append(item)
                case _:
                    failures.append(
                        Failure(
                            item=item,
                            fate=fate,
                            error_class=type(outcome).__name__.strip("_"),
                            text=str(outcome),
                            peer_words=outcome.peer_words or "",
                            behind=self._window.behind(item),
                            crash=isinstance(outcome, _Crash),
                        )
                    )
        settled = {done.item.seq for done in successes}
        settled.update(item.seq for item in group.folded if not rested)
        settled.update(item.seq for failed in failures for item in (failed.item, *failed.behind))
        ended = Settlement(
            lane=lane.name,
            instance=lane.instance,
            call=call,
            successes=successes,
            failures=failures,
            folded=[] if rested else group.folded,
            position=self._window.position_without(settled),
            hold_on_dead=lane.hold_on_dead,
            sibling_lanes=self._siblings,
        )
        facts = await self._store.write(lambda tx: settle(tx, ended, now))
        self._tidy(group, ended, rested)
        if facts:
            self._announce()
        if any(done.receipt.links for done in successes):
            self._wake(self._siblings)
        for done in successes:
            self._watch.delivered(lane.name, (now - done.item.recorded_at).total_seconds())
        for failed in failures:
            if isinstance(failed.fate, DeadLetter):
                self._watch.dead(lane.name, failed.fate.reason)
        if park is not None:
            raise Fatal(park.reason)

    def _judge(self, item: Item, error: ConnectorError, now: datetime) -> Fate:
        """The fate of one failed item; the breaker hears of what was the peer's fault."""
        if isinstance(error, Retryable) and not isinstance(error, Unmet):
            self._peer.failed(now)
        elif isinstance(error, Rejected | Unmet | Throttled):
            self._peer.answered()
        sink = self._sink()
        return decide(
            error,
            delivery_class=sink.delivery_class(decode(item.payload)),
            attempts=item.attempts + 1,
            age=now - (item.first_failed_at or now),
            now=now,
            retry=self._lane.retry,
            worst_commit_s=sink.worst_commit_s,
        )

    def _tidy(self, group: Group, ended: Settlement, rested: Sequence[Item]) -> None:
        """Bring the window to what the store now says."""
        for item in ended.folded:
            self._window.folded(item)
        for done in ended.successes:
            self._window.settled(done.item)
        for failed in ended.failures:
            self._window.drop_behind(failed.item, failed.behind)
        if rested:
            self._window.put_back(Group(items=list(rested), folded=group.folded))


class _Look(msgspec.Struct):
    """What one look at the store found."""

    scanned: int
    due: list[Item] = []
    next_due: datetime | None = None
    rows: list[event_log.LogRow] = []
    held: set[str] = set()


def _item(row: event_log.LogRow, held: deliveries.Delivery | None = None) -> Item:
    """A fact of the log as an item; ``held`` is its row among the deliveries, if it has one."""
    item = Item(
        seq=row.seq,
        event_id=row.id,
        subject=row.subject,
        recorded_at=row.recorded_at,
        payload=row.payload,
    )
    if held is not None:
        item.row = True
        item.in_doubt = held.state == "in_doubt"
        item.attempts = held.attempts
        item.first_failed_at = held.first_failed_at
    return item


def _queue_all(tx: Tx, lane: Lane, rows: Sequence[event_log.LogRow], now: datetime) -> None:
    for row in rows:
        deliveries.queue_behind(tx, lane.name, row.seq, row.subject, now, hold_on_dead=lane.hold_on_dead)


def _proven(outcome: Receipt | ConnectorError) -> Receipt | ConnectorError:
    """A receipt that names no record is no proof."""
    if isinstance(outcome, Receipt) and not outcome.remote_id:
        return Unsure("the answer names no record")
    return outcome


def _outcome_name(outcome: Receipt | ConnectorError) -> str:
    match outcome:
        case Receipt():
            return "ok"
        case Unsure():
            return "unsure"
        case Retryable():
            return "retryable"
        case Throttled():
            return "throttled"
        case Rejected():
            return "rejected"
        case Fatal():
            return "fatal"
    return "crash"
