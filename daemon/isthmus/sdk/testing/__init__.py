"""For a connector's own tests: a context to open it with, and the promises it must keep as test classes."""

from isthmus.sdk.testing.context import FakeContext
from isthmus.sdk.testing.contracts import SinkCase, SinkContract, SourceContract, read_all

__all__ = ["FakeContext", "SinkCase", "SinkContract", "SourceContract", "read_all"]
