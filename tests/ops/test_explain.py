"""Why something is billed as it is, or not yet: each story and the answer finance gets."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargePosted,
    InvoiceReleased,
    InvoiceVoided,
    PaymentReceived,
    TimeAndMaterials,
    encode,
)
from isthmus.ops.desk import Desk
from isthmus.ops.explain import Explanation, explain
from isthmus.ops.story import Landing, Step
from isthmus.process.reasons import ENDS
from isthmus.store import log as event_log
from isthmus.store.open import open_memory_store
from tests.process.conftest import Ledger
from tests.process.test_reasons import explained

AT = datetime(2026, 10, 20, 8, tzinfo=UTC)


class Log(Ledger):
    """A ledger whose facts and derived events stand in one log."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[BusinessEvent] = []

    def take(self, event: BusinessEvent) -> list[BusinessEvent]:
        out = super().take(event)
        self.log += [event, *out]
        return out

    def add(self, event: BusinessEvent) -> None:
        self.log.append(event)

    def steps(self, landings: dict[str, list[Landing]] | None = None) -> list[Step]:
        return [
            Step(
                seq=seq,
                recorded_at=AT,
                type=str(event.__struct_config__.tag),
                subject=event.subject,
                source=event.source,
                event=msgspec.json.decode(encode(event)),
                landings=(landings or {}).get(str(getattr(event, "charge", "")), []),
            )
            for seq, event in enumerate(self.log, 1)
        ]

    def about(self, key: str, landings: dict[str, list[Landing]] | None = None) -> Explanation:
        return next(each for each in explain(self.steps(landings)) if each.origin_key == key)


TERMS = TimeAndMaterials(
    line="T", rates={"consulting": D("150.00")}, included_hours=D(10), cap_amount=D("1000.00")
)


def played(*sentences: str, **changes: Any) -> Log:
    log = Log()
    log.tell("project P1")
    log.sign(msgspec.structs.replace(TERMS, **changes))
    for sentence in sentences:
        log.tell(sentence)
    return log


FULL = ("time a r1 10.00 10-05", "time b r1 6.00 10-06", "time c r1 3.00 10-07")


@pytest.mark.parametrize(
    ("sentences", "changes", "key", "answer"),
    [
        pytest.param(FULL, {}, "a", ["10.00 not billed: included"], id="included hours"),
        pytest.param(FULL, {}, "b", ["6.00 billed: 900.00 EUR, not yet sent"], id="hours that fit"),
        pytest.param(
            FULL,
            {},
            "c",
            [
                "0.66 billed: 99.00 EUR, not yet sent",
                "2.34 held (351.00): cap_reached, the cap of line T leaves no room; "
                "it ends when a reversal makes room, or an amendment raises the cap",
            ],
            id="an entry the cap splits",
        ),
        pytest.param(
            FULL,
            {"overage": "write_off"},
            "c",
            ["2.34 not billed: over_cap", "0.66 billed: 99.00 EUR, not yet sent"],
            id="a part that is written off",
        ),
        pytest.param(
            FULL,
            {"overage": "bill"},
            "c",
            ["0.66 billed: 99.00 EUR, not yet sent", "2.34 billed: 351.00 EUR, not yet sent"],
            id="a part at the overage rate",
        ),
        pytest.param(
            ("time a r1 8.00 10-05 nonbillable",),
            {},
            "a",
            ["8.00 not billed: not_billable"],
            id="not billable",
        ),
        pytest.param(
            ("time a r1 8.00 10-05 design",),
            {},
            "a",
            [
                "8.00 held: no_rate, lines.T.rates has no design, and there is no default_rate; amend one; "
                "it ends when an amendment brings a rate"
            ],
            id="no rate",
        ),
        pytest.param(
            ("time a r1 12.00 10-05", "time a r2 11.00 10-05"),
            {},
            "a",
            ["10.00 not billed: included", "1.00 billed: 150.00 EUR, not yet sent"],
            id="a correction counts once",
        ),
        pytest.param(
            ("time a r1 9.00 10-05", "time a r2 8.00 10-05"),
            {},
            "a",
            ["8.00 not billed: included"],
            id="included hours that are corrected leave no reversal",
        ),
        pytest.param(
            ("time a r1 12.00 10-05", "untime a r2"),
            {},
            "a",
            ["nothing stands: it was taken back"],
            id="a withdrawal",
        ),
        pytest.param(
            ("time a r1 9.00 10-05", "untime a r2"),
            {},
            "a",
            ["nothing stands: it was taken back"],
            id="a withdrawal of included hours",
        ),
        pytest.param(
            ("time a r1 12.00 10-05", "close 10", "time a r2 11.00 10-05"),
            {},
            "a",
            [
                "10.00 not billed: included",
                "2.00 billed: 300.00 EUR, not yet sent",
                "11.00 held: period_closed, period 2026-10 is closed; what changed (corrected, revision 2) "
                "waits, earlier charges stand; it ends when the period is reopened, or the contract's policy "
                "becomes next_open",
            ],
            id="a correction that waits leaves standing what it will replace",
        ),
    ],
)
def test_where_it_stands(
    sentences: Sequence[str], changes: dict[str, Any], key: str, answer: list[str]
) -> None:
    assert played(*sentences, **changes).about(key).answer == answer


