"""What one call came to: proven, failed with a fate, or put back because the peer rests. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from isthmus.delivery.attempt import Crash, Outcome, class_of
from isthmus.delivery.lane import Group, Item, Lane
from isthmus.delivery.policy import CRASHES_MAX, DeadLetter, Fate, Park, Rest, decide
from isthmus.delivery.settle import Failure, Folded, Settlement, Success
from isthmus.delivery.window import Window
from isthmus.sdk.connector import DeliveryClass, Receipt, Sink
from isthmus.sdk.errors import ConnectorError, Throttled, Unsure

__all__ = ["Ended", "judge"]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What a call came to: what is written down, what is put back, and what the peer asked for."""

    settlement: Settlement
    outcomes: Sequence[Outcome]
    put_back: Sequence[Item]
    rest_until: datetime | None
    park: Park | None


def judge(
    lane: Lane,
    sink: Sink,
    group: Group,
    outcomes: Sequence[Outcome],
    *,
    window: Window,
    call: int | None,
    rests: int,
    sibling_lanes: Sequence[str],
    now: datetime,
    confirms: frozenset[str] = frozenset(),
) -> Ended:
    """Sort the outcomes of one call.

    Args:
        outcomes: One for each item of the group, in its order.
        call: The number of the intent this ends; None where nothing was sent.
        rests: How often in a row the peer has asked for a pause before.
    """
    successes: list[Success] = []
    failures: list[Failure] = []
    folded: list[Folded] = []
    put_back: list[Item] = []
    rest_until: datetime | None = None
    park: Park | None = None
    for item, outcome in zip(group.items, outcomes, strict=True):
        if isinstance(outcome, Receipt):
            successes.append(Success(item=item, receipt=outcome))
        else:
            fate = _fate(lane, sink, item, outcome, rests, now)
            if isinstance(fate, Rest):
                put_back.append(item)
                rest_until = fate.until if rest_until is None else max(rest_until, fate.until)
                continue
            if isinstance(fate, Park):
                put_back.append(item)
                park = fate
                continue
            failures.append(
                Failure(
                    item=item,
                    fate=fate,
                    error_class=type(outcome).__name__,
                    text=str(outcome),
                    peer_words=outcome.peer_words or "",
                    behind=window.behind(item),
                    crash=isinstance(outcome, Crash),
                    doubtful=isinstance(outcome, Unsure) or (item.doubtful and not _cleared(sink, item)),
                )
            )
        folded += [Folded(item=older, by=item) for older in group.folded.get(item.seq, ())]
    settled = {done.item.seq for done in successes} | {each.item.seq for each in folded}
    settled.update(item.seq for failed in failures for item in (failed.item, *failed.behind))
    settlement = Settlement(
        lane=lane.name,
        instance=lane.instance,
        call=call,
        successes=successes,
        failures=failures,
        folded=folded,
        position=window.position_without(settled),
        hold_on_dead=lane.hold_on_dead,
        sibling_lanes=sibling_lanes,
        confirms=confirms,
    )
    return Ended(
        settlement=settlement, outcomes=outcomes, put_back=put_back, rest_until=rest_until, park=park
    )


def _cleared(sink: Sink, item: Item) -> bool:
    """Whether a try that was answered settles what became of the one before it.

    Class B was looked up first, and of class C a person said what happened. A peer of class A that refuses
    may refuse to touch the very record that an earlier try left there.
    """
    return class_of(sink, item) is not DeliveryClass.A


def _fate(lane: Lane, sink: Sink, item: Item, error: ConnectorError, rests: int, now: datetime) -> Fate:
    crashes = item.crashes + 1
    if isinstance(error, Crash) and crashes >= CRASHES_MAX:
        return DeadLetter("other", f"the connector broke {crashes} times on it: {error}")
    return decide(
        error,
        delivery_class=class_of(sink, item),
        attempts=rests + 1 if isinstance(error, Throttled) else item.attempts + 1,
        age=now - (item.first_failed_at or now),
        now=now,
        retry=lane.retry,
        worst_commit_s=sink.worst_commit_s,
    )
