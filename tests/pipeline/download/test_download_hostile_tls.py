"""TLS and HTTP/2 that go wrong: certificates for others, the wrong port, streams and connections that are broken off."""

import shutil
import ssl
import subprocess
import time

import pytest

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
BREAKS = {
    "goaway": (b"\0\0\x08\x07\0\0\0\0\0" + bytes(8), {"reset", "bad_response"}),
    "rst_stream": (b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x02", {"reset"}),
    "a_frame_larger_than_allowed": (b"\xff\xff\xff\0\0\0\0\0\x01", {"reset", "bad_response"}),
    "data_before_headers": (b"\0\0\x03\0\0\0\0\0\x01abc", {"reset", "bad_response"}),
    "end_of_connection": (b"", {"reset", "bad_response"}),
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    paths = str(folder / "certificate.pem"), str(folder / "key.pem")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, *names, "-keyout", paths[1], "-out", paths[0]], check=True, capture_output=True)
    return paths


@pytest.fixture
def secure(certificate, wire, monkeypatch):
    """Starts a server that shows the certificate, which is trusted, and then calls `how`; its https URL."""
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])

    def start(how, host="127.0.0.1", protocol="http/1.1"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.set_alpn_protocols([protocol])

        def shake(connection, server):
            with context.wrap_socket(connection, server_side=True) as encrypted:
                how(encrypted, server)

        return wire(shake, host, at_once=True).url.replace("http:", "https:")

    return start


def answers(connection, server):
    if server.has_request(connection):
        connection.sendall(ANSWER)


def test_a_certificate_for_another_name_is_refused(secure, make):
    ended = make.fetch([secure(answers), secure(answers, "127.0.0.2")])
    assert [one.reason for one in ended] == [None, "tls"]


def test_a_certificate_for_another_name_is_accepted_where_that_is_asked_for(secure, make):
    assert make.fetch([secure(answers, "127.0.0.2")], verify_tls=False)[0].body == b"abc"


def test_tls_to_a_plain_port_is_no_tls(wire, make):
    plain = wire(lambda connection, _server: connection.sendall(b"HTTP/1.1 400 x\r\n\r\n"), at_once=True)
    assert make.fetch([plain.url.replace("http:", "https:")])[0].reason == "tls"


def test_plain_http_to_a_tls_port_is_no_answer(secure, make):
    assert make.fetch([secure(answers).replace("https:", "http:")])[0].reason in {"reset", "bad_response"}


@pytest.mark.parametrize("name", BREAKS)
def test_http_2_that_is_broken_off_has_a_name(secure, make, name):
    frames, reasons = BREAKS[name]

    def how(connection, _server):
        connection.sendall(b"\0\0\0\x04\0\0\0\0\0")  # SETTINGS
        connection.recv(65536)
        time.sleep(0.02)
        connection.sendall(frames)

    (ended,) = make.fetch([secure(how, protocol="h2")], timeout_s=2)
    assert ended.reason in reasons
