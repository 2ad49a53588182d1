"""What holds of change orders in every interleaving of words, deliveries, refusals, retries and amendments.

Everything a change order meets reads the log at its own pace. The checks know nothing of the process's rows:
they look at the log alone. Each has planted bugs that it must find.
"""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from isthmus.events import (
    BusinessEvent,
    ChangeOrderStepped,
    ContractAmended,
    DeliverySettled,
    DemandRevised,
    ForecastRevised,
    ProjectCreated,
    ScheduleRevised,
    encode,
)
from isthmus.process.rules import change_steps
from isthmus.process.rules.change_order import ChangeOrder
from isthmus.process.rules.change_rows import STEPS, Change
from isthmus.process.states import MemoryStates
from tests.process.agreed import FEE, HOURS, signed
from tests.process.firm import LANES, Firm

PEERS = sorted({lane for lanes in LANES.values() for lane in lanes})
Act = tuple[str, str, int]

acts: st.SearchStrategy[Act] = st.one_of(
    st.tuples(st.just("work"), st.sampled_from(["project-setup", "schedule"]), st.integers(1, 4)),
    st.tuples(st.just("work"), st.just("change-order"), st.integers(1, 6)),
    st.tuples(st.just("carry"), st.sampled_from(PEERS), st.integers(1, 3)),
    st.tuples(st.sampled_from(["refuse", "doubt"]), st.sampled_from(PEERS), st.just(1)),
    st.tuples(st.just("retry"), st.sampled_from(PEERS), st.just(1)),
    st.tuples(st.sampled_from(["amend", "amend", "take", "hold", "take late"]), st.just(""), st.just(1)),
    st.tuples(st.sampled_from(["fold", "outlook"]), st.just(""), st.just(1)),
    st.tuples(st.just("settle"), st.sampled_from(PEERS), st.just(1)),
)
histories = st.one_of(st.lists(acts, max_size=15), st.lists(acts, min_size=30, max_size=80))


def play(history: list[Act]) -> Firm:
    acme = Firm(signed(FEE, HOURS))
    deeds: dict[str, Callable[[str], object]] = {
        "work": acme.work,
        "carry": acme.carry,
        "refuse": lambda lane: acme.carry(lane, "refused"),
        "doubt": lambda lane: acme.carry(lane, "in_doubt"),
        "retry": acme.retry,
        "amend": lambda _: acme.amend(FEE, replace(HOURS, cap_amount=Decimal(1000 + len(acme.log)))),
        "take": lambda _: acme.bill(),
        "hold": lambda _: acme.bill(trouble="bad_terms"),
        "take late": lambda _: acme.accept_late(),
        "fold": lambda _: acme.fold(),
        "outlook": lambda _: acme.outlook(),
        "settle": acme.settle,
    }
    for verb, who, times in history:
        for _ in range(times):
            deeds[verb](who)
    return acme


def out_of_order(acme: Firm) -> list[str]:
    """Words that come before the step in front of theirs is done, or after the change is over."""
    found = []
    done: dict[str, set[str]] = {}
    over: set[str] = set()
    for word in acme.words:
        before = STEPS[: STEPS.index(word.step)]
        if word.state == "compensated":
            if word.change not in over:
                found.append(f"{word.change} is compensated and goes on")
            continue
        if word.change in over and word.step != "terms":
            found.append(f"{word.change} goes on after it was superseded")
        over.discard(word.change)
        if not set(before) <= done.setdefault(word.change, set()):
            found.append(f"{word.change} {word.step} {word.state} before {', '.join(before)}")
        if word.state == "done":
            done[word.change].add(word.step)
        if word.state == "superseded":
            over.add(word.change)
    return found


def without_evidence(acme: Firm) -> list[str]:
    """Steps said to be done before what they wait for is in the log."""
    return [
        f"{word.change} {word.step}"
        for word in acme.words
        if word.state == "done" and not _evident(acme.log, acme.log.index(word), word)
    ]


def _evident(log: list[BusinessEvent], end: int, word: ChangeOrderStepped) -> bool:
    past = log[:end]
    (amended,) = [e for e in past if isinstance(e, ContractAmended) and f"C1/{e.revision}" == word.change]
    if word.step == "terms":
        return any(
            isinstance(e, ChangeOrderStepped)
            and (e.source, e.change, e.step, e.state) == ("billing", word.change, "terms", "done")
            for e in past
        )
    carriers: dict[str, list[str]] = {kind: [] for kind in LANES}
    later = {e.id for e in past[past.index(amended) :] if isinstance(e, ContractAmended)}
    orders = [
        e.id
        for e in past
        if isinstance(e, ChangeOrderStepped)
        and (e.change, e.step, e.state) == (word.change, "schedule", "ordered")
    ]
    for event in past:
        match event:
            case ContractAmended() if event is amended:
                carriers["contract.amended"].append(event.id)
            case ProjectCreated() if event.causation == amended.id or carriers["project.created"]:
                carriers["project.created"].append(event.id)
            case ScheduleRevised() if event.causation in orders or carriers["schedule.revised"]:
                carriers["schedule.revised"].append(event.id)
            case DemandRevised() if event.revision == amended.revision:
                carriers["demand.revised"].append(event.id)
            case ForecastRevised() if later & set(event.basis) or carriers["forecast.revised"]:
                carriers["forecast.revised"].append(event.id)
    kinds = {
        "contract": ("contract.amended", "project.created"),
        "schedule": ("schedule.revised",),
        "demand": ("demand.revised",),
        "projection": ("forecast.revised",),
    }[word.step]
    arrived = {(e.lane, e.event) for e in past if isinstance(e, DeliverySettled) and e.outcome == "delivered"}
    return all(any((lane, id) in arrived for id in carriers[kind]) for kind in kinds for lane in LANES[kind])


