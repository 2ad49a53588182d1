"""Logs as JSON lines on stderr: a constant event name, facts under fixed keys, nothing else.

journald takes the ``<N>`` in front as the priority. Payloads, names and amounts are never logged; secrets
that slip into an error's text are replaced.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TextIO

from isthmus.sdk.scrub import Scrubber
from isthmus.sdk.secret import Secret

__all__ = ["EVENT_NAME", "KEYS", "JsonLines", "KnownKeysOnly", "Scrubber", "set_up"]

KEYS = (
    "connector",
    "lane",
    "actor",
    "event_id",
    "subject",
    "attempt",
    "outcome",
    "reason",
    "place",
    "duration_s",
)
"""What a line may say beside its event; ``reason`` is the text of an error, ``place`` a file or a path."""

MAX_TEXT = 2000
MAX_TRACEBACK = 16_000
EVENT_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class KnownKeysOnly(logging.Filter):
    """Refuses, in tests, what would reach the journal under a key nobody agreed on.

    Raises:
        ValueError: the message is no event name, or a key of ``extra`` is not in `KEYS`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != "isthmus":
            return True
        if not EVENT_NAME.fullmatch(str(record.msg)) or record.args:
            raise ValueError(f"{record.pathname}:{record.lineno}: {record.msg!r} is no constant event name")
        unknown = sorted(set(vars(record)) - _PLAIN - set(KEYS))
        if unknown:
            raise ValueError(f"{record.pathname}:{record.lineno}: extra has {unknown}, which is not in KEYS")
        return True


class JsonLines(logging.Formatter):
    """One JSON object per line, its priority in front.

    A message that is no event name, such as another library's, stands under ``text``.
    """

    def __init__(self, scrubber: Scrubber | None = None) -> None:
        super().__init__()
        self.scrubber = scrubber or Scrubber()

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        named = not record.args and EVENT_NAME.fullmatch(str(record.msg)) is not None
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "event": record.msg if named else "message",
            "logger": record.name,
        }
        for key in KEYS:
            value = getattr(record, key, None)
            if value is not None:
                line[key] = value if isinstance(value, int | float) else self._text(str(value), MAX_TEXT)
        if not named:
            line["text"] = self._text(record.getMessage(), MAX_TEXT)
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = self._text(self.formatException(record.exc_info), MAX_TRACEBACK)
        return f"<{_PRIORITY.get(level, 6)}>{json.dumps(line, ensure_ascii=False)}"

    def _text(self, text: str, limit: int) -> str:
        cleaned = self.scrubber.clean(text)
        # An error's cause is at the end of a traceback, so the end is what is kept.
        return cleaned if len(cleaned) <= limit else "... " + cleaned[-limit:]


class _Counting(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO, count: Callable[[str], None]) -> None:
        super().__init__(stream)
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        self._count(record.levelname.lower())
        super().emit(record)


def set_up(
    level: str = "info",
    *,
    count: Callable[[str], None] = lambda level: None,
    secrets: Iterable[Secret] = (),
    stream: TextIO | None = None,
    strict: bool = False,
) -> Scrubber:
    """Send all logs as JSON lines to stderr, or to ``stream``; earlier handlers of the root are replaced.

    Args:
        level: debug, info, warning or error; other libraries speak from warning on.
        count: called with the level of each line.
        strict: for tests: a key or message that was not agreed on raises.

    Returns:
        The scrubber, which learns the secrets of later configurations.
    """
    scrubber = Scrubber(secrets)
    handler = _Counting(stream or sys.stderr, count)
    handler.setFormatter(JsonLines(scrubber))
    if strict:
        handler.addFilter(KnownKeysOnly())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("isthmus").setLevel(level.upper())
    return scrubber
