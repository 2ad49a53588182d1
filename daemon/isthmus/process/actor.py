"""Runs a process: facts in, its rows and what it derives out, in one transaction.

The state is read, changed and written inside the write transaction itself, so there is nothing to keep in
memory and nothing to lose: a restart goes on at the position that was committed with the last output. Only a
fact that concerns very many rows is decided in a read beside the writer, and then written in one transaction:
nobody else writes these rows, so they are the same then.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from math import inf
from typing import NoReturn, TypeVar

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.codec import decode
from isthmus.process.face import AnalyticalProcess, Process
from isthmus.process.states import decode_state, encode_state
from isthmus.runtime.doorbell import Doorbell
from isthmus.runtime.patience import wait_out
from isthmus.store import dead_letters, lanes, states
from isthmus.store import log as event_log
from isthmus.store.errors import ConstraintBroken, StoreError, StoreFull
from isthmus.store.face import Store, Tx

log = logging.getLogger(__name__)
T = TypeVar("T", bound=msgspec.Struct)

__all__ = ["ProcessSurroundings", "StoredRows", "run_analytical", "run_process", "unpublished"]

BATCH = 200
ROWS = 4_000
"""So many rows a turn may look at while it keeps other writers waiting."""
PENDING = "pending:"


class StoredRows:
    """The rows of one process inside one transaction; each is read once and written once.

    Args:
        most: How many rows may be looked at; None: any number.
    """

    def __init__(self, tx: Tx, process: str, most: int | None = None) -> None:
        self._tx = tx
        self._process = process
        self._most = most
        self._seen: dict[str, msgspec.Struct | None] = {}
        self._changed: set[str] = set()

    def get(self, key: str, type: type[T]) -> T | None:
        if key not in self._seen:
            if self._most is not None and len(self._seen) >= self._most:
                raise _TooManyRows
            text = states.get(self._tx, self._process, key)
            self._seen[key] = None if text is None else decode_state(text, type)
        kept = self._seen[key]
        assert kept is None or isinstance(kept, type)
        return kept

    def put(self, key: str, struct: msgspec.Struct) -> None:
        self._seen[key] = struct
        self._changed.add(key)

    def changed(self) -> dict[str, str]:
        """What is to be stored, as JSON by key."""
        return {key: encode_state(row).decode() for key in sorted(self._changed) if (row := self._seen[key])}

    def store(self) -> None:
        states.put_many(self._tx, self._process, self.changed())


class _TooManyRows(Exception):
    """The turn looked at more rows than it may while others wait for it."""


class ProcessSurroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process runs: its lane, the store, and whom it tells of what it did."""

    lane: str
    store: Store
    bell: Doorbell
    now: Callable[[], datetime]
    entities: frozenset[str] | None = None
    """Only facts of these legal entities; None takes all."""
    announce: Callable[[], None] = lambda: None
    """Called after new facts are in the log."""
    beat: Callable[[], None] = lambda: None
    """Called after each turn."""


async def run_process(
    process: Process,
    around: ProcessSurroundings,
) -> NoReturn:
    """Feed a transactional process from the log, in order, until cancelled.

    An event that breaks the process is a bug of ours: it is kept as a dead letter of origin ``process``
    and the others go on. Which event broke it is found by running the failed batch one by one.
    """
    one_by_one_until = 0
    while True:
        position = await around.store.read(lambda tx: lanes.position(tx, around.lane))
        size = 1 if position < one_by_one_until else BATCH
        outcome = await _turn(process, around, position, size)
        if outcome is None:
            one_by_one_until = position + BATCH
            continue
        around.beat()
        scanned, outputs = outcome
        if outputs:
            around.announce()
        if scanned == position:
            await around.bell.wait()


class _Broken(Exception):
    """A rule raised; carries which event, and which key when it broke while publishing."""

    def __init__(self, seq: int, cause: Exception, key: str | None = None) -> None:
        super().__init__(repr(cause) if key is None else f"publishing {key}: {cause!r}")
        self.seq = seq
        self.key = key


