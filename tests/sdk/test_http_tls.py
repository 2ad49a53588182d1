"""Certificates: twelve bad ones are refused and say why; the firm's own authority and a client's own work."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.sdk.errors import Fatal, Retryable, Unsure
from isthmus.sdk.http import HttpLimits, TokenAuth, open_http
from tests.sdk.wire import peer, reply, says

TOKEN = "token-of-the-origin"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Authority:
    """Signs whatever a test wants, wrong things too; trustme signs only right ones."""

    def __init__(self, name: str = "Test authority", *, may_sign: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=may_sign, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def server(self, where: Path, **wishes: Any) -> ssl.SSLContext:
        """A server's side with a certificate as wished; right for 127.0.0.1 unless said otherwise."""
        file = where / "server.pem"
        file.write_bytes(self.issue(**wishes))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def issue(
        self,
        *,
        names: tuple[x509.GeneralName, ...] | None = (x509.IPAddress(ip_address("127.0.0.1")),),
        begins: datetime = NOW - DAY,
        ends: datetime = NOW + DAY,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        key: Any = None,
        common_name: str = "peer",
    ) -> bytes:
        """Certificate and key in one PEM."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self.key, hashes.SHA256())
        private: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return private + signed.public_bytes(Encoding.PEM)

    def trusted(self, where: Path) -> Path:
        file = where / "ca.pem"
        file.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return file


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def dns(*names: str) -> tuple[x509.GeneralName, ...]:
    return tuple(x509.DNSName(name) for name in names)


Server = Callable[[Authority, Path], ssl.SSLContext]


def wished(**wishes: Any) -> Server:
    return lambda authority, where: authority.server(where, **wishes)


def of_a_stranger(authority: Authority, where: Path) -> ssl.SSLContext:
    return Authority("Stranger").server(where)


def of_a_namesake(authority: Authority, where: Path) -> ssl.SSLContext:
    """Another authority under the same name."""
    return Authority().server(where)


def signed_by_itself(authority: Authority, where: Path) -> ssl.SSLContext:
    lone = Authority("127.0.0.1", may_sign=False)
    file = where / "server.pem"
    key = lone.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(key + lone.certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def without_its_middle(authority: Authority, where: Path) -> ssl.SSLContext:
    """Signed by an authority that ours signed, which the server forgets to send."""
    middle = Authority("Middle")
    return middle.server(where)


def old_tls(authority: Authority, where: Path) -> ssl.SSLContext:
    context = authority.server(where)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def asks_who_we_are(authority: Authority, where: Path) -> ssl.SSLContext:
    context = authority.server(where)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(str(authority.trusted(where)))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # refuses in the handshake, not after it
    return context


BAD: list[tuple[str, Server, str]] = [
    ("for another host", wished(names=dns("erp.example")), "not valid for '127.0.0.1'"),
    ("for another address", wished(names=(x509.IPAddress(ip_address("127.0.0.2")),)), "not valid for"),
    ("the address as a name", wished(names=dns("127.0.0.1")), "not valid for"),
    ("the address as common name only", wished(names=None, common_name="127.0.0.1"), "not valid for"),
    ("a star for the address", wished(names=dns("*.0.0.1")), "not valid for"),
    ("expired", wished(begins=NOW - 9 * DAY, ends=NOW - DAY), "certificate has expired"),
    ("not valid yet", wished(begins=NOW + DAY, ends=NOW + 9 * DAY), "certificate is not yet valid"),
    ("of an unknown authority", of_a_stranger, "unable to get local issuer"),
    ("of a namesake of ours", of_a_namesake, "certificate signature failure|unable to get local issuer"),
    ("signed by itself", signed_by_itself, "self-signed certificate|self signed certificate"),
    ("without its middle", without_its_middle, "unable to get local issuer"),
    (
        "meant for clients",
        wished(usage=ExtendedKeyUsageOID.CLIENT_AUTH),
        "unsuitable certificate purpose|unsupported certificate purpose",
    ),
    ("TLS 1.1", old_tls, "no TLS: "),
]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(("server", "words"), [pytest.param(*each[1:], id=each[0]) for each in BAD])
async def test_a_bad_certificate_is_refused_before_a_byte_is_sent(
    authority: Authority, tmp_path: Path, server: Server, words: str
) -> None:
    async def token() -> str:
        return TOKEN

    tls = server(authority, tmp_path)
    limits = HttpLimits(ca_file=authority.trusted(tmp_path), deadline_s=5)
    async with (
        peer(says(reply()), tls=tls) as origin,
        open_http(origin.url, auth=TokenAuth(token), limits=limits) as http,
    ):
        with pytest.raises(Retryable, match=words) as refused:
            await http.post("items", json={})
        assert not isinstance(refused.value, Unsure), "nothing was sent, so there is no doubt"
        assert origin.connections == 1
        assert origin.heard == []
        assert TOKEN not in str(refused.value)


async def test_the_firms_own_authority_is_trusted_where_it_is_set_and_only_there(tmp_path: Path) -> None:
    """The same server, by trustme: with its authority it is a peer like any other, without it nobody."""
    firm = trustme.CA()
    firm.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    firm.issue_cert("127.0.0.1").configure_cert(tls)
    seen: list[datetime] = []
    async with peer(says(reply()), tls=tls) as origin:
        limits = HttpLimits(ca_file=tmp_path / "ca.pem")
        async with open_http(origin.url, limits=limits, certified=seen.append) as http:
            assert (await http.get("items")).ok
        async with open_http(origin.url) as stranger:
            with pytest.raises(Retryable, match="set ca_file if an authority of your own"):
                await stranger.get("items")
    assert seen
    assert min(seen) > datetime.now(UTC), "until when the certificate is valid"


async def test_a_peer_that_asks_who_we_are_is_told_where_a_certificate_is_set(
    authority: Authority, tmp_path: Path
) -> None:
    tls = asks_who_we_are(authority, tmp_path)
    ca_file = authority.trusted(tmp_path)
    ours = tmp_path / "ours.pem"
    old = tmp_path / "old.pem"
    ours.write_bytes(authority.issue(usage=ExtendedKeyUsageOID.CLIENT_AUTH, names=None))
    old.write_bytes(
        authority.issue(
            usage=ExtendedKeyUsageOID.CLIENT_AUTH, names=None, begins=NOW - 9 * DAY, ends=NOW - DAY
        )
    )
    async with peer(says(reply()), tls=tls) as origin:
        async with open_http(origin.url, limits=HttpLimits(ca_file=ca_file, client_cert=ours)) as http:
            assert (await http.get("items")).ok
        for client_cert in (None, old):
            limits = HttpLimits(ca_file=ca_file, client_cert=client_cert)
            async with open_http(origin.url, limits=limits) as http:
                with pytest.raises(Retryable):
                    await http.get("items")
        assert len(origin.heard) == 1


@pytest.mark.parametrize("setting", ["ca_file", "client_cert"])
@pytest.mark.parametrize(
    "content", [pytest.param(None, id="is not there"), pytest.param("no PEM", id="is no PEM")]
)
async def test_a_certificate_file_that_cannot_be_used_is_fatal_and_named(
    tmp_path: Path, setting: str, content: str | None
) -> None:
    file = tmp_path / "x.pem"
    if content is not None:
        file.write_text(content)
    files: dict[str, Any] = {setting: file}
    with pytest.raises(Fatal, match=f"{setting} .*x.pem"):
        async with open_http("https://127.0.0.1:9", limits=HttpLimits(**files)):
            pass
