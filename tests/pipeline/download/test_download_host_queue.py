"""The queue of requests by host keeps its promises in every order of events: a model beside it says what they are."""

import itertools
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.download.fetching.hosts import HostQueue

HOSTS = ("a", "b", "c")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(HOSTS)),
        st.tuples(st.just("add_first"), st.sampled_from(HOSTS)),
        st.tuples(st.just("take"), st.booleans()),
        st.tuples(st.just("done"), st.integers(0, 20)),
        st.tuples(st.just("hold"), st.sampled_from(HOSTS)),
        st.tuples(st.just("slow_down"), st.sampled_from(HOSTS)),
        st.tuples(st.just("drop"), st.sampled_from(HOSTS)),
        st.tuples(st.just("pass"), st.integers(1, 30)),
    ),
    max_size=60,
)


class Model:
    """A HostQueue on a clock of its own, beside what its docstring promises."""

    def __init__(self, per_host: int, interval_s: float) -> None:
        self.queue = HostQueue(per_host=per_host, interval_s=interval_s)
        self.per_host, self.now = per_host, 0.0
        self.waiting, self.running, self.gone = defaultdict(list), [], []
        self.free_at, self.interval = defaultdict(float), defaultdict(lambda: interval_s)
        self.numbers = itertools.count()

    def add(self, host, *, first=False):
        request = (host, next(self.numbers))
        self.queue.add(host, request, first=first)
        self.waiting[host].insert(0 if first else len(self.waiting[host]), request)

    def ready(self):
        return [host for host in self.waiting if self.has_room(host) and self.free_at[host] <= self.now]

    def has_room(self, host):
        return bool(self.waiting[host]) and sum(h == host for h, _ in self.running) < self.per_host

    def take(self, begins=True):
        request = self.queue.take(self.now)
        if request is None:
            assert not self.ready()
            soonest = min((self.free_at[host] for host in self.waiting if self.has_room(host)), default=None)
            promised = self.queue.next_at()
            assert soonest is None or (promised is not None and self.now < promised <= soonest)
            return False
        host = request[0]
        assert host in self.ready()
        assert self.waiting[host].pop(0) == request
        self.running.append(request)
        if begins:
            self.queue.begun(host, self.now)
            self.free_at[host] = max(self.free_at[host], self.now + self.interval[host])
        return True

    def done(self, number):
        if self.running:
            request = self.running.pop(number % len(self.running))
            self.queue.done(request[0])
            self.gone.append(request)

    def step(self, what, of):
        known = self.waiting.keys()
        if what in ("add", "add_first"):
            self.add(of, first=what == "add_first")
        elif what == "take":
            self.take(begins=of)
        elif what == "done":
            self.done(of)
        elif what == "pass":
            self.now += of / 10
        elif of in known and what == "hold":
            self.queue.hold(of, self.now + 1.5)
            self.free_at[of] = max(self.free_at[of], self.now + 1.5)
        elif of in known and what == "slow_down":
            self.queue.slow_down(of, 0.7)
            self.interval[of] = max(self.interval[of], 0.7)
        elif of in known:
            assert self.queue.drop(of) == self.waiting[of]
            self.gone += self.waiting[of]
            self.waiting[of] = []
        assert len(self.queue) == sum(map(len, self.waiting.values()))

    def finish(self):
        """Let all go its way; how often the clock had to be moved."""
        moves = 0
        while len(self.queue) or self.running:
            if self.take():
                continue
            if self.running:
                self.done(0)
            else:
                self.now = self.queue.next_at()
                moves += 1
        return moves


@settings(max_examples=300)
@given(STEPS, st.integers(1, 3), st.sampled_from([0.0, 0.3]))
def test_the_queue_keeps_its_promises_in_every_order_of_events(steps, per_host, interval_s):
    model = Model(per_host, interval_s)
    for what, of in steps:
        model.step(what, of)
    asked = next(model.numbers)
    assert model.finish() <= 4 * asked + 4  # it never promises a moment at which nothing can be done
    assert sorted(number for _, number in model.gone) == list(range(asked))


def test_hosts_take_turns():
    queue = HostQueue(per_host=9)
    for host in "aaaabbc":
        queue.add(host, host)
    assert "".join(queue.take(0.0) for _ in range(7)) == "abcabaa"
