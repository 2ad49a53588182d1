"""Finds code that could open a connection of its own, past the one HTTP factory and its rules.

It reads the source and runs nothing. It finds imports of network libraries, also by name at run time,
trio's and asyncio's ways to connect, and programs that are started. It is no sandbox: who wants to hide a
way out can; who adds one without thinking is told.
"""

import ast
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path

__all__ = ["CLIENTS", "ways_out"]

CLIENTS = frozenset(
    "socket socketserver http.client urllib.request urllib3 httpx httpcore h2 requests aiohttp pycurl ftplib"
    " smtplib imaplib poplib nntplib telnetlib xmlrpc websocket websockets paramiko asyncssh grpc asyncio"
    " subprocess multiprocessing pty ctypes cffi"
    " psycopg psycopg2 asyncpg pymysql pyodbc oracledb pymssql".split()
)
"""Modules that can open a connection or start a program that does."""
CALLS = frozenset(
    "trio.open_tcp_stream trio.open_ssl_over_tcp_stream trio.open_unix_socket trio.open_tcp_listeners"
    " trio.serve_tcp trio.serve_ssl_over_tcp trio.socket trio.run_process trio.lowlevel.open_process"
    " sqlalchemy.create_engine os.system os.popen os.execv os.execvp os.execve os.posix_spawn os.fork".split()
)


_CHECKED = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def ways_out(root: Path, *, allowed: Collection[str] = ()) -> list[str]:
    """Every way out below ``root``, as ``file:line: what``.

    Args:
        root: A package's directory, or one file.
        allowed: What is known and wanted, as ``file: what`` with the path relative to ``root``.
    """
    files = [root] if root.is_file() else sorted(root.rglob("*.py"))
    base = root.parent if root.is_file() else root
    found = []
    for file in files:
        name = file.relative_to(base).as_posix()
        for line, what in sorted(set(_of(ast.parse(file.read_text(), str(file))))):
            if f"{name}: {what}" not in allowed:
                found.append(f"{name}:{line}: {what}")
    return found


def _of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    aliases: dict[str, str] = {}
    for node in _run(tree):
        match node:
            case ast.Import(names=names):
                for each in names:
                    aliases[each.asname or each.name.partition(".")[0]] = (
                        each.name if each.asname else (each.name.partition(".")[0])
                    )
                    if client := _client(each.name):
                        yield node.lineno, client
            case ast.ImportFrom(module=str() as module, names=names, level=0):
                for each in names:
                    whole = f"{module}.{each.name}"
                    aliases[each.asname or each.name] = whole
                    if client := _client(whole):
                        yield node.lineno, client
                    elif whole in CALLS:
                        yield node.lineno, whole
            case ast.Call(args=[ast.Constant(value=str() as name), *_], func=func) if _dotted(
                func, aliases
            ) in ("__import__", "importlib.import_module"):
                if client := _client(name):
                    yield node.lineno, client
    for node in _run(tree):
        if isinstance(node, ast.Attribute) and (called := _dotted(node, aliases)) in CALLS:
            yield node.lineno, called


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker reads."""
    left = deque([tree])
    while left:
        node = left.popleft()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) in _CHECKED:
            left.extend(node.orelse)
        else:
            left.extend(ast.iter_child_nodes(node))


def _client(name: str) -> str:
    """The network library a dotted name belongs to; empty for others."""
    parts = name.split(".")
    heads = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return next((head for head in heads if head in CLIENTS), "")


def _dotted(node: ast.AST, aliases: dict[str, str]) -> str:
    """``trio.socket`` for that expression, whatever trio was imported as; empty for anything else."""
    match node:
        case ast.Name(id=name):
            return aliases.get(name, name)
        case ast.Attribute(value=value, attr=attribute):
            before = _dotted(value, aliases)
            return f"{before}.{attribute}" if before else ""
    return ""