@contextmanager
def _blaming(seq: int, key: str | None = None) -> Iterator[None]:
    """What breaks inside is the fault of one event; what the store says of itself is not.

    A disk that fails while a rule reads its rows must end the daemon, not set a healthy event aside.

    Raises:
        _Broken: a rule raised, or what it gave cannot be kept.
        StoreError: the store could not do its part.
    """
    try:
        yield
    except _TooManyRows:
        raise
    except Exception as error:
        if isinstance(error, StoreError) and not isinstance(error, ConstraintBroken):
            raise
        raise _Broken(seq, error, key) from error


class _Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn comes to, before it is written."""

    scanned: int
    derived: list[tuple[int, list[BusinessEvent]]]
    """By the seq of the cause."""
    rows: dict[str, str]


async def _turn(
    process: Process, around: ProcessSurroundings, position: int, size: int
) -> tuple[int, int] | None:
    """One batch. Returns how far it got and how much it derived; None when it must be cut smaller."""

    def decide(tx: Tx, most: int | None) -> _Decided:
        rows, scanned = event_log.read_after(tx, position, process.consumes, size)
        state = StoredRows(tx, process.name, most)
        derived = []
        for row in rows:
            if around.entities is not None and row.entity not in around.entities:
                continue
            with _blaming(row.seq):
                derived.append((row.seq, process.apply(decode(row.payload), state)))
        return _Decided(scanned=scanned, derived=derived, rows=state.changed())

    def keep(tx: Tx, decided: _Decided) -> tuple[int, int]:
        outputs = 0
        for seq, events in decided.derived:
            with _blaming(seq):
                outputs += len(event_log.append(tx, events, around.now()).new)
        states.put_many(tx, process.name, decided.rows)
        if decided.scanned > position:
            lanes.advance(tx, around.lane, decided.scanned)
        return decided.scanned, outputs

    write, read = around.store.write, around.store.read
    try:
        try:
            return await wait_out(StoreFull, lambda: write(lambda tx: keep(tx, decide(tx, ROWS))))
        except _TooManyRows:
            if size > 1:
                return None
        decided = await read(lambda tx: decide(tx, None), limit_s=inf)
        return await wait_out(StoreFull, lambda: write(lambda tx: keep(tx, decided)))
    except _Broken as broken:
        if size > 1:
            return None
        culprit = broken
    await _set_aside(around, culprit)
    return culprit.seq, 0


async def _set_aside(around: ProcessSurroundings, broken: _Broken) -> None:
    """Give the event that broke a rule to a person; the lane goes on behind it.

    Where publishing broke, the event was applied, or will be: it is only named.
    """
    at, lane = around.now(), around.lane
    log.error("process.broken", extra={"lane": lane, "reason": str(broken)}, exc_info=broken)

    def unit(tx: Tx) -> None:
        (row,) = event_log.by_seqs(tx, [broken.seq])
        dead_letters.open_one(
            tx,
            "process",
            lane,
            "other",
            str(broken),
            at,
            seq=row.seq,
            subject=row.subject,
            payload_hash=sha256(row.payload).hexdigest(),
            payload_place=row.id,
        )
        if broken.key is None:
            lanes.advance(tx, lane, row.seq)

    await wait_out(StoreFull, lambda: around.store.write(unit))


class _Pending(msgspec.Struct, frozen=True, kw_only=True):
    """What waits to be published under one key; kept, so that a restart publishes it too."""

    since: datetime
    basis: list[str]


class _PendingKeys(msgspec.Struct, frozen=True, kw_only=True):
    """All keys that wait."""

    keys: dict[str, datetime]


def unpublished(tx: Tx, process: str) -> frozenset[str]:
    """The keys an analytical process has read something of and has yet to publish."""
    text = states.get(tx, process, PENDING)
    return frozenset() if text is None else frozenset(decode_state(text, _PendingKeys).keys)


BASIS_MAX = 500
"""An event names at most so many facts it folded: the newest of them."""


async def run_analytical(
    process: AnalyticalProcess,
    around: ProcessSurroundings,
    *,
    lag_window_s: float,
) -> NoReturn:
    """Feed an analytical process; state each dirty key once its oldest fact is ``lag_window_s`` old.

    What breaks the process is kept as a dead letter of origin ``process``, as in `run_process`; a key that
    cannot be published is given up until a newer fact names it.
    """
    window = timedelta(seconds=lag_window_s)
    one_by_one_until = 0
    given_up: set[str] = set()
    while True:
        position = await around.store.read(lambda tx: lanes.position(tx, around.lane))
        size = 1 if position < one_by_one_until else BATCH
        skip = frozenset(given_up)
        try:
            turned = await wait_out(
                StoreFull,
                lambda size=size, skip=skip: around.store.write(  # type: ignore[misc]
                    lambda tx: _fold(tx, process, around, window, size, skip)
                ),
            )
        except _Broken as broken:
            if broken.key is not None:
                given_up.add(broken.key)
                await _set_aside(around, broken)
            elif size > 1:
                one_by_one_until = position + BATCH
            else:
                await _set_aside(around, broken)
            continue
        given_up.clear()
        around.beat()
        if turned.outputs:
            around.announce()
        if not turned.moved:
            next_at = turned.next_at
            pause = inf if next_at is None else max(0.05, (next_at - around.now()).total_seconds())
            await around.bell.wait(pause)


class _Folded(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn of an analytical process came to."""

    moved: bool
    """Something was done, or is left to do at once."""
    outputs: int
    next_at: datetime | None


