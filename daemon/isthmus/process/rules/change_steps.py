"""The desk where a change order moves on: what a step waits for, what is said of it, what it orders."""

from dataclasses import dataclass

from msgspec.structs import replace

from isthmus.events.base import BusinessEvent
from isthmus.events.control import (
    ChangeOrderStepped,
    ChangeStep,
    DeliverySettled,
    DemandRevised,
    StepState,
)
from isthmus.process.face import States
from isthmus.process.rules import index
from isthmus.process.rules.change_rows import (
    FACTS,
    STEPS,
    Awaited,
    Change,
    Contract,
    LaneWord,
    Routes,
    Said,
)
from isthmus.process.rules.derive import Derivation

__all__ = ["NAME", "Desk"]

NAME = "change-order"

_SPEAKERS = {
    "project.created": "project-setup",
    "schedule.revised": "the schedule",
    "demand.revised": "the demand",
    "forecast.revised": "the forecast",
}


def _awaited(kind: str) -> str:
    return f"{_SPEAKERS[kind]} to say {kind}"


@dataclass(frozen=True)
class _Verdict:
    """How a step stands."""

    state: StepState
    detail: str


class Desk:
    """Moves changes on for one cause; rows are written as they change, words collect in ``out``."""

    def __init__(self, cause: BusinessEvent, states: States) -> None:
        self.states = states
        self.out = Derivation(NAME, cause)

    def contract(self, key: str) -> Contract:
        return self.states.get(f"contract:{key}", Contract) or Contract()

    def change(self, key: str) -> Change | None:
        return self.states.get(f"change:{key}", Change)

    # What was learnt

    def accept(self, change: Change) -> None:
        """Billing took the terms: they supersede what is left of every older revision."""
        row = self.contract(change.contract)
        if change.revision <= row.accepted:
            return
        overtaken = [revision for revision in row.waiting if revision < change.revision]
        waiting = [revision for revision in row.waiting if revision > change.revision]
        under_way = row.under_way
        moot = sorted({*row.moot, *overtaken} - {change.revision})
        row = replace(row, accepted=change.revision, waiting=waiting, under_way=change.revision, moot=moot)
        self._keep(change.contract, row)
        for revision in (*overtaken, under_way):
            if revision is not None:
                self._supersede(change.contract, revision, change.revision)
        index.add(self.states, f"open:{change.entity}", change.number, change.key)
        self.go_on(replace(change, open=True, accepted=True, held=""))

    def refuse(self, change: Change, reason: str) -> None:
        """Billing holds the terms; what was accepted before goes on, older ones that wait are replaced."""
        if change.accepted or not change.open:
            return
        row = self.contract(change.contract)
        overtaken = [revision for revision in row.waiting if revision < change.revision]
        waiting = [revision for revision in row.waiting if revision >= change.revision]
        self._keep(change.contract, replace(row, waiting=waiting, moot=sorted({*row.moot, *overtaken})))
        for revision in overtaken:
            self._supersede(change.contract, revision, change.revision)
        self.go_on(replace(change, held=reason))

    def said(self, change: Change, kind: str, event: BusinessEvent) -> None:
        """A fact that carries the change is in the log; its deliveries are looked at from now on."""
        self.look_at(event.id, kind, change)
        facts = change.fact(kind)
        if not facts.said:
            self.go_on(change.with_facts(kind, replace(facts, said=True)))

    def settle(self, event: DeliverySettled) -> None:
        """A lane's word about a fact. What was delivered once stays delivered, whatever a later one meets."""
        awaited = self.states.get(f"fact:{event.event}", Awaited)
        if awaited is None:
            return
        word = LaneWord(outcome=event.outcome, detail=event.detail)
        for key in awaited.changes:
            change = self.change(key)
            assert change is not None, "a change that waits has its row"
            facts = change.fact(awaited.kind)
            known = facts.lanes.get(event.lane)
            if known is None or known.outcome != "delivered":
                facts = replace(facts, lanes={**facts.lanes, event.lane: word})
                self.go_on(change.with_facts(awaited.kind, facts))

    def look_at(self, fact: str, kind: str, change: Change) -> None:
        """What becomes of the fact ``fact`` matters to the change."""
        awaited = self.states.get(f"fact:{fact}", Awaited) or Awaited(changes=[], kind=kind)
        if change.key not in awaited.changes:
            self.states.put(f"fact:{fact}", replace(awaited, changes=[*awaited.changes, change.key]))

    # Moving on

    def go_on(self, change: Change) -> None:
        """Say how the step stands, and order the next ones as far as each is done."""
        while change.open:
            step = STEPS[change.step]
            change = self._prepare(change, step)
            verdict = self._judge(change, step)
            change = self._say(change, step, verdict.state, verdict.detail)
            if verdict.state != "done":
                break
            if step == "contract":
                self._compensate(change)
            change = replace(change, step=change.step + 1)
            if change.step == len(STEPS):
                change = self._close(change)
        self.states.put(f"change:{change.key}", change)

    def _prepare(self, change: Change, step: ChangeStep) -> Change:
        """What a step begins with: the order to the schedule, the word to whoever plans."""
        if step == "schedule" and not change.order:
            change = self._say(change, step, "ordered", f"waits for {_awaited('schedule.revised')}")
            return replace(change, order=self.out.events[-1].id)
        if step == "demand" and not change.fact("demand.revised").said:
            event = self.out.add(
                DemandRevised,
                entity=change.entity,
                contract=change.contract,
                project=change.project,
                revision=change.revision,
                currency=change.currency,
                budget=change.budget,
                hours=change.hours,
            )
            self.look_at(event.id, "demand.revised", change)
            return change.with_facts("demand.revised", replace(change.fact("demand.revised"), said=True))
        return change

    def _judge(self, change: Change, step: ChangeStep) -> _Verdict:
        if step == "terms":
            if change.held:
                return _Verdict("failed", f"billing holds it: {change.held}")
            if change.accepted:
                return _Verdict("done", "billing took the terms")
            return _Verdict("ordered", "waits for billing")
        routes = self.states.get(f"routes:{change.entity}", Routes)
        refused, waits, told, notes = [], [], [], []
        for kind in FACTS[step]:
            facts = change.fact(kind)
            if facts.none:
                notes.append(facts.none)
                continue
            lanes = routes.lanes.get(kind, []) if routes is not None else []
            if not facts.said and (lanes or not facts.expected):
                waits.append(_awaited(kind))
                continue
            if routes is None:
                waits.append(f"the routes of {change.entity}")
                continue
            if not lanes:
                notes.append(f"no lane carries {kind}")
            for lane in lanes:
                word = facts.lanes.get(lane)
                if word is None:
                    waits.append(f"{lane} to take {kind}")
                elif word.outcome == "refused":
                    refused.append(f"{lane} refused {kind}: {word.detail}")
                elif word.outcome == "in_doubt":
                    waits.append(f"{lane}, which is in doubt about {kind}: {word.detail}")
                else:
                    told.append(lane)
        if refused:
            return _Verdict("failed", "; ".join(refused))
        if waits:
            return _Verdict("ordered", "waits for " + ", ".join(dict.fromkeys(waits)))
        if told:
            notes.insert(0, "told " + ", ".join(dict.fromkeys(told)))
        return _Verdict("done", "; ".join(notes))

    # Ends

    def _supersede(self, contract: str, revision: int, by: int) -> None:
        change = self.change(f"{contract}/{revision}")
        assert change is not None, "a revision in the contract's row has its change"
        if not change.open:
            return
        left = STEPS[change.step :]
        detail = f"revision {by} takes its place"
        if change.accepted:
            detail = f"revision {by} takes over {', '.join(left)}"
        change = self._say(change, left[0], "superseded", detail)
        self.states.put(f"change:{change.key}", self._close(change))

    def _compensate(self, by: Change) -> None:
        """Others were told ``by`` now: what they heard of terms that never held is made good."""
        row = self.contract(by.contract)
        settled = [revision for revision in row.moot if revision < by.revision]
        for revision in settled:
            change = self.change(f"{by.contract}/{revision}")
            assert change is not None, "a revision in the contract's row has its change"
            told = [
                lane
                for kind in FACTS["contract"]
                for lane, word in change.fact(kind).lanes.items()
                if word.outcome == "delivered"
            ]
            if told and not change.accepted:
                lanes = ", ".join(dict.fromkeys(told))
                detail = f"{lanes} heard revision {revision}; they have revision {by.revision} now"
                change = self._say(change, "contract", "compensated", detail)
                self.states.put(f"change:{change.key}", change)
        if settled:
            moot = [revision for revision in row.moot if revision not in settled]
            self._keep(by.contract, replace(row, moot=moot))

    def _close(self, change: Change) -> Change:
        row = self.contract(change.contract)
        if row.under_way == change.revision:
            self._keep(change.contract, replace(row, under_way=None))
        index.discard(self.states, f"open:{change.entity}", change.number)
        return replace(change, open=False)

    def _say(self, change: Change, step: ChangeStep, state: StepState, detail: str) -> Change:
        """Say it, unless it was the last thing said of the step."""
        said = Said(state=state, detail=detail)
        if change.said.get(step) == said:
            return change
        self.out.add(
            ChangeOrderStepped,
            entity=change.entity,
            change=change.key,
            contract=change.contract,
            project=change.project,
            step=step,
            state=state,
            detail=detail,
            revision=change.words + 1,
        )
        return replace(change, said={**change.said, step: said}, words=change.words + 1)

    def _keep(self, contract: str, row: Contract) -> None:
        self.states.put(f"contract:{contract}", row)
