"""An account on loopback, an open connector, and facts to deliver."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    CustomerChanged,
    ProjectCreated,
    ScheduledInstallment,
    ScheduleRevised,
    round_money,
)
from isthmus.sdk import Delivery, Opened, Receipt, Secret
from isthmus.sdk.simulator import started
from isthmus.sdk.testing import FakeContext
from isthmus_netsuite.connector import NetSuite
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.simulator import NetSuiteSimulator

NOW = datetime(2026, 10, 20, 17, 0, tzinfo=UTC)
TODAY = date(2026, 10, 20)


class Clock:
    """The time of simulator and connector alike; tests move it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def simulator(clock: Clock) -> AsyncIterator[NetSuiteSimulator]:
    async with started(NetSuiteSimulator(now=clock)) as running:
        assert isinstance(running, NetSuiteSimulator)
        yield running


@pytest.fixture
def ctx(clock: Clock) -> FakeContext:
    return FakeContext("netsuite", entity="us", now=clock)


@cache
def elliptic_pair() -> tuple[str, str]:
    """PEMs of a key pair that is read and signs faster than RSA; logins have tests of their own."""
    private = ec.generate_private_key(ec.SECP256R1())
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return secret.decode(), public.decode()


@pytest.fixture
def settings_of(simulator: NetSuiteSimulator) -> Callable[..., NetSuiteSettings]:
    """Settings that log in at the simulator, with changes."""
    private_key, public_key = elliptic_pair()
    simulator.memory["certificates"]["elliptic"] = public_key
    login = {"algorithm": "ES256", "certificate_id": "elliptic", "private_key": private_key}

    def made(**changes: Any) -> NetSuiteSettings:
        given = simulator.credentials() | login | {"settle_s": 0.0} | changes
        return msgspec.convert(given, NetSuiteSettings, dec_hook=lambda _, value: Secret(value))

    return made


@pytest.fixture
def open_with(
    settings_of: Callable[..., NetSuiteSettings], ctx: FakeContext
) -> Callable[..., AbstractAsyncContextManager[Opened]]:
    @asynccontextmanager
    async def opened_with(**changes: Any) -> AsyncIterator[Opened]:
        async with NetSuite().open(settings_of(**changes), ctx) as opened:
            yield opened

    return opened_with


@pytest.fixture
async def opened(open_with: Callable[..., AbstractAsyncContextManager[Opened]]) -> AsyncIterator[Opened]:
    async with open_with() as connector:
        yield connector


@pytest.fixture
def customer() -> CustomerChanged:
    return CustomerChanged(
        source="crm",
        occurred_at=NOW,
        entity="us",
        customer="crm:A1",
        name="Northwind",
        currency="EUR",
        tax_id="DE123",
    )


@pytest.fixture
def project() -> ProjectCreated:
    return ProjectCreated(
        source="project-setup",
        occurred_at=NOW,
        entity="us",
        project="crm:P1",
        customer="crm:A1",
        name="Rollout",
        stage="planned",
        contract="crm:C1",
        currency="EUR",
        budget=Decimal("20000.00"),
    )


@pytest.fixture
def schedule() -> Callable[..., ScheduleRevised]:
    """The schedule of crm:C1 on crm:P1: one instalment, planned unless said otherwise."""

    def made(revision: int = 1, contract: str = "crm:C1", state: str = "planned") -> ScheduleRevised:
        row = ScheduledInstallment(
            key=f"{contract}/F/1",
            line="F",
            due_on=date(2026, 11, 1),
            amount=Decimal("300.00"),
            state=state,
        )
        return ScheduleRevised(
            source="schedule",
            occurred_at=NOW,
            entity="us",
            contract=contract,
            revision=revision,
            installments=[row],
            project="crm:P1",
            currency="EUR",
        )

    return made


@pytest.fixture
def charge() -> Callable[..., ChargeDetermined]:
    """A charge; time of 8.00 h at 150.00 unless said otherwise."""

    def made(key: str = "billing:ch1", **changes: Any) -> ChargeDetermined:
        quantity = Decimal(changes.pop("quantity", "8.00"))
        unit_price = Decimal(changes.pop("unit_price", "150.00"))
        amount = Decimal(changes.pop("amount", round_money(quantity * unit_price, "EUR")))
        fields: dict[str, Any] = {
            "contract": "crm:C1",
            "line": "T",
            "project": "crm:P1",
            "origin": "time",
            "origin_key": f"psa:{key}",
            "origin_revision": 1,
            "currency": "EUR",
            "earned_on": date(2026, 10, 5),
            "posting_on": date(2026, 10, 5),
            "dimensions": {"department": "delivery"},
            "explanation": ["8.00 h x 150.00"],
            "service": "consulting",
            "resource": "psa:7",
        }
        return ChargeDetermined(
            source="billing",
            occurred_at=NOW,
            entity="us",
            charge=key,
            quantity=quantity,
            unit_price=unit_price,
            amount=amount,
            **{**fields, **changes},
        )

    return made


@pytest.fixture
def deliver(opened: Opened, ctx: FakeContext) -> Callable[[BusinessEvent], Awaitable[Receipt]]:
    """Deliver a fact and keep its links, as the daemon does."""

    async def one(event: BusinessEvent) -> Receipt:
        assert opened.sink is not None
        receipt = await opened.sink.deliver(Delivery(key=event.id, lane="netsuite", event=event))
        ctx.keep(receipt.links)
        return receipt

    return one


@pytest.fixture
async def shell(
    deliver: Callable[[BusinessEvent], Awaitable[Receipt]], customer: CustomerChanged, project: ProjectCreated
) -> None:
    """The customer and the project are in NetSuite."""
    await deliver(customer)
    await deliver(project)