def _fold(
    tx: Tx,
    process: AnalyticalProcess,
    around: ProcessSurroundings,
    window: timedelta,
    size: int,
    given_up: frozenset[str],
) -> _Folded:
    """One turn: take what is new, publish what is ripe; of either so much that others wait not long."""
    lane, at = around.lane, around.now()
    position = lanes.position(tx, lane)
    rows, scanned = event_log.read_after(tx, position, process.consumes, size)
    state = StoredRows(tx, process.name)
    waiting = state.get(PENDING, _PendingKeys) or _PendingKeys(keys={})
    keys = dict(waiting.keys)
    for row in rows:
        if around.entities is not None and row.entity not in around.entities:
            continue
        with _blaming(row.seq):
            named = sorted(process.apply(decode(row.payload), state))
        for key in named:
            held = state.get(PENDING + key, _Pending)
            if held is None or key not in keys:
                held = _Pending(since=at, basis=[])
                keys[key] = at
            state.put(PENDING + key, _Pending(since=held.since, basis=[*held.basis, row.id][-BASIS_MAX:]))
    outputs = 0
    ripe = [key for key, since in keys.items() if since + window <= at]
    for key in ripe[:size]:
        if key not in given_up:
            outputs += _publish(tx, process, key, state, at)
        del keys[key]
    if keys != waiting.keys:
        state.put(PENDING, _PendingKeys(keys=keys))
    state.store()
    if scanned > position:
        lanes.advance(tx, lane, scanned)
    next_at = min(keys.values()) + window if keys else None
    moved = scanned > position or len(ripe) > size
    return _Folded(moved=moved, outputs=outputs, next_at=next_at)


def _publish(tx: Tx, process: AnalyticalProcess, key: str, state: StoredRows, at: datetime) -> int:
    """Log what is to be said of a key; how many new events that were."""
    held = state.get(PENDING + key, _Pending)
    assert held is not None and held.basis, "a key waits because a fact named it"
    newest = event_log.by_id(tx, held.basis[-1])
    assert newest is not None, "the log forgets nothing"
    with _blaming(newest.seq, key):
        return len(event_log.append(tx, process.publish(key, state, at, held.basis), at).new)
