"""What an exit code means, and which error leads to which.

====  ==============================================  ====  ==========================================
0     done, or healthy                                74    the disk failed; nothing more was acknowledged
1     ran, and found problems                         75    peer, port or lock busy, try later
2     wrong usage                                     77    not allowed
65    data, or the state on the disk, is not right    78    the configuration is wrong, or the release old
69    the daemon cannot be reached                    130   interrupted
70    our bug                                         141   nobody reads what is printed
====  ==============================================  ====  ==========================================
"""

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROBLEMS, USAGE, DATA, UNREACHABLE, BUG, DISK, BUSY, FORBIDDEN, CONFIG = 1, 2, 65, 69, 70, 74, 75, 77, 78
INTERRUPTED, UNREAD = 130, 141

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}


class Leave(Exception):
    """End the command with a code and a sentence for stderr."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def carry_out(app: Any, arguments: list[str]) -> int:
    """Run a command line; its exit code. Nothing shows a traceback to a person."""
    try:
        result = app(arguments, result_action="return_value", exit_on_error=False)
        sys.stdout.flush()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    except BaseException as error:  # noqa: BLE001  the last place that can say it in words
        return _explain(error)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _explain(error: BaseException) -> int:
    """The code for an error; says on stderr what it was."""
    for leaf in leaves(error):
        told = _judge(leaf)
        if told is not None:
            code, words = told
            if words:
                print(words, file=sys.stderr)
            return code
    return _report(error)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside nested groups."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


def _judge(error: BaseException) -> tuple[int, str] | None:
    """Code and words for an error that is no bug of ours."""
    match error:
        case Leave():
            return error.code, str(error)
        case KeyboardInterrupt():
            return INTERRUPTED, ""
        case BrokenPipeError():
            # What is still buffered goes nowhere, and must not complain about it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNREAD, ""
    return _judge_ours(error) or (_judge_system(error) if isinstance(error, OSError) else None)


def _judge_ours(error: BaseException) -> tuple[int, str] | None:
    """What isthmus raises on purpose."""
    from cyclopts import CycloptsError

    from isthmus.store import errors as store

    if isinstance(error, CycloptsError):
        return USAGE, ""  # it has said so itself
    if isinstance(error, (store.SchemaTooNew, *_loaded("isthmus.config.problems", "ConfigError"))):
        return CONFIG, "\n".join([str(error), *getattr(error, "__notes__", [])])
    if isinstance(error, (store.StoreLocked, store.StoreBusy, *_loaded("isthmus.ops.serve", "SocketTaken"))):
        return BUSY, str(error)
    if isinstance(error, _loaded("isthmus.ops.serve", "CannotListen")):
        codes = {errno.EACCES: FORBIDDEN, errno.EADDRINUSE: BUSY}
        return codes.get(getattr(error, "errno", None) or 0, CONFIG), str(error)
    if isinstance(error, (store.StoreRewound, store.StoreDamaged)):
        return DATA, str(error)
    if isinstance(error, (store.StoreFailed, store.StoreFull)):
        return DISK, str(error)
    return None


def _loaded(module: str, name: str) -> tuple[type[BaseException], ...]:
    """An error class of a module that is slow to load; none where nobody loaded it, so nobody raised it."""
    found = sys.modules.get(module)
    return () if found is None else (getattr(found, name),)


def _judge_system(error: OSError) -> tuple[int, str] | None:
    """What the system refuses."""
    words = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if isinstance(error, PermissionError):
        return FORBIDDEN, words
    return (DISK, words) if error.errno in DISK_ERRORS else None


def _report(error: BaseException) -> int:
    """A bug: one line for the person, the whole story in a file, and in the journal if that listens."""
    story = "".join(traceback.format_exception(error))
    if "JOURNAL_STREAM" in os.environ:
        print(story, file=sys.stderr)
    leaf = next(leaves(error))
    print(f"this is a bug in isthmus: {type(leaf).__name__}: {leaf}", file=sys.stderr)
    try:
        descriptor, name = tempfile.mkstemp(prefix="isthmus-bug-", suffix=".txt")
        os.close(descriptor)
        Path(name).write_text(story)
    except OSError:
        print(story, file=sys.stderr)
    else:
        print(f"please report it with what is in {name}", file=sys.stderr)
    return BUG
