"""Shadow replay: derive everything again from the log, and compare it with what was recorded.

Each process starts from nothing and is given the facts it was given, in their order. What it says now is
compared, event by event and to the byte, with what stands in the log under the same id. A changed rule shows
exactly which events would differ; a tampered or lost one shows as well.

An analytical process speaks when its lag window ends, which is not in the log. But each of its statements
lists its ``basis``, and nothing of its key happened between the last fact of the basis and the statement: so
the statement is made again right after that fact.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.codec import EventRefused, decode, encode
from isthmus.process.face import AnalyticalProcess, Process
from isthmus.process.rules.derive import lineage_id
from isthmus.process.states import MemoryStates

__all__ = ["Difference", "Entry", "Given", "Replay", "Verdict"]

Given = tuple[Process | AnalyticalProcess, frozenset[str] | None]
"""A process, and the legal entities whose facts it is given; None: all."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log, as far as a replay needs it."""

    seq: int
    id: str
    kind: str
    entity: str
    stale: bool
    payload: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One event that today's rules would not say as it was recorded."""

    process: str
    what: str
    """``differs``, ``missing`` (recorded, not derived now) or ``extra`` (derived now, not recorded)."""
    id: str
    kind: str
    key: str
    changed: dict[str, tuple[Any, Any]] = {}
    """By field: what was recorded, what is derived now. Whole events where they differ in their being."""


class Verdict(msgspec.Struct, kw_only=True):
    """What the replay of one process came to."""

    process: str
    read: int = 0
    """Facts it was given."""
    equal: int = 0
    differences: list[Difference] = []
    unread: list[str] = []
    """Ids of facts on which a rule broke, or that cannot be read: with the daemon they are work items."""

    @property
    def agrees(self) -> bool:
        return not self.differences


class _Journaled(MemoryStates):
    """Rows that can be put back to where an event found them: a rule that breaks leaves nothing behind."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, bytes | None] = {}

    def put(self, key: str, struct: msgspec.Struct) -> None:
        self._before.setdefault(key, self.rows.get(key))
        super().put(key, struct)

    def keep(self) -> None:
        self._before.clear()

    def put_back(self) -> None:
        for key, row in self._before.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self.keep()


class _Run:
    """One process over one log."""

    def __init__(
        self, process: Process | AnalyticalProcess, entities: frozenset[str] | None, until: int | None
    ) -> None:
        self.process = process
        self._until = until
        self.verdict = Verdict(process=process.name)
        self._entities = entities
        self._states = _Journaled()
        self._derived: dict[str, tuple[int, BusinessEvent]] = {}
        """By id: what was derived and not met in the log yet, with the seq of its cause."""
        self._due: dict[str, list[Entry]] = {}
        """By the last fact of a basis: statements recorded after it."""

    def expect(self, entry: Entry) -> None:
        """Hear of a recorded statement before the facts are replayed."""
        basis = msgspec.json.decode(entry.payload)["basis"]
        self._due.setdefault(basis[-1] if basis else "", []).append(entry)

    def take(self, entry: Entry) -> None:
        """Take the next row of the log, whatever it is."""
        if entry.id.startswith(f"{self.process.name}/"):
            self._compare(entry)
        if self._is_later(entry) or entry.kind not in self.process.consumes or entry.stale:
            return
        if self._entities is not None and entry.entity not in self._entities:
            return
        self.verdict.read += 1
        try:
            event = decode(entry.payload)
            derived = self._derive(entry, event)
        except Exception:  # noqa: BLE001 - a rule can break in any way; the daemon sets such a fact aside too
            self._states.put_back()
            self.verdict.unread.append(entry.id)
            return
        self._states.keep()
        self._derived.update((each.id, (entry.seq, each)) for each in derived)

    def end(self, position: int) -> None:
        """The log is at its end; ``position`` is how far the process has read."""
        for id, (cause, event) in self._derived.items():
            if cause <= position:
                self._differ("extra", id, event.kind, event.key)

    def _is_later(self, entry: Entry) -> bool:
        return self._until is not None and entry.seq > self._until

    def _derive(self, entry: Entry, event: BusinessEvent) -> list[BusinessEvent]:
        process: Any = self.process
        said = process.apply(event, self._states)
        if not _is_analytical(process):
            return list(said)
        found: list[BusinessEvent] = []
        for recorded in self._due.pop(entry.id, ()):
            statement: Any = decode(recorded.payload)
            for key in sorted(said):
                # The id tells which of the keys it was: it is made of the key and the basis.
                if lineage_id(process.name, statement.kind, key, statement.basis) == recorded.id:
                    found += process.publish(key, self._states, statement.occurred_at, statement.basis)
        return found

    def _compare(self, entry: Entry) -> None:
        _, now = self._derived.pop(entry.id, (0, None))
        if now is None:
            if self._is_later(entry):
                return  # what it follows from may be later, too
            self._differ("missing", entry.id, entry.kind, _key(entry))
            return
        recorded, derived = _said(entry.payload), encode(now)
        if recorded == derived:
            self.verdict.equal += 1
            return
        before, after = msgspec.json.decode(recorded), msgspec.json.decode(derived)
        changed = {
            field: (before.get(field), after.get(field))
            for field in {**before, **after}
            if before.get(field) != after.get(field)
        }
        self._differ("differs", entry.id, entry.kind, now.key, changed)

    def _differ(
        self, what: str, id: str, kind: str, key: str, changed: dict[str, tuple[Any, Any]] | None = None
    ) -> None:
        self.verdict.differences.append(
            Difference(process=self.process.name, what=what, id=id, kind=kind, key=key, changed=changed or {})
        )


class Replay:
    """All processes over one log, in one pass; statements of analytical ones are told beforehand."""

    def __init__(self, processes: Mapping[str, Given], *, until: int | None = None) -> None:
        """
        Args:
            processes: By lane.
            until: Facts behind this seq are not replayed; what the others led to is compared wherever it is.
        """
        self._runs = {lane: _Run(*given, until) for lane, given in processes.items()}

    def expect(self, entries: Iterable[Entry]) -> None:
        """First pass: the statements of analytical processes."""
        for entry in entries:
            for run in self._runs.values():
                if _is_analytical(run.process) and entry.id.startswith(f"{run.process.name}/"):
                    run.expect(entry)

    def take(self, entries: Iterable[Entry]) -> None:
        """Second pass: everything, in the order of the log."""
        for entry in entries:
            for run in self._runs.values():
                run.take(entry)

    def verdicts(self, positions: Mapping[str, int]) -> list[Verdict]:
        """What came of it.

        Args:
            positions: By lane, how far its process had read when the log was read.
        """
        for lane, run in self._runs.items():
            run.end(positions.get(lane, 0))
        return [run.verdict for run in self._runs.values()]


def _is_analytical(process: Process | AnalyticalProcess) -> bool:
    return hasattr(process, "publish")


def _said(payload: str) -> bytes:
    """In today's shape: an optional field that is new since then, or an old tag, is no difference."""
    return encode(decode(payload))


def _key(entry: Entry) -> str:
    try:
        return decode(entry.payload).key
    except EventRefused:
        return entry.id
