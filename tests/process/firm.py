"""A firm in miniature: one log, the processes that read it at their own pace, billing's word, and lanes.

Everything that a change order meets can be played in any order: a process may lag, a lane refuse, a forecast
be late. Contract C1 on project P1.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from isthmus.events import (
    BusinessEvent,
    ChangeOrderStepped,
    ContractAmended,
    ContractLine,
    DeliverySettled,
    ForecastRevised,
    RoutesRevised,
    decode,
    encode,
)
from isthmus.process.face import Process
from isthmus.process.rules.change_order import ChangeOrder
from isthmus.process.rules.project_setup import ProjectSetup
from isthmus.process.rules.schedule import Schedule
from isthmus.process.states import MemoryStates
from tests.process.agreed import AT, amended, told

LANES: Mapping[str, Sequence[str]] = {
    "contract.amended": ["psa"],
    "project.created": ["psa", "erp"],
    "schedule.revised": ["erp"],
    "demand.revised": ["planner"],
    "forecast.revised": ["outlook"],
}
"""Which lanes carry which kinds."""


class Firm:
    """``log`` is what is recorded; every reader has its position in ``read``."""

    def __init__(self, *facts: BusinessEvent, lanes: Mapping[str, Sequence[str]] = LANES) -> None:
        self.log: list[BusinessEvent] = []
        self.lanes: dict[str, list[str]] = {}
        self.processes: dict[str, Process] = {
            made.name: made for made in (ProjectSetup(), Schedule(), ChangeOrder())
        }
        self.states = {name: MemoryStates() for name in self.processes}
        self.read: dict[str, int] = {}
        self.dead: dict[str, list[BusinessEvent]] = {}
        """By lane: what it refused or is in doubt about."""
        self.pending: ContractAmended | None = None
        """The amendment billing holds."""
        self.basis: list[str] = []
        self._routed = 0
        self.route(lanes)
        for fact in facts:
            self.add(fact)

    def add(self, event: BusinessEvent) -> None:
        assert event.id not in {other.id for other in self.log}, "each word has an id of its own"
        assert decode(encode(event)) == event
        self.log.append(event)

    def next(self, reader: str, *kinds: str) -> BusinessEvent | None:
        """The next fact of these kinds that ``reader`` has not read; it has read it then."""
        while (at := self.read.get(reader, 0)) < len(self.log):
            self.read[reader] = at + 1
            if self.log[at].kind in kinds:
                return self.log[at]
        return None

    # What may happen

    def route(self, lanes: Mapping[str, Sequence[str]]) -> None:
        self._routed += 1
        self.lanes = {kind: list(names) for kind, names in lanes.items()}
        self.add(RoutesRevised(**told(), revision=self._routed, lanes=self.lanes))

    def amend(self, *lines: ContractLine, **changes: Any) -> ContractAmended:
        newest = sum(1 for event in self.log if isinstance(event, ContractAmended)) + 2
        event = amended(newest, *lines, **changes)
        self.add(event)
        return event

    def bill(self, *, trouble: str = "") -> bool:
        """Billing's word about the next amendment; False when there is none."""
        event = self.next("billing", "contract.amended")
        if not isinstance(event, ContractAmended):
            return False
        self.pending = event if trouble else None
        self._word(event, "failed" if trouble else "done", trouble)
        return True

    def accept_late(self) -> bool:
        """Billing takes the amendment it held."""
        if self.pending is None:
            return False
        self._word(self.pending, "done", "")
        self.pending = None
        return True

    def work(self, name: str) -> bool:
        """A process takes its next fact; False when it has read all."""
        process = self.processes[name]
        event = self.next(name, *process.consumes)
        if event is None:
            return False
        for derived in process.apply(event, self.states[name]):
            self.add(derived)
        return True

    def carry(self, lane: str, outcome: Any = "delivered") -> bool:
        """A lane delivers its next fact, or not."""
        event = self.next(lane, *(kind for kind, names in self.lanes.items() if lane in names))
        if event is None:
            return False
        self._settle(lane, event, outcome, 1)
        return True

    def retry(self, lane: str) -> bool:
        """What a lane refused first is delivered."""
        if not self.dead.get(lane):
            return False
        self._settle(lane, self.dead[lane].pop(0), "delivered", 2)
        return True

    def fold(self) -> bool:
        """The forecast takes a fact; it does not say anything yet."""
        event = self.next("forecast", "contract.amended", "charge.determined")
        if event is not None:
            self.basis.append(event.id)
        return event is not None

    def outlook(self) -> bool:
        """The forecast says what it folded."""
        basis, self.basis = self.basis, []
        if basis:
            self.add(
                ForecastRevised(
                    **told(),
                    project="P1",
                    currency="EUR",
                    as_of=AT,
                    months=[],
                    backlog=Decimal(0),
                    basis=basis,
                )
            )
        return bool(basis)

    def settle(self, *without: str) -> None:
        """Everybody but those named does all there is to do."""
        moved = True
        while moved:
            moved = "billing" not in without and self.bill()
            for name in sorted(set(self.processes) - set(without)):
                moved |= self.work(name)
            for lane in sorted({lane for names in self.lanes.values() for lane in names} - set(without)):
                moved |= self.carry(lane)
            if "forecast" not in without:
                moved |= self.fold()
                moved |= self.outlook()

    def _word(self, event: ContractAmended, state: Any, detail: str) -> None:
        given = {"change": f"C1/{event.revision}", "contract": "C1", "project": "P1", "step": "terms"}
        self.add(ChangeOrderStepped(**told(source="billing", **given), state=state, detail=detail))

    def _settle(self, lane: str, event: BusinessEvent, outcome: Any, revision: int) -> None:
        if outcome != "delivered":
            self.dead.setdefault(lane, []).append(event)
        self.add(
            DeliverySettled(
                **told(),
                delivery=f"{lane}|{event.id}",
                event=event.id,
                lane=lane,
                outcome=outcome,
                detail="" if outcome == "delivered" else "no such project",
                project="P1",
                revision=revision,
            )
        )

    # What was said

    @property
    def words(self) -> list[ChangeOrderStepped]:
        """The change-order process's own."""
        return [
            event
            for event in self.log
            if isinstance(event, ChangeOrderStepped) and event.source == "change-order"
        ]

    def story(self) -> list[str]:
        return [f"{word.change} {word.step} {word.state}: {word.detail}" for word in self.words]

    def stands(self, change: str) -> dict[str, str]:
        """The newest state of each step."""
        return {word.step: word.state for word in self.words if word.change == change}
