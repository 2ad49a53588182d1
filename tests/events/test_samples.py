"""A sample can be had of every kind, and survives the log."""

import pytest

from isthmus.events.codec import KINDS, decode, encode
from isthmus.events.samples import sample


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_there_is_a_sample_of_every_kind(kind: str) -> None:
    made = sample(kind)
    assert made.kind == kind
    assert decode(encode(made)) == made
