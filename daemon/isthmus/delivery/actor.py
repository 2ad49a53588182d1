"""Delivers one lane: reads what is owed, calls the peer, writes the proof."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf
from typing import NoReturn, TypeVar

import msgspec
import trio

from isthmus.delivery.attempt import Crash, Outcome, attempt, class_of, look_up
from isthmus.delivery.gate import NOT_SENT, Gate, ask, ask_again
from isthmus.delivery.judge import Ended, judge
from isthmus.delivery.lane import Group, Item, Lane, LaneWatch
from isthmus.delivery.peer import Peer
from isthmus.delivery.policy import DeadLetter, NotYet
from isthmus.delivery.recover import item_of, recover
from isthmus.delivery.settle import settle
from isthmus.delivery.shade import shade
from isthmus.delivery.window import Window
from isthmus.runtime.doorbell import Doorbell
from isthmus.runtime.patience import wait_out
from isthmus.sdk.connector import DeliveryClass, Receipt, Sink
from isthmus.sdk.errors import Fatal, Rejected, Retryable, Throttled, Unmet, Unsure
from isthmus.store import deliveries, edits, intents, lanes, recovery, shadows
from isthmus.store import log as event_log
from isthmus.store.errors import ConstraintBroken, StoreError, StoreFull
from isthmus.store.face import Store, Tx

T = TypeVar("T")

__all__ = ["LaneActor"]

BATCHES_HELD = 4
"""A lane of batches holds as many facts as make so many, since one batch takes each subject only once."""
IDLE_STEP = 5000
"""A lane that has nothing to deliver still writes down how far it has read, once per this many facts."""


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
        gate: Gate | None = None,
        confirms: frozenset[str] = frozenset(),
    ) -> None:
        """
        Args:
            announce: Called when a receipt brought new facts into the log.
            sibling_lanes: All lanes of the same instance; they may wait for a record this one writes.
            wake: Rings the bells of lanes whose waiting deliveries became due.
            gate: Asked in the transaction that opens a call; None lets everything through.
            confirms: Kinds whose settling is recorded as a fact of its own, for whoever waits for it.
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
        self._gate = gate
        self._confirms = confirms
        self.paused: str | None = None
        """Why a person stopped it; None while it may call. What it owes stays owed."""
        self._window = Window(0)
        self._holds = lane.window
        self._settled_before: set[int] = set()
        self._written = 0
        self._log_head = 0
        """How far the log went when it was looked at last; beyond the window's head there is more to read."""
        self._calls = 0
        self._in_hand: set[trio.CancelScope] = set()
        self._emptied = trio.Event()
        self._settling: set[str] = set()
        """Subjects whose call has ended and is being written down."""
        self._rows_changed = False
        """Whether a call wrote or removed rows since the last look at the store began."""
        self._changed: set[str] = set()
        """Subjects that were settled since the last look at the store began: what it saw of them is old."""

    async def wait_empty(self) -> None:
        """Return when no call is in flight."""
        while self._in_hand:
            await self._emptied.wait()

    def backlog(self, log_head: int, position: int = 0) -> int:
        """Facts owed and not settled, as far as this actor knows, rows not counted.

        What it has not read yet counts whole, of whatever kind.

        Args:
            position: Where the lane stands in the store; it counts until the actor has read on from there.
        """
        return len(self._window) + max(0, log_head - max(self._window.head, position))

    def pause(self, reason: str) -> None:
        """Begin no more calls; those in hand are finished."""
        self.paused = reason

    def unpause(self) -> None:
        """Go on from where it stood."""
        self.paused = None
        self._bell.ring()

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
        if opened.sink is None:
            raise Fatal(f"connector {self._peer.instance} takes no deliveries")
        await self._recover(opened.sink)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen_to_peer)
            while True:
                next_due = await self._refill()
                again_at = self._launch(nursery)
                await self._bell.wait(self._seconds_until(next_due, again_at))
        raise AssertionError("a lane runs until it is cancelled")

    async def _listen_to_peer(self) -> NoReturn:
        """A peer that opens again, or is no longer paused, is work to do."""
        while True:
            await self._peer.wait_changed()
            self._bell.ring()

    def _sink(self) -> Sink | None:
        return None if self._peer.opened is None else self._peer.opened.sink

    def _seconds_until(self, *times: datetime | None) -> float:
        now = self._now()
        waits = [(time - now).total_seconds() for time in (*times, self._window.ripe_at(now)) if time]
        return max(0.0, min(waits, default=inf))

    async def _write(self, unit: Callable[[Tx], T]) -> T:
        return await wait_out(StoreFull, lambda: self._store.write(unit))

    async def _recover(self, sink: Sink) -> None:
        """Find where the lane stood; what was being sent when the daemon died is in doubt."""
        lane, now = self._lane, self._now()
        if lane.stage == "live":
            await self._require_compared()
        stood = await self._write(lambda tx: recover(tx, lane.name, sink, now))
        self._settled_before = stood.settled
        self._holds = max(lane.window, BATCHES_HELD * sink.batch_max)
        self._written = stood.position
        self._window = Window(
            stood.position,
            batch_max=sink.batch_max,
            fold_after_s=lane.lag_window_s if lane.mode == "analytical" else None,
            alone=self._goes_alone,
        )

    async def _require_compared(self) -> None:
        """Sending beside what nobody compared would make twins.

        Raises:
            Fatal: the lane was in shadow and has not gone live.
        """
        name = self._lane.name
        waiting = await self._store.read(lambda tx: shadows.open_count(tx, name))
        if waiting:
            raise Fatal(
                f"{waiting} facts were decided in shadow, and nobody has said what stands for them in "
                f"{self._lane.instance}; 'isthmus lane go-live {name} --dry-run' compares them"
            )

    def _goes_alone(self, item: Item) -> bool:
        """What is looked up before it is sent, and what broke a call, shares no call with others."""
        if not item.row:
            return False
        sink = self._sink()
        return item.in_doubt or item.crashes > 0 or sink is None or class_of(sink, item) is DeliveryClass.B

    def _wanted(self) -> int:
        """How many calls this lane makes at the same time."""
        sink = self._sink()
        return self._lane.concurrency or (1 if sink is None else sink.concurrency)

    async def _refill(self) -> datetime | None:
        """Read due rows and new facts; returns when the next row is due."""
        lane, window, now = self._lane, self._window, self._now()
        sink = self._sink()
        enough_due = 2 * self._wanted() * (1 if sink is None else sink.batch_max)
        room, head = self._holds - len(window), window.head
        here = window.rows_here()

        def look(tx: Tx) -> _Look:
            found = _Look(scanned=head, log_head=event_log.head(tx))
            if len(here) < enough_due:
                held = deliveries.due(tx, lane.name, now, lane.window)
                held += recovery.look_ups_due(tx, lane.name, now, lane.window)
                new = {each.seq: each for each in held if each.seq not in here}
                if new:
                    changed = edits.of(tx, lane.name, new)
                    found.due = [
                        item_of(row, new[row.seq], changed.get(row.seq)) for row in event_log.by_seqs(tx, new)
                    ]
            found.next_due = recovery.next_due_after(tx, lane.name, now)
            if found.log_head > head and room >= self._holds // 2:
                found.rows, found.scanned = event_log.read_after(tx, head, lane.kinds, room)
                subjects = (row.subject for row in found.rows)
                found.held = deliveries.held_subjects(tx, lane.name, subjects, hold_on_dead=lane.hold_on_dead)
            return found

        self._rows_changed = False
        self._changed = set(self._settling)
        found = await self._store.read_in_turn(look)
        await self._take(found, now)
        return found.next_due

    async def _take(self, found: "_Look", now: datetime) -> None:
        """Bring what a look found into the window; facts of a held subject get rows of their own."""
        lane, window = self._lane, self._window
        for item in found.due:
            if item.subject not in self._changed:
                window.add_due(item)
        behind: list[Item] = []
        scanned = found.scanned
        for row in found.rows:
            if row.seq in self._settled_before or (
                lane.entities is not None and row.entity not in lane.entities
            ):
                continue
            if row.subject in self._changed:
                # Whether it must wait is being decided right now: read it again after that.
                scanned = row.seq - 1
                break
            item = item_of(row)
            if row.subject in found.held:
                window.lay_aside(item)
                behind.append(item)
            else:
                window.add(item)
        self._log_head = found.log_head
        moved = scanned > window.head
        window.head = max(window.head, scanned)
        if self._settled_before:
            self._settled_before = {seq for seq in self._settled_before if seq > window.head}
        if behind:
            await self._write(lambda tx: _queue_all(tx, lane, behind, now))
            window.written(behind)
        if not len(window) and window.head - self._written > IDLE_STEP:
            head = window.head
            await self._write(lambda tx: lanes.advance(tx, lane.name, head))
            self._written = head
        if behind or (moved and window.head < self._log_head):
            self._bell.ring()

    def _launch(self, nursery: trio.Nursery) -> datetime | None:
        """Start as many calls as the peer allows; returns when to ask it again."""
        while True:
            if self.paused is not None:
                return None
            now = self._now()
            sink = self._sink()
            allowed, again_at = self._peer.calls_allowed(now, self._calls, self._wanted())
            if allowed == 0 or sink is None:
                return again_at
            group = self._window.next_group(now)
            if group is None:
                return None
            self._calls += 1
            self._peer.in_flight += 1
            nursery.start_soon(self._call, nursery, sink, group)

    async def _call(self, nursery: trio.Nursery, sink: Sink, group: Group) -> None:
        """One call, from intent to receipt, under a shield: what was begun is finished."""
        scope = trio.CancelScope(shield=True)
        ended = False
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._in_hand.add(scope)
            with scope:
                await self._carry_out(sink, group)
                ended = True
        finally:
            self._in_hand.discard(scope)
            self._calls -= 1
            self._peer.in_flight -= 1
            if not self._in_hand:
                self._emptied.set()
                self._emptied = trio.Event()
            # What is in the window already needs no look at the store before it goes.
            if not ended or self._worth_a_look() or self._launch(nursery) is not None:
                self._bell.ring()

    def _worth_a_look(self) -> bool:
        """Whether the store may hold more to do than the window, or somebody must wait for a time."""
        room = self._holds - len(self._window)
        more = self._window.head < self._log_head and room >= self._holds // 2
        return more or self._rows_changed or self._lane.mode == "analytical"

    async def _carry_out(self, sink: Sink, group: Group) -> None:
        lane = self._lane
        if lane.stage == "shadow":
            await self._decide(group)
            return
        for item in group.items if self._gate is not None else ():
            found = await self._clear_up(sink, item)
            if found is not None:
                self._tell_peer([found])
                await self._end(sink, group, None, [found])
                return
        seqs = [item.seq for item in group.items]
        began = self._now()

        def begin(tx: Tx) -> tuple[int | None, dict[int, Outcome]]:
            kept = ask(self._gate, tx, group.items)
            going = [seq for seq in seqs if seq not in kept]
            opened = intents.open_call(tx, lane.name, going, began, self._store.generation) if going else None
            return opened, kept

        call, kept = await self._write(begin)
        going = [item for item in group.items if item.seq not in kept]
        if going:
            sent = await attempt(lane, sink, going)
            self._tell_peer(sent)
            kept.update(zip((item.seq for item in going), sent, strict=True))
        outcomes = [kept[seq] for seq in seqs]
        if any(isinstance(outcome, Rejected) for outcome in outcomes):
            outcomes = await self._store.read(lambda tx: ask_again(self._gate, tx, group.items, outcomes))
        await self._end(sink, group, call, outcomes)

    async def _decide(self, group: Group) -> None:
        """In shadow: keep what would have been sent; the peer hears nothing."""
        lane, now = self._lane, self._now()
        folded = [older for item in group.items for older in group.folded.get(item.seq, ())]
        subjects = {item.subject for item in group.items if item.row}
        self._settling |= subjects
        self._changed |= subjects
        try:
            gone = {item.seq for item in (*group.items, *folded)}
            position = self._window.position_without(gone)
            await self._write(lambda tx: shade(tx, lane, group, position, now))
            self._window.folded(folded)
            for item in group.items:
                self._window.settled(item)
        finally:
            self._settling -= subjects
            self._rows_changed |= bool(subjects)

    async def _clear_up(self, sink: Sink, item: Item) -> Outcome | None:
        """Before the gate is asked about what may have arrived: whether the peer has it.

        Class A answers that when it is sent again under its key. Class B, which goes alone, is looked up. Of
        class C a person has said that it may go again.

        Returns:
            The record, or what kept it from being found; None where the answer must still come or is no.
        """
        if not item.doubtful or class_of(sink, item) is DeliveryClass.A:
            return None
        if class_of(sink, item) is DeliveryClass.B:
            found = await look_up(self._lane, sink, item)
            if found is not None:
                return found
        item.doubtful = False
        return None

    def _tell_peer(self, outcomes: Sequence[Outcome]) -> None:
        """What one call says about the peer: any answer shows that it is there."""
        said = [outcome for outcome in outcomes if not isinstance(outcome, Crash)]
        if any(isinstance(outcome, Receipt | Rejected | Unmet) for outcome in said):
            self._peer.worked()
        if any(isinstance(outcome, Unmet) or not isinstance(outcome, Retryable) for outcome in said):
            self._peer.answered()
        elif said:
            self._peer.failed(self._now())

    async def _end(self, sink: Sink, group: Group, call: int | None, outcomes: Sequence[Outcome]) -> None:
        """Write down what a call came to; then the window says the same."""
        now = self._now()
        subjects = _with_rows(group, outcomes)
        self._settling |= subjects
        self._changed |= subjects
        try:
            ended = self._judge(sink, group, call, outcomes, now)
            if ended.rest_until is not None:
                self._peer.rest(ended.rest_until, now)
            try:
                facts = await self._write(lambda tx: settle(tx, ended.settlement, now))
            except Exception as error:
                if isinstance(error, StoreError) and not isinstance(error, ConstraintBroken):
                    raise
                # What the connector gave cannot be kept: its bug, and no reason to stop the lane.
                subjects |= {item.subject for item in group.items}
                self._settling |= subjects
                self._changed |= subjects
                broken = Crash(f"what the connector gave cannot be kept: {error!r}")
                ended = self._judge(sink, group, call, [broken] * len(outcomes), now)
                facts = await self._write(lambda tx: settle(tx, ended.settlement, now))
            self._tidy(group, ended)
        finally:
            self._settling -= subjects
            self._rows_changed |= bool(subjects)
        self._report(ended, facts)

    def _judge(
        self, sink: Sink, group: Group, call: int | None, outcomes: Sequence[Outcome], now: datetime
    ) -> Ended:
        return judge(
            self._lane,
            sink,
            group,
            outcomes,
            window=self._window,
            call=call,
            rests=self._peer.rests,
            sibling_lanes=self._siblings,
            confirms=self._confirms,
            now=now,
        )

    def _tidy(self, group: Group, ended: Ended) -> None:
        """Bring the window to what the store now says."""
        settlement = ended.settlement
        self._window.folded(each.item for each in settlement.folded)
        for done in settlement.successes:
            self._window.settled(done.item)
        for failed in settlement.failures:
            self._window.drop_behind(failed.item, failed.behind)
        for item in ended.put_back:
            self._window.put_back(item, group.folded.get(item.seq, ()))

    def _report(self, ended: Ended, facts: int) -> None:
        """Tell whoever waits or looks on.

        Raises:
            Fatal: the peer said that every call would fail the same way.
        """
        name, settlement = self._lane.name, ended.settlement
        if facts:
            self._announce()
        if any(done.receipt.links for done in settlement.successes):
            self._wake(self._siblings)
        tried = [outcome for outcome in ended.outcomes if not _kept_here(outcome)]
        for outcome, n in Counter(map(_outcome_name, tried)).items():
            self._watch.attempted(name, outcome, n)
        arrived = [done.item for done in settlement.successes if not _kept_here(done.receipt)]
        if arrived:
            written = self._now()
            self._watch.delivered(name, *((written - item.recorded_at).total_seconds() for item in arrived))
        for failed in settlement.failures:
            if isinstance(failed.fate, DeadLetter):
                self._watch.dead(name, failed.fate.reason)
        if ended.park is not None:
            raise Fatal(ended.park.reason)


