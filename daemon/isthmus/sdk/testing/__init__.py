"""For a connector's own tests: a context to open it with, and the promises it must keep as test classes."""

from isthmus.sdk.testing.cancel import (
    CancelCase,
    CancelContract,
    cancel_at_every_await,
    cancelled_at,
    cancels,
    nothing_left_open,
)
from isthmus.sdk.testing.context import FakeContext
from isthmus.sdk.testing.contracts import SinkCase, SinkContract, SourceContract, read_all
from isthmus.sdk.testing.late import LateCase, LateContract
from isthmus.sdk.testing.lost import LosingTransport
from isthmus.sdk.testing.memory import peak_of_reading
from isthmus.sdk.testing.patience import deliver_patiently, deliver_plainly, read_patiently
from isthmus.sdk.testing.ways_out import ways_out

__all__ = [
    "CancelCase",
    "CancelContract",
    "FakeContext",
    "LateCase",
    "LateContract",
    "LosingTransport",
    "SinkCase",
    "SinkContract",
    "SourceContract",
    "cancel_at_every_await",
    "cancelled_at",
    "cancels",
    "deliver_patiently",
    "deliver_plainly",
    "nothing_left_open",
    "peak_of_reading",
    "read_all",
    "read_patiently",
    "ways_out",
]
