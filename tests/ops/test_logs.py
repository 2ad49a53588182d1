"""Log lines: one JSON object each, fixed keys, no secrets, every level counted."""

import io
import json
import logging
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from isthmus.ops.logs import KEYS, Scrubber, set_up
from isthmus.sdk import Secret

TOKEN = Secret("hunter2/&=secret")
KEY = Secret("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----")

log = logging.getLogger("isthmus.test")


class Lines:
    """What was logged, read back."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.counted: Counter[str] = Counter()

    def count(self, level: str) -> None:
        self.counted[level] += 1

    @property
    def raw(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line[3:]) for line in self.raw]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root, ours = logging.getLogger(), logging.getLogger("isthmus")
    kept = root.handlers[:], root.level, ours.level
    lines = Lines()
    set_up("info", count=lines.count, secrets=[TOKEN, KEY], stream=lines.stream)
    yield lines
    root.handlers[:] = kept[0]
    root.setLevel(kept[1])
    ours.setLevel(kept[2])


def test_a_line_says_what_happened_to_what_under_fixed_keys(lines: Lines) -> None:
    log.warning(
        "lane.parked", extra={"lane": "charges", "attempt": 3, "duration_s": 1.5, "reason": "key revoked"}
    )
    assert lines.raw[0].startswith("<4>{")
    line = lines.read[0]
    assert (
        line["event"],
        line["level"],
        line["lane"],
        line["attempt"],
        line["duration_s"],
        line["reason"],
    ) == (
        "lane.parked",
        "warning",
        "charges",
        3,
        1.5,
        "key revoked",
    )
    assert line["at"].endswith("+00:00")


def test_priorities_are_those_of_the_journal_and_levels_are_counted(lines: Lines) -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        log.log(level, "something.happened")
    assert [line[:3] for line in lines.raw] == ["<6>", "<4>", "<3>", "<2>"]
    assert lines.counted == {"info": 1, "warning": 1, "error": 1, "critical": 1}


def test_another_librarys_words_are_kept_apart_and_it_speaks_from_warning_on(lines: Lines) -> None:
    other = logging.getLogger("hypercorn.error")
    other.info("Running on %s", "http://127.0.0.1")
    other.warning("It broke:\n%s", "forged line")
    assert len(lines.raw) == 1
    assert (lines.read[0]["event"], lines.read[0]["text"]) == ("message", "It broke:\nforged line")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("token is hunter2/&=secret!", id="as it is"),
        pytest.param("GET /x?token=hunter2%2F%26%3Dsecret", id="quoted in an address"),
        pytest.param("Authorization: " + b64encode(b"hunter2/&=secret").decode(), id="base64"),
        pytest.param("bad key MIIEvQIBADANBgkqhkiG9w0BAQEF", id="one line of a key"),
        pytest.param("Authorization: Bearer abcdef0123456789", id="an unknown token in a header"),
        pytest.param("https://user:pa55word@erp.example/x", id="a password in an address"),
    ],
)
def test_no_secret_gets_out_by_any_way(lines: Lines, text: str) -> None:
    try:
        int(text)  # its error repeats the text
    except ValueError as error:
        log.exception("actor.failed", extra={"reason": str(error), "subject": text})
    logging.getLogger("httpx").error("failed: %s", text)
    written = lines.stream.getvalue()
    assert "***" in written
    for part in ("hunter2", b64encode(b"hunter2/&=secret").decode(), "MIIEvQ", "abcdef0123", "pa55word"):
        assert part not in written
    assert "Traceback" in lines.read[0]["traceback"]


def test_mutant_without_a_scrubber_the_secret_is_in_the_line(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.sdk.scrub.revealed", set)
    set_up("info", stream=lines.stream)
    log.error("actor.failed", extra={"reason": "token is hunter2/&=secret"})
    assert "hunter2" in lines.stream.getvalue()


def test_secrets_of_a_new_configuration_are_learnt() -> None:
    scrubber = Scrubber()
    scrubber.learn([Secret("new-one")])
    assert scrubber.clean("x new-one y") == "x *** y"


def test_a_payload_under_a_key_nobody_agreed_on_is_left_out(lines: Lines) -> None:
    log.info("fact.recorded", extra={"payload": {"name": "Ada"}, "event_id": "crm/1"})
    assert "Ada" not in lines.stream.getvalue()
    assert lines.read[0]["event_id"] == "crm/1"


@pytest.mark.parametrize(
    ("message", "extra"),
    [
        pytest.param("fact.recorded", {"payload": "x"}, id="an unknown key"),
        pytest.param("Recorded 5 facts", {}, id="a sentence instead of an event"),
    ],
)
def test_in_tests_what_nobody_agreed_on_is_refused(lines: Lines, message: str, extra: dict[str, str]) -> None:
    set_up("info", stream=lines.stream, strict=True)
    with pytest.raises(ValueError, match=r"test_logs\.py"):
        log.info(message, extra=extra)
    log.info("fact.recorded", extra=dict.fromkeys(KEYS, "x"))
    assert len(lines.raw) == 1


def test_a_very_long_text_keeps_its_end_where_the_cause_is(lines: Lines) -> None:
    log.error("actor.failed", extra={"reason": "x" * 5000 + " the cause"})
    assert lines.read[0]["reason"].endswith("the cause")
    assert len(lines.read[0]["reason"]) < 2100