def wordless(acme: Firm) -> list[str]:
    """Changes that neither ended nor say what they wait for, once the process has read all there is."""
    while acme.work("change-order"):
        pass
    newest: dict[str, ChangeOrderStepped] = {}
    for word in acme.words:
        if word.state != "compensated":
            newest[word.change] = word
    amended = {f"C1/{event.revision}" for event in acme.log if isinstance(event, ContractAmended)}
    found = sorted(amended - newest.keys())
    for word in newest.values():
        ended = word.state == "superseded" or (word.step, word.state) == ("projection", "done")
        waits = word.state == "ordered" and word.detail.startswith("waits for ")
        fails = word.state == "failed" and bool(word.detail)
        if not (ended or waits or fails):
            found.append(f"{word.change} {word.step} {word.state}: {word.detail}")
    return found


def unfinished(acme: Firm) -> list[str]:
    """Changes that did not end although everybody did their part."""
    while acme.bill():
        pass
    acme.accept_late()
    acme.settle()
    while any([acme.retry(lane) for lane in PEERS]):  # noqa: C419
        acme.settle()
    newest = {word.change: word for word in acme.words if word.state != "compensated"}
    return [
        f"{word.change} {word.step} {word.state}: {word.detail}"
        for word in newest.values()
        if word.state != "superseded" and (word.step, word.state) != ("projection", "done")
    ]


CHECKS = [out_of_order, without_evidence, wordless, unfinished]


@settings(max_examples=150, deadline=None)
@given(history=histories)
def test_steps_go_in_order_on_evidence_and_each_change_ends_or_names_what_it_waits_for(
    history: list[Act],
) -> None:
    acme = play(history)
    for check in CHECKS:
        assert check(acme) == []
    # The checks above made everybody finish; all of it must hold to the very end.
    assert out_of_order(acme) + without_evidence(acme) == []


@settings(max_examples=30, deadline=None)
@given(history=histories)
def test_a_replay_of_the_log_says_the_same_to_the_byte(history: list[Act]) -> None:
    acme = play(history)
    unfinished(acme)
    process, states = ChangeOrder(), MemoryStates()
    replayed: list[bytes] = []
    for event in acme.log:
        if event.kind in process.consumes:
            replayed += [encode(derived) for derived in process.apply(event, states)]
    assert replayed == [encode(event) for event in acme.log if event.source == "change-order"]
    assert states.rows == acme.states["change-order"].rows


@settings(max_examples=30, deadline=None)
@given(history=histories)
def test_no_row_grows_with_what_happened(history: list[Act]) -> None:
    """A change remembers its five steps and its lanes, whatever was said and however often."""
    acme = play(history)
    unfinished(acme)
    for key, row in acme.states["change-order"].rows.items():
        assert len(row) < 4000, key


def _impatient(judge: Any) -> Any:
    """Takes the contract as told as soon as it is ordered."""

    def mutant(self: Any, change: Change, step: str) -> Any:
        verdict = judge(self, change, step)
        return replace_verdict(verdict, "done") if step == "contract" else verdict

    return mutant


def replace_verdict(verdict: Any, state: str) -> Any:
    return type(verdict)(state, verdict.detail)


def _ahead(go_on: Any) -> Any:
    """Orders the demand together with the schedule."""

    def mutant(self: Any, change: Change) -> None:
        go_on(self, change)
        kept = self.change(change.key)
        if STEPS[min(kept.step, 4)] == "schedule" and "demand" not in kept.said and kept.open:
            self.states.put(f"change:{kept.key}", self._say(kept, "demand", "ordered", "waits for planner"))

    return mutant


def _forgets_retries(settle: Any) -> Any:
    """Believes the first word about a delivery for good."""

    def mutant(self: Any, event: DeliverySettled) -> None:
        if event.revision == 1:
            settle(self, event)

    return mutant


def _forgets_the_older(supersede: Any) -> Any:
    """Leaves an older amendment as it stands."""
    return lambda self, contract, revision, by: None


def _mute(say: Any) -> Any:
    """Does not say what it waits for."""

    def mutant(self: Any, change: Change, step: Any, state: Any, detail: str) -> Any:
        return say(self, change, step, state, "" if state == "ordered" else detail)

    return mutant


@pytest.mark.parametrize(
    ("name", "mutant", "check"),
    [
        pytest.param(
            "_judge", _impatient, without_evidence, id="a step that does not wait for its deliveries"
        ),
        pytest.param("go_on", _ahead, out_of_order, id="a step ordered before the one before it is done"),
        pytest.param("settle", _forgets_retries, unfinished, id="a retry that is not heard"),
        pytest.param("_supersede", _forgets_the_older, unfinished, id="an older amendment left open"),
        pytest.param("_say", _mute, wordless, id="a step that does not say what it waits for"),
    ],
)
def test_the_checks_find_a_planted_bug(
    monkeypatch: pytest.MonkeyPatch, name: str, mutant: Any, check: Callable[[Firm], list[str]]
) -> None:
    monkeypatch.setattr(change_steps.Desk, name, mutant(getattr(change_steps.Desk, name)))
    search = settings(max_examples=5_000, deadline=None, database=None, phases=SEARCH)
    assert find(histories, lambda history: bool(check(play(history))), settings=search, random=Random(5))


SEARCH = [phase for phase in settings().phases if phase.name == "generate"]
