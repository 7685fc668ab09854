"""HTTPS: certificates are verified, and connections are reused."""

import shutil
import ssl
import subprocess

import pyarrow.parquet as pq
import pytest

from pipeline.download import DownloadConfig, run

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")


@pytest.fixture
def secure(tmp_path, make):
    """An HTTPS server on 127.0.0.1, and the certificate that it shows."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web = make.web()
    web.server.socket = context.wrap_socket(web.server.socket, server_side=True, do_handshake_on_connect=False)
    yield web, certificate
    web.close()


@pytest.fixture
def end(tmp_path, make):
    """Download URLs; their error messages."""

    def end(urls):
        pool = make.pool(tmp_path / "pool", [(url, "text") for url in urls])
        options = {"allow_private_addresses": True, "retries": 0, "concurrency": 1}
        run(DownloadConfig(pool=str(pool), out=str(tmp_path / "out"), **options))
        return pq.read_table(tmp_path / "out/00000.parquet")["error_message"].to_pylist()

    return end


def test_a_certificate_that_nobody_vouches_for_is_refused(secure, end, make):
    web, _ = secure
    url = web.serve("/a.jpg", make.picture(50, 50)).replace("http:", "https:")
    assert end([url]) == ["tls"]


def test_a_trusted_certificate_is_accepted(secure, end, make, monkeypatch):
    web, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    urls = [web.serve(f"/{n}.jpg", make.picture(50, 50, n)).replace("http:", "https:") for n in range(5)]
    assert end(urls) == [None] * 5
