"""The part of the log a lane has read and not settled yet: order per subject, parallel across. Pure."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush

from isthmus.delivery.lane import Group, Item

__all__ = ["Window"]


class Window:
    """Read but unsettled items of one lane.

    Of each subject at most one item is in flight, the oldest one first. Items read from the log count for
    the position until they are settled or have a row of their own; items that have a row (they failed
    before, or stand behind one that did) come in through `add_due` when the row is due, and the position
    need not wait for them.
    """

    def __init__(
        self,
        head: int,
        *,
        batch_max: int = 1,
        fold_after_s: float | None = None,
        alone: Callable[[Item], bool] = lambda item: item.in_doubt,
    ) -> None:
        """
        Args:
            head: The last sequence number that is dealt with.
            fold_after_s: Analytical lanes: an item waits so long for newer ones of its subject, and the
                newest goes for all of them.
            alone: Which items share no call with others.
        """
        self.head = head
        """The last sequence number read."""
        self._batch_max = batch_max
        self._fold_after = None if fold_after_s is None else timedelta(seconds=fold_after_s)
        self._alone = alone
        self._open: dict[int, Item] = {}
        """Everything the position must not pass, in the order of the log."""
        self._queues: dict[str, deque[Item]] = {}
        """What waits, by subject, oldest first; what is in flight is not in it."""
        self._ready: list[tuple[int, str]] = []
        """A heap of subjects that may have something to go, by their oldest item; checked when popped."""
        self._listed: set[str] = set()
        self._due: dict[str, Item] = {}
        """By subject: the oldest item whose row is due."""
        self._busy: dict[str, int] = {}
        """By subject: what is in flight."""

    def __len__(self) -> int:
        return len(self._open)

    def rows_here(self) -> set[int]:
        """The items with rows that are here already, due or in flight, among them what else is in flight."""
        return {item.seq for item in self._due.values()} | set(self._busy.values())

    def add(self, item: Item) -> None:
        """Take an item read from the log; items come in the log's order."""
        self._open[item.seq] = item
        queue = self._queues.get(item.subject)
        if queue is None:
            queue = self._queues[item.subject] = deque()
        queue.append(item)
        self._list(item.subject, queue)

    def lay_aside(self, item: Item) -> None:
        """It is about to get a row of its own: until it is `written`, the position must not pass it."""
        self._open[item.seq] = item

    def written(self, items: Iterable[Item]) -> None:
        """What was laid aside has its rows."""
        for item in items:
            self._open.pop(item.seq, None)

    def add_due(self, item: Item) -> None:
        """Take an item whose row is due; one that is here already is left alone."""
        if item.seq in self._open or self._busy.get(item.subject) == item.seq:
            return
        due = self._due.get(item.subject)
        if due is None or item.seq < due.seq:
            self._due[item.subject] = item

    def next_group(self, now: datetime) -> Group | None:
        """The items of the next call, marked in flight; None when nothing is ready."""
        group = Group(items=[], folded={})
        while len(group.items) < self._batch_max:
            item = self._pick(now, group)
            if item is None:
                break
            self._busy[item.subject] = item.seq
            group.items.append(item)
            if self._alone(item):
                break
        return group if group.items else None

    def _pick(self, now: datetime, group: Group) -> Item | None:
        for subject, item in self._due.items():
            queue = self._queues.get(subject)
            if subject in self._busy or (queue and queue[0].seq < item.seq):
                continue
            if group.items and self._alone(item):
                return None
            return self._due.pop(subject)
        first = self._oldest_ready()
        if first is None or (self._fold_after is not None and now < first.recorded_at + self._fold_after):
            return None
        heappop(self._ready)
        self._listed.discard(first.subject)
        queue = self._queues[first.subject]
        item = queue.popleft()
        if self._fold_after is not None and queue:
            older = [item, *queue]
            queue.clear()
            item = older.pop()
            group.folded[item.seq] = older
        return item

    def _oldest_ready(self) -> Item | None:
        while self._ready:
            _, subject = self._ready[0]
            queue = self._queues.get(subject)
            if queue and subject not in self._busy:
                return queue[0]
            heappop(self._ready)
            self._listed.discard(subject)
        return None

    def ripe_at(self, now: datetime) -> datetime | None:
        """When the first item that still waits for its lag window may go."""
        first = self._oldest_ready()
        if self._fold_after is None or first is None:
            return None
        at = first.recorded_at + self._fold_after
        return at if at > now else None

    def behind(self, item: Item) -> list[Item]:
        """The items that wait behind ``item``, oldest first."""
        return [other for other in self._queues.get(item.subject, ()) if other.seq > item.seq]

    def settled(self, item: Item) -> None:
        """``item`` has its receipt, or a row of its own: the next of its subject may go."""
        self._open.pop(item.seq, None)
        self._release(item)

    def folded(self, items: Iterable[Item]) -> None:
        """These were made moot by a newer one of their subject."""
        for item in items:
            self._open.pop(item.seq, None)

    def drop_behind(self, item: Item, behind: Collection[Item]) -> None:
        """The items behind ``item`` got rows of their own; then ``item`` itself is settled."""
        gone = {other.seq for other in behind}
        for seq in gone:
            self._open.pop(seq, None)
        if gone:
            queue = self._queues[item.subject]
            self._queues[item.subject] = deque(other for other in queue if other.seq not in gone)
        self.settled(item)

    def put_back(self, item: Item, folded: Sequence[Item] = ()) -> None:
        """The call did not happen, or the peer asked for a pause: as before `next_group`.

        An item with a row comes again through `add_due`.
        """
        if item.seq in self._open:
            self._queues.setdefault(item.subject, deque()).extendleft(reversed([*folded, item]))
        self._release(item)

    def _release(self, item: Item) -> None:
        subject = item.subject
        if self._busy.get(subject) == item.seq:
            del self._busy[subject]
        queue = self._queues.get(subject)
        if queue:
            self._list(subject, queue)
        else:
            self._queues.pop(subject, None)

    def _list(self, subject: str, queue: deque[Item]) -> None:
        if subject not in self._busy and subject not in self._listed:
            self._listed.add(subject)
            heappush(self._ready, (queue[0].seq, subject))

    def position_without(self, settled: Collection[int]) -> int:
        """The last sequence number up to which everything is settled, once ``settled`` are."""
        for seq in self._open:
            if seq not in settled:
                return seq - 1
        return self.head
