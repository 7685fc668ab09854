"""A server on loopback that fails in every way a web server can, one way per path: /KIND/anything; ends with its parent."""

import asyncio
import ctypes
import gzip
import multiprocessing
import os
import random
import resource
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from bench.download_corpus import encoded, specimens

Writer = asyncio.StreamWriter

_JPEG_HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")
_TLS_HANDSHAKE = b"\x16"  # the first byte that a TLS client sends
_JUNK = random.Random(0).randbytes(20_000)
_WHOLE_IMAGE = encoded(next(file for file in specimens("laion") if file.format == "jpeg"))
_HALF_AN_IMAGE = _WHOLE_IMAGE[: len(_WHOLE_IMAGE) // 2]
_DRIP_S, _LONG_S = 0.5, 120.0  # how often a dripping answer sends a byte, and when any answer ends at the latest
_BLOCK = bytes(65536)


async def _say(writer: Writer, status: str, body: bytes = b"", *fields: str, length: int | None = None) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *fields, "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()


async def _reset(writer: Writer) -> None:
    await _say(writer, "200 OK", _JPEG_HEAD, "Content-Type: image/jpeg", length=50_000)
    writer.transport.abort()


async def _drip(writer: Writer) -> None:
    await _say(writer, "200 OK", _JPEG_HEAD, length=50_000)
    while True:
        await asyncio.sleep(_DRIP_S)
        writer.write(b"\0")
        await writer.drain()


async def _drip_headers(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await asyncio.sleep(_DRIP_S)
        writer.write(b"X-A: b\r\n")
        await writer.drain()


async def _silent(writer: Writer) -> None:
    await asyncio.sleep(_LONG_S)
    writer.close()


async def _short(writer: Writer) -> None:
    await _say(writer, "200 OK", _JPEG_HEAD + _JUNK, length=len(_JUNK) * 2)


async def _endless(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(_BLOCK), _BLOCK))
        await writer.drain()


async def _huge_header(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(64):
        writer.write(b"X-A: " + b"b" * 16_000 + b"\r\n")
        await writer.drain()
    writer.write(b"\r\n")


async def _not_http(writer: Writer) -> None:
    writer.write(_JUNK)


def _always(status: str, body: bytes = b"", *fields: str) -> Callable[[Writer], Awaitable[None]]:
    return lambda writer: _say(writer, status, body, *fields)


ANSWERS: dict[str, Callable[[Writer], Awaitable[None]]] = {
    "404": _always("404 Not Found", b"<p>gone</p>"),
    "410": _always("410 Gone"),
    "429": _always("429 Too Many Requests", b"", "Retry-After: 1"),
    "503": _always("503 Service Unavailable"),
    "reset": _reset,
    "slow drip": _drip,
    "slow headers": _drip_headers,
    "silent": _silent,
    "short body": _short,
    "not an image": _always("200 OK", b"<!doctype html><title>no image</title>" * 50, "Content-Type: image/jpeg"),
    "truncated image": _always("200 OK", _HALF_AN_IMAGE, "Content-Type: image/jpeg"),
    "junk after a head": _always("200 OK", _JPEG_HEAD + _JUNK, "Content-Type: image/jpeg"),
    "redirect loop": _always("302 Found", b"", "Location: /redirect%20loop/again"),
    "redirect to file": _always("302 Found", b"", "Location: file:///etc/hostname"),
    "gzip of junk": _always("200 OK", b"\x1f\x8b\x08\x00" + _JUNK, "Content-Encoding: gzip"),
    "gzip bomb": _always("200 OK", gzip.compress(bytes(20_000_000)), "Content-Encoding: gzip"),
    "huge header": _huge_header,
    "endless body": _endless,
    "not HTTP": _not_http,
}


@contextmanager
def hostile_server() -> Iterator[int]:
    """The port at which it answers, at every loopback address, for as long as the block lasts."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
    process.start()
    try:
        yield int(ours.recv())
    finally:
        process.terminate()
        process.join()


def _serve(told: Connection, parent: int) -> None:
    _end_with(parent)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_answer_all(told))


def _end_with(parent: int) -> None:
    """Have the kernel end this process when the one that started it is gone, however that ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit


async def _answer_all(told: Connection) -> None:
    server = await asyncio.start_server(_answer, "0.0.0.0", 0, backlog=4096)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: Writer) -> None:
    try:
        async with asyncio.timeout(_LONG_S):
            first = await reader.read(1)
            if first == _TLS_HANDSHAKE:
                await _say(writer, "400 Bad Request")
                return
            line = first + await reader.readline()
            while (await reader.readline()).strip():
                pass
            kind = line.decode("latin-1").split("/")[1].replace("%20", " ") if b"/" in line else "not HTTP"
            await ANSWERS.get(kind, _not_http)(writer)
            await writer.drain()
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        pass  # the other side has left, or has waited long enough
    finally:
        writer.close()