class _Look(msgspec.Struct):
    """What one look at the store found."""

    scanned: int
    log_head: int
    due: list[Item] = []
    next_due: datetime | None = None
    rows: list[event_log.Fact] = []
    held: set[str] = set()


def _queue_all(tx: Tx, lane: Lane, items: Sequence[Item], now: datetime) -> None:
    for item in items:
        deliveries.queue_behind(tx, lane.name, item.seq, item.subject, now, hold_on_dead=lane.hold_on_dead)


def _with_rows(group: Group, outcomes: Sequence[Outcome]) -> set[str]:
    """The subjects that have rows among the deliveries, before a call is written down or after it."""
    return {
        item.subject
        for item, outcome in zip(group.items, outcomes, strict=True)
        if item.row or not isinstance(outcome, Receipt)
    }


def _kept_here(outcome: Outcome) -> bool:
    """Whether the gate decided, so that nothing reached the peer."""
    return isinstance(outcome, NotYet) or (isinstance(outcome, Receipt) and outcome.remote_id == NOT_SENT)


def _outcome_name(outcome: Outcome) -> str:
    match outcome:
        case Receipt():
            return "ok"
        case Crash():
            return "crash"
        case Unsure():
            return "unsure"
        case Retryable():
            return "retryable"
        case Throttled():
            return "throttled"
        case Rejected():
            return "rejected"
    return "fatal"
