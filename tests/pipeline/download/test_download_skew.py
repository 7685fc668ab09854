"""A pool of which one host has half of all URLs: what that host is asked, and when the others are done."""

import random
import time

from pipeline.download.fetching.fetch import Fetcher, Manners
from pipeline.download.fetching.transfer import FetchLimits
from tests.pipeline.download.test_download_manners import Busy


def test_a_host_with_half_of_all_urls_is_asked_no_faster_and_holds_up_no_other(make):
    large, *others = webs = [make.web(f"127.0.0.{number}") for number in range(1, 10)]
    try:
        busy = Busy(make, 0.02)
        urls = [large.answer(f"/{n}", busy) for n in range(80)] + [web.answer(f"/{n}", busy) for web in others for n in range(10)]
        random.Random(8).shuffle(urls)
        ended_s: dict[str, float] = {}
        limits = FetchLimits(timeout_s=5, max_bytes=10**6, user_agent="webpairs/test", may_connect=lambda _: True)
        with Fetcher(limits, 16, Manners(per_host=4)) as fetcher:
            started = time.monotonic()
            for number, url in enumerate(urls):
                fetcher.start(number, url)
            while fetcher.active:
                for response in fetcher.step(1.0):
                    assert response.reason is None
                    ended_s[urls[response.number].split("/")[2]] = time.monotonic() - started
    finally:
        for web in webs:
            web.close()
    of_large = ended_s.pop(large.url("").removeprefix("http://"))
    assert busy.most["127.0.0.1"] == 4  # its own share of the connections, however many of its URLs wait
    assert max(busy.most[f"127.0.0.{number}"] for number in range(2, 10)) <= 4
    # 80 of its pictures, 4 at a time; the others' 80 meanwhile on the 12 connections that it may not have.
    assert max(ended_s.values()) < 0.7 * of_large
