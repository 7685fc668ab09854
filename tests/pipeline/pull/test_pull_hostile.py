"""pull from a server that means harm: it writes nowhere else, takes no more than it should, and says nothing to the terminal."""

import hashlib
import json
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.cli import main
from pipeline.pull.fetching import fetch_bytes
from pipeline.pull.persisting import Patience
from pipeline.pull.web import Web
from pipeline.release.sums import read_sums
from schemas.errors import UserError
from tests.pipeline.pull.serving import endless, for_ever, redirect, serving, status
from tests.pipeline.release.making import make_release, row

NAME = "data/00000.parquet"


@pytest.fixture
def hostile(tmp_path):
    """A release whose own files the test changes."""
    make_release(tmp_path / "hostile", [row(1)])
    with serving(tmp_path / "hostile") as served:
        yield served


def add_line(server, name):
    with (server.root / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")


_LEADING_OUT = ["../outside", "/etc/outside", "data/../../outside", "data//x", "a\\..\\b", "C:/x"]
_OURS_OR_HIDDEN = ["_pull.json", "data/_part.x", ".bashrc", "x\x1b[2J", "SHA256SUMS"]


@pytest.mark.parametrize("name", [*_LEADING_OUT, *_OURS_OR_HIDDEN])
def test_a_name_that_no_release_has_ends_the_run_before_anything_is_written(name, hostile, pulled, tmp_path):
    add_line(hostile, name)
    with pytest.raises(UserError, match=r"SHA256SUMS.*do not trust this copy"):
        pulled(url=hostile.url)
    assert not (tmp_path / "copy").exists()


def test_names_in_the_description_are_checked_too(hostile, pulled, tmp_path):
    described = json.loads((hostile.root / "release.json").read_bytes())
    described["data"] = {"../outside.parquet": 1}
    data = json.dumps(described).encode()
    (hostile.root / "release.json").write_bytes(data)
    sums = read_sums(str(hostile.root)) | {"release.json": hashlib.sha256(data).hexdigest()}
    (hostile.root / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    with pytest.raises(UserError, match=r"'../outside.parquet', which is no place inside a release"):
        pulled(url=hostile.url)


def test_a_description_that_is_not_the_one_that_was_hashed_is_refused(hostile, pulled, tmp_path):
    (hostile.root / "release.json").write_bytes((hostile.root / "release.json").read_bytes() + b" ")
    with pytest.raises(UserError, match=r"release.json: its sha256 is .*SHA256SUMS says"):
        pulled(url=hostile.url)
    assert not (tmp_path / "copy").exists()


def test_control_characters_never_reach_the_terminal(hostile, tmp_path, capsys):
    (hostile.root / "SHA256SUMS").write_bytes(b"\x1b]0;owned\x07 not a line\n")
    assert main(["pull", hostile.url, str(tmp_path / "copy")]) == 1
    hostile.on("SHA256SUMS", for_ever(redirect("file:///etc/passwd%1b[2J")))
    assert main(["pull", hostile.url, str(tmp_path / "copy")]) == 1
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    assert "\x07" not in told.out + told.err


def test_a_body_without_end_is_cut_off(pulled, server):
    server.on(NAME, for_ever(endless))
    manifest = pulled(max_file_gb=0.001)
    assert "has more than 1,000,000 bytes; --max-file-gb allows more" in manifest.failed_inputs[0].error
    assert server.requests(NAME)[0].bytes_sent < 20_000_000, "what the two sockets hold"


def test_a_description_without_end_is_cut_off(server):
    server.on("SHA256SUMS", for_ever(endless))
    source = Web(server.url, connections=1, timeout_s=5)
    with pytest.raises(UserError, match="has more than 1,000 bytes, which no release has there"):
        fetch_bytes(source, "SHA256SUMS", Patience(attempts=1, first_wait_s=0, most_bytes=1), 1000)
    source.hang_up()


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1", "", "http://user:pw@127.0.0.1/", "http://[::1"]
)  # fmt: skip
def test_a_redirect_to_anything_but_http_is_not_followed(location, pulled, server):
    server.on(NAME, redirect(location))
    manifest = pulled()
    assert "redirected to" in manifest.failed_inputs[0].error
    assert len(server.requests(NAME)) == 1


def test_redirects_in_a_circle_end(pulled, server):
    server.on(NAME, for_ever(redirect(f"/{NAME}")))
    assert "redirected more than 8 times" in pulled().failed_inputs[0].error
    assert len(server.requests(NAME)) == 9


def test_a_file_that_is_sent_compressed_is_refused(pulled, server):
    server.on(NAME, for_ever(status(200, Content_Encoding="gzip")))
    assert "is sent encoded ('gzip')" in pulled().failed_inputs[0].error


def test_a_user_in_the_address_is_not_sent(pulled, server):
    with pytest.raises(UserError, match="a user or password before the host is not sent") as raised:
        pulled(url=server.url.replace("//", "//me:secret@"))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://[::1", "https://", "http://127.0.0.1:99999/", "http://127.0.0.1:x/"])
def test_what_is_no_url_is_told(url, pulled):
    with pytest.raises(UserError, match=r"not a URL|without a host"):
        pulled(url=url)


def test_https_is_verified_and_never_left_for_http(pulled, release, tmp_path, monkeypatch, same_as):
    certificate = _certificate(tmp_path / "server.pem")
    with serving(release) as server, serving(release) as plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.wrap(context)
        with pytest.raises(UserError, match=r"its certificate cannot be verified .*SSL_CERT_FILE"):
            pulled(url=server.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        server.on(NAME, redirect(f"{plain.url}/{NAME}"))
        manifest = pulled(url=server.url)
        assert [each.path for each in manifest.failed_inputs] == [NAME]
        assert "redirected from https to" in manifest.failed_inputs[0].error
        assert plain.asked == []
        pulled(url=server.url)
    assert same_as(tmp_path / "copy")


def _certificate(path):
    """A key and its own certificate for 127.0.0.1, in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from ipaddress import ip_address

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*plain) + made.public_bytes(serialization.Encoding.PEM))
    return path