def test_the_derivation_names_terms_rate_cap_split_and_period() -> None:
    told = played(*FULL).about("c")
    words = [(decision.what, decision.words) for decision in told.decisions]
    charge = told.parts[0].charge
    assert words[1:] == [
        (
            "charge.determined",
            [
                "time c revision 1: 3.00 h consulting on 2026-10-07",
                "contract C1 revision 1",
                "line T: consulting at 150.00 EUR per hour",
                "cap 1000.00 EUR: 900.00 before, 999.00 after",
                "2.34 of 3.00 do not fit",
                "0.66 h x 150.00 = 99.00 EUR",
                "posted on 2026-10-07",
                f"charge {charge}",
            ],
        ),
        (
            "charge.held",
            [
                "cap_reached 2.34 351.00",
                "the cap of line T leaves no room",
                "it ends when a reversal makes room, or an amendment raises the cap",
            ],
        ),
    ]
    assert words[0] == (
        "time.approved",
        [
            "entry c, revision 1, project P1, resource R1, service consulting, worked_on 2026-10-07, "
            "hours 3.00, billable yes, approved_on 2026-10-07"
        ],
    )


def test_included_hours_are_derived_too() -> None:
    (decision,) = [each for each in played(*FULL).about("a").decisions if each.what == "charge.waived"]
    assert decision.words == [
        "time a revision 1: 10.00 h consulting on 2026-10-05",
        "contract C1 revision 1",
        "line T: consulting at 150.00 EUR per hour",
        "included hours, 10 h: 0 before, 10.00 after",
        "10.00 not billed: included",
    ]


def test_a_charge_is_followed_to_ledger_invoice_and_payment() -> None:
    log = played(*FULL)
    (charge,) = log.charges("b")
    landing = {charge.charge: [Landing(lane="erp", state="delivered", remote_id="timeBill/7", at=AT)]}
    assert log.about("b", landing).answer == ["6.00 billed: 900.00 EUR, in erp as timeBill/7"]
    dead = {charge.charge: [Landing(lane="erp", state="dead")]}
    assert log.about("b", dead).answer == ["6.00 billed: 900.00 EUR, dead in erp"]
    common: dict[str, Any] = {"source": "erp", "occurred_at": AT, "entity": "de"}
    log.add(
        ChargePosted(
            **common,
            charge=charge.charge,
            system="erp",
            remote_id="timeBill/7",
            posted_on=charge.posting_on,
            amount=charge.amount,
            currency="EUR",
        )
    )
    assert log.about("b").answer == ["6.00 billed: 900.00 EUR, in erp as timeBill/7"]
    log.add(
        InvoiceReleased(
            **common,
            invoice="erp:9",
            number="INV-9",
            customer="A",
            issued_on=date(2026, 10, 31),
            due_on=date(2026, 11, 30),
            total=D("900.00"),
            currency="EUR",
            charges=[charge.charge],
        )
    )
    log.add(
        PaymentReceived(
            **common,
            payment="erp:10",
            invoice="erp:9",
            received_on=date(2026, 11, 12),
            amount=D("400.00"),
            currency="EUR",
            open_amount=D("500.00"),
        )
    )
    told = log.about("b", landing)
    assert told.answer == ["6.00 billed: 900.00 EUR, on invoice INV-9"]
    assert [decision.words for decision in told.decisions][-3:] == [
        ["erp has it as timeBill/7, posted on 2026-10-06"],
        ["invoice INV-9 of 2026-10-31, due on 2026-11-30"],
        ["400.00 EUR received on 2026-11-12, 500.00 open"],
    ]
    assert not any("invoice" in word for each in log.about("c").decisions for word in each.words)
    log.add(
        InvoiceVoided(
            **common,
            invoice="erp:9",
            number="INV-9",
            on=date(2026, 11, 15),
            amount=D("900.00"),
            currency="EUR",
        )
    )
    assert log.about("b", landing).answer == ["6.00 billed: 900.00 EUR, in erp as timeBill/7"]


async def test_an_invoice_over_several_projects_is_found_by_its_customer() -> None:
    log = played(*FULL)
    (charge,) = log.charges("b")
    log.add(
        InvoiceReleased(
            source="erp",
            occurred_at=AT,
            entity="de",
            invoice="erp:9",
            number="INV-9",
            customer="A",
            issued_on=date(2026, 10, 31),
            due_on=date(2026, 11, 30),
            total=D("900.00"),
            currency="EUR",
            charges=[charge.charge],
        )
    )
    async with open_memory_store() as store:
        await store.write(lambda tx: event_log.append(tx, log.log, AT))
        (told,) = await Desk(store, now=lambda: AT).explain("b")
    assert told.answer == ["6.00 billed: 900.00 EUR, on invoice INV-9"]


def test_a_charge_that_a_close_overtook_is_taken_back_alone() -> None:
    log = played("time a r1 12.00 10-05", "close 10")
    charge = next(event for event in log.derived if isinstance(event, ChargeDetermined))
    log.overtake(charge)
    assert log.about("a").answer[0] == "10.00 not billed: included"
    assert log.about("a").answer[1].startswith("2.00 held: period_closed")
    log.tell("open 10")
    assert log.about("a").answer == ["10.00 not billed: included", "2.00 billed: 300.00 EUR, not yet sent"]


def test_parts_come_to_the_whole_of_the_entry_after_any_story() -> None:
    log = played(*FULL, "time b r2 2.50 10-06", "time a r2 9.75 10-05", "untime a r3", "time a r4 4.00 10-05")
    whole = {"a": D("4.00"), "b": D("2.50"), "c": D("3.00")}
    for key, hours in whole.items():
        assert sum(part.quantity or 0 for part in log.about(key).parts) == hours, key


def test_every_hold_says_what_ends_it() -> None:
    assert explained() - {"not_billable", "included", "over_cap"} == set(ENDS)


def test_nothing_is_explained_where_billing_said_nothing() -> None:
    assert explain(played().steps()) == []
