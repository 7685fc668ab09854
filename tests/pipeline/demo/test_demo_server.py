import http.client
import socket
import time
from contextlib import closing

import pytest

from pipeline.demo.server import ProxyServer, Response
from pipeline.demo.site import Site

PICTURE = Response(status=200, headers=(("Content-Type", "image/gif"),), body=b"GIF89a" * 50)
KNOWN = {
    "http://a.example/x.gif?w=1": PICTURE,
    "http://a.example/moved": Response(status=301, headers=(("Location", "http://a.example/x.gif?w=1"),)),
    "http://a.example/dropped": Response(status=200, body=b"x" * 1000, dropped=True),
}


@pytest.fixture
def server():
    with ProxyServer(KNOWN.get) as running:
        yield running


def connect(server):
    return closing(http.client.HTTPConnection(server.proxy_url.removeprefix("http://"), timeout=5))


def get(connection, url, method="GET", **headers):
    connection.request(method, url, headers=headers)
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), response.read()


def talk(server, request):
    """Everything that the server answers to raw bytes before it closes."""
    host, port = server.proxy_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(request)
        answer = b""
        while data := raw.recv(65536):
            answer += data
    return answer


def test_an_absolute_url_is_answered_as_by_a_proxy(server):
    with connect(server) as connection:
        status, headers, body = get(connection, "http://a.example/x.gif?w=1")
    assert (status, headers["Content-Type"], body) == (200, "image/gif", PICTURE.body)


def test_a_path_with_a_host_header_is_answered_too(server):
    with connect(server) as connection:
        assert get(connection, "/x.gif?w=1", Host="a.example")[0] == 200


def test_the_unknown_is_404_and_the_connection_stays_open(server):
    with connect(server) as connection:
        assert get(connection, "http://b.example/")[0] == 404
        channel = connection.sock
        assert get(connection, "http://a.example/moved")[0] == 301
        assert connection.sock is channel


def test_head_brings_the_length_without_the_body(server):
    with connect(server) as connection:
        status, headers, body = get(connection, "http://a.example/x.gif?w=1", method="HEAD")
        assert (status, headers["Content-Length"], body) == (200, "300", b"")
        assert get(connection, "http://a.example/x.gif?w=1")[2] == PICTURE.body


def test_a_dropped_response_ends_in_mid_body(server):
    with connect(server) as connection, pytest.raises(http.client.IncompleteRead):
        get(connection, "http://a.example/dropped")


def test_other_methods_are_refused_and_their_body_is_not_taken_for_a_request(server):
    answer = talk(
        server, b"POST http://a.example/ HTTP/1.1\r\nContent-Length: 30\r\n\r\nGET http://a.example/moved HTTP/1.1\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 405")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "request_line", [b"GET\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n", b"\x16\x03\x01 \r\n\r\n"]
)
def test_what_is_no_request_is_400_and_closed(server, request_line):
    assert talk(server, request_line).startswith(b"HTTP/1.1 400")


def test_http_1_0_closes_after_the_answer(server):
    answer = talk(server, b"GET http://a.example/x.gif?w=1 HTTP/1.0\r\n\r\n")
    assert answer.endswith(PICTURE.body)


def test_a_lookup_that_raises_is_500_and_the_server_goes_on():
    with ProxyServer(lambda url: KNOWN[url]) as server, connect(server) as connection:
        assert get(connection, "http://b.example/")[0] == 500
        assert get(connection, "http://a.example/x.gif?w=1")[0] == 200


def test_it_stops_with_connections_open_and_frees_its_port():
    with ProxyServer(KNOWN.get) as server:
        host, port = server.proxy_url.removeprefix("http://").split(":")
        idle = socket.create_connection((host, int(port)), timeout=5)
    with closing(idle), pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


def test_a_port_that_is_taken_is_an_error(server):
    port = int(server.proxy_url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="in use"), ProxyServer(KNOWN.get, port=port):
        pass


def test_it_answers_hundreds_of_requests_a_second(small_web):
    urls = [resource.url for resource in small_web.web.resources if resource.answer != "dropped"]
    with Site(small_web.site) as site, ProxyServer(site.lookup) as server, connect(server) as connection:
        started = time.perf_counter()
        statuses = [get(connection, url)[0] for url in urls]
        # The promise is 500 a second; a loaded machine gets room.
        assert len(statuses) / (time.perf_counter() - started) > 100
        assert server.requests == len(urls)
    assert set(statuses) == {200, 301, 302, 404, 500}
