"""`isthmus notify test`: what an admin sees of the ways to an owner."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Receiver

from tests.app.rig import Daemon, write_site
from tests.cli.inside import Done, isthmus

KEY = "whsec_" + b64encode(b"k" * 32).decode()
HEARD: list[tuple[dict[str, str], bytes]] = []


class Takes(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        HEARD.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204 if self.path == "/takes" else 410)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    server = HTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = tmp_path_factory.mktemp("site")
    (where / "secrets").mkdir(mode=0o700)
    (where / "secrets" / "hook").write_text(KEY)
    (where / "secrets" / "hook").chmod(0o600)
    hook = f'webhook = "http://127.0.0.1:{server.server_port}/'
    secret = 'secret = { credential = "hook" }\n'
    config = write_site(where)
    (config / "conf.d").mkdir()
    (config / "conf.d" / "notify.toml").write_text(
        f'[notify.ar]\n{hook}takes"\n{secret}[notify.pmo]\nemail = ["pmo@example.com"]\n{hook}gone"\n{secret}'
        "[mail]\nhost = '127.0.0.1'\nport = 1\n"
    )
    main = config / "isthmus.toml"
    main.write_text(main.read_text().replace("[daemon]", f'[daemon]\nsecrets_dir = "{where / "secrets"}"', 1))
    daemon = Daemon(config)
    try:
        daemon.wait_ready()
        yield config
    finally:
        daemon.kill()
        server.shutdown()


def ask(site: Path, *arguments: str) -> Done:
    return isthmus("notify", "test", *arguments, ISTHMUS_CONFIG=str(site), COLUMNS="100")


def test_a_test_message_is_signed_and_the_answer_is_shown(site: Path) -> None:
    done = ask(site, "ar", "--output", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [{"channel": "webhook", "taken": True, "answer": "it answered 204"}]
    headers, content = HEARD[-1]
    told = Receiver(KEY).verify(content, headers)
    assert (told["type"], told["data"]["owner"]) == ("notice.test", "ar")


def test_a_way_that_does_not_work_is_named_and_so_is_the_exit_code(site: Path) -> None:
    done = ask(site, "pmo")
    assert done.returncode == 1
    assert "127.0.0.1:1: [Errno 111] Connection refused" in done.stdout
    assert "it answered 410" in done.stdout


def test_somebody_who_is_not_told(site: Path) -> None:
    done = ask(site, "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nobody tells 'nobody' anything; name them in [notify]" in done.stderr
