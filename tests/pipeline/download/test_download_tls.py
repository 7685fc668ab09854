"""HTTPS: certificates are verified, and connections are reused."""

import os
import shutil
import ssl
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

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

    def end(urls, **environment):
        pool = make.pool(tmp_path / "pool", [(url, "text") for url in urls])
        words = ["--allow-private-addresses", "--retries", "0", "--concurrency", "1"]
        command = [sys.executable, "-m", "pipeline.cli", "download", "--pool", pool, "--out", tmp_path / "out", *words]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})
        return pq.read_table(tmp_path / "out/00000.parquet")["error_message"].to_pylist()

    return end


def test_a_certificate_that_nobody_vouches_for_is_refused(secure, end, make):
    web, _ = secure
    url = web.serve("/a.jpg", make.picture(50, 50)).replace("http:", "https:")
    assert end([url]) == ["tls"]


def test_a_trusted_certificate_is_accepted(secure, end, make):
    web, certificate = secure
    urls = [web.serve(f"/{n}.jpg", make.picture(50, 50, n)).replace("http:", "https:") for n in range(5)]
    assert end(urls, SSL_CERT_FILE=str(certificate)) == [None] * 5
