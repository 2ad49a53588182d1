"""What an exit code means, and which error leads to which.

====  ==============================================  ====  ==========================================
0     done, or healthy                                70    our bug
1     ran, and found problems                         75    peer or lock busy, try later
2     wrong usage                                     77    not allowed
65    the state on the disk must not be used as is    78    the configuration is wrong
69    the daemon cannot be reached                    130   interrupted
====  ==============================================  ====  ==========================================
"""

import sys
from typing import Any

PROBLEMS, USAGE, DATA, UNREACHABLE, BUG, BUSY, FORBIDDEN, CONFIG = 1, 2, 65, 69, 70, 75, 77, 78


class Leave(Exception):
    """End the command with a code and a sentence for stderr."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def carry_out(app: Any, arguments: list[str]) -> int:
    """Run a command line; its exit code. Nothing but a bug shows a traceback."""
    try:
        result = app(arguments, result_action="return_value", exit_on_error=False)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    except KeyboardInterrupt:
        return 130
    except BaseException as error:  # noqa: BLE001  the last place that can say it in words
        return _explain(error)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _explain(error: BaseException) -> int:
    """The code for an error; says on stderr what it was."""
    from cyclopts import CycloptsError

    from isthmus.config import ConfigError
    from isthmus.store import errors as store

    found = _inner(error)
    match found:
        case Leave():
            if str(found):
                print(found, file=sys.stderr)
            return found.code
        case CycloptsError():
            return USAGE
        case ConfigError():
            print(found, file=sys.stderr)
            return CONFIG
        case store.StoreLocked() | store.StoreBusy():
            print(found, file=sys.stderr)
            return BUSY
        case store.StoreRewound() | store.StoreDamaged():
            print(found, file=sys.stderr)
            return DATA
        case store.SchemaTooNew():
            print(found, file=sys.stderr)
            return CONFIG
        case KeyboardInterrupt():
            return 130
    import traceback

    traceback.print_exception(error)
    return BUG


def _inner(error: BaseException) -> BaseException:
    """The first error inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
