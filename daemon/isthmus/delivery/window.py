"""The part of the log a lane has read and not settled yet: order per subject, parallel across. Pure."""

from collections import deque
from collections.abc import Collection
from datetime import datetime, timedelta

from isthmus.delivery.lane import Group, Item

__all__ = ["Window"]


class Window:
    """Read but unsettled items of one lane.

    Of each subject at most one item is ready or in flight; those behind it wait. Items with a row of
    their own (they failed before) come in through `add_due` and are never followed here: whoever stands
    behind them has a row too.
    """

    def __init__(self, head: int, *, batch_max: int = 1, fold_after_s: float | None = None) -> None:
        self.head = head
        """The last sequence number read."""
        self._batch_max = batch_max
        self._fold_after = None if fold_after_s is None else timedelta(seconds=fold_after_s)
        self._open: dict[int, Item] = {}
        self._queues: dict[str, deque[Item]] = {}
        self._ready: deque[Item] = deque()
        self._due: dict[int, Item] = {}
        self._in_flight: set[int] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, item: Item) -> None:
        """Take an item read from the log; items come in the log's order."""
        self._open[item.seq] = item
        queue = self._queues.get(item.subject)
        if queue is None:
            self._queues[item.subject] = deque((item,))
            self._ready.append(item)
        else:
            queue.append(item)

    def add_due(self, item: Item) -> None:
        """Take an item whose row is due; one that is in hand already is left alone."""
        if item.seq not in self._in_flight:
            self._due[item.seq] = item

    def holds(self, seq: int) -> bool:
        return seq in self._open

    def next_group(self, now: datetime) -> Group | None:
        """The items of the next call, marked in flight; None when nothing is ready.

        Items in doubt go alone: they are looked up before anything is sent.
        """
        group = Group(items=[], folded=[])
        while len(group.items) < self._batch_max:
            item = self._pick(now, group)
            if item is None:
                break
            group.items.append(item)
            self._in_flight.add(item.seq)
            if item.in_doubt:
                break
        return group if group.items else None

    def _pick(self, now: datetime, group: Group) -> Item | None:
        if self._due:
            seq = next(iter(self._due))
            if group.items and self._due[seq].in_doubt:
                return None
            return self._due.pop(seq)
        if not self._ready:
            return None
        first = self._ready[0]
        if self._fold_after is None:
            return self._ready.popleft()
        if now < first.recorded_at + self._fold_after:
            return None
        self._ready.popleft()
        queue = self._queues[first.subject]
        newest = queue[-1]
        while queue[0] is not newest:
            group.folded.append(queue.popleft())
        return newest

    def ripe_at(self) -> datetime | None:
        """When the first item that waits for its lag window may go."""
        if self._fold_after is None or not self._ready:
            return None
        return self._ready[0].recorded_at + self._fold_after

    def behind(self, item: Item) -> list[Item]:
        """The items that wait behind ``item``, oldest first."""
        queue = self._queues.get(item.subject)
        if item.row or queue is None or queue[0] is not item:
            return []
        return list(queue)[1:]

    def settled(self, item: Item) -> None:
        """``item`` has its receipt, or a row of its own: the next of its subject may go."""
        self._in_flight.discard(item.seq)
        if self._open.pop(item.seq, None) is None:
            return
        queue = self._queues[item.subject]
        if queue[0] is item:
            queue.popleft()
            if queue:
                self._ready.append(queue[0])
            else:
                del self._queues[item.subject]

    def folded(self, item: Item) -> None:
        """``item`` was made moot by a newer one of its subject."""
        self._open.pop(item.seq, None)

    def drop_behind(self, item: Item, behind: Collection[Item]) -> None:
        """The items behind ``item`` got rows of their own; then ``item`` itself is settled."""
        for other in behind:
            self._open.pop(other.seq, None)
        if behind:
            self._queues[item.subject] = deque((item,))
        self.settled(item)

    def put_back(self, group: Group) -> None:
        """The call did not happen, or the peer asked for a pause: the items are ready again."""
        for item in reversed(group.items):
            self._in_flight.discard(item.seq)
            if not item.row:
                queue = self._queues[item.subject]
                queue.extendleft(other for other in reversed(group.folded) if other.subject == item.subject)
                self._ready.appendleft(queue[0])

    def position_without(self, settled: Collection[int]) -> int:
        """The last sequence number up to which everything is settled, once ``settled`` are."""
        for seq in self._open:
            if seq not in settled:
                return seq - 1
        return self.head
