"""Charges that a close overtook on their way: they were not sent, so they are made again."""

from isthmus.events.control import ChargeOvertaken
from isthmus.process.rules.desk import Desk
from isthmus.process.rules.holds import put_in_place, save, wake
from isthmus.process.rules.rows import Fact

__all__ = ["overtake"]


def overtake(desk: Desk, event: ChargeOvertaken) -> None:
    """Reverse the charge and determine its part of the work again; say a reversal again on an open day.

    What was taken back meanwhile needs nothing: its reversal is passed over where the charge was.
    """
    origin = "time" if event.origin == "retainer_overage" else event.origin
    fact = desk.states.get(f"{origin}:{event.origin_key}", Fact)
    if fact is None:
        return
    why = f"not sent, period {event.period} was closed meanwhile"
    for said in fact.reversed:
        if said.charge == event.charge:
            save(desk, desk.say_again(fact, said, why))
            return
    for charge in fact.charges:
        if charge.charge == event.charge:
            fact = desk.reverse_one(fact, charge, why)
            break
    else:
        return
    save(desk, fact)
    if fact.waiting is not None and not fact.stands:
        placed = put_in_place(desk, fact, fact.waiting.work, fact.waiting.why)
        assert placed is not None, "nothing stands that a closed period could keep"
        fact = placed
    if fact.waiting is None and fact.work is not None:
        save(desk, desk.determine(fact))
    wake(desk, [])
