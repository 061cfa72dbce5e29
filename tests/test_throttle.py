"""The governor of the request quota: on a clock that tests turn, and with real threads on a small window."""

import random
import threading
import time

import pytest
from httpx import Headers

from imagepipe.http import MockTransport, Request, Response
from imagepipe.stores.throttle import FIRST, LONGEST_PAUSE, Throttle, seconds, whole


class Clock:
    def __init__(self):
        self.now = 1000.0
        self.naps = []

    def __call__(self):
        return self.now

    def sleep(self, pause):
        assert pause > 0
        self.naps.append(pause)
        self.now += pause


def headers(left, reset_ms=30_000, quota=150, window_ms=30_000):
    return {"X-Rate-Limit-Time-Window-Ms": str(window_ms), "X-Rate-Limit-Time-Reset-Ms": str(reset_ms),
            "X-Rate-Limit-Requests-Quota": str(quota), "X-Rate-Limit-Requests-Left": str(left)}


class Quota:
    """A store that counts requests in windows, by a clock that it shares with nobody's wall."""

    def __init__(self, clock, quota=150, window=30.0, took=0.1):
        self.clock, self.quota, self.window, self.took = clock, quota, window, took
        self.began, self.used, self.ok, self.refused = clock(), 0, 0, 0
        self.lock = threading.Lock()

    def spend(self, requests=1):
        """Count requests, of another app; return whether the last one passed."""
        with self.lock:
            now = self.clock()
            if now - self.began >= self.window:
                self.began += self.window * ((now - self.began) // self.window)
                self.used = 0
            passed = self.used + requests <= self.quota
            self.used = min(self.used + requests, self.quota)
            reset = int((self.began + self.window - now) * 1000)
            return passed, headers(self.quota - self.used, reset, self.quota, int(self.window * 1000))

    def __call__(self, request):
        passed, said = self.spend()
        if isinstance(self.clock, Clock):
            self.clock.now += self.took
        else:
            time.sleep(random.uniform(0, self.took))  # counted when it came, answered later, in any order
        if passed:
            self.ok += 1
            return Response(200, headers=said)
        self.refused += 1
        reset = int(said["X-Rate-Limit-Time-Reset-Ms"])
        return Response(429, headers={**said, "X-Retry-After": str(-(-reset // 1000))})


def governed(handler, clock, **settings):
    settings.setdefault("leave_quota", 0.0)
    return Throttle(MockTransport(handler), sleep=clock.sleep, clock=clock, **settings)


def get(throttle, **extensions):
    return throttle.handle_request(Request("GET", "https://store.example/", extensions=extensions))


def test_alone_the_whole_quota_is_used_and_nothing_refused():
    clock = Clock()
    server = Quota(clock)
    throttle = governed(server, clock)

    while clock.now < 1000 + 10 * 30:
        get(throttle)

    assert server.refused == 0
    assert server.ok >= 0.95 * 10 * 150


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_share_is_left_to_others(share):
    clock = Clock()
    server = Quota(clock)
    throttle = governed(server, clock, leave_quota=share)

    while clock.now < 1000 + 10 * 30:
        get(throttle)

    assert 0.95 * 10 * 150 * (1 - share) <= server.ok <= 10 * 150 * (1 - share) + 1


def test_with_another_app_what_it_leaves_is_used_and_little_is_refused():
    clock = Clock()
    server = Quota(clock)
    throttle = governed(server, clock)
    dice = random.Random(1)
    others = 0

    while clock.now < 1000 + 10 * 30:
        if server.clock() - server.began < 25 and others < (clock.now - 1000) * 2.5:
            many = dice.randint(1, 5)
            others += many if server.spend(many)[0] else 0
        get(throttle)

    assert server.refused <= 10
    assert server.ok >= 0.9 * (10 * 150 - others)


def test_where_others_take_everything_one_request_a_window_still_goes():
    clock = Clock()
    server = Quota(clock)
    throttle = governed(server, clock, leave_quota=0.2)

    for _ in range(5):
        server.spend(140)
        get(throttle)
        get(throttle)
        clock.now = server.began + 30

    assert server.ok >= 5
    assert server.refused == 0


def test_a_store_that_says_nothing_of_a_quota_is_not_held_back():
    clock = Clock()
    throttle = governed(lambda request: Response(200), clock)

    for _ in range(1000):
        get(throttle)

    assert clock.naps == []
    assert throttle.sent == {"GET": 1000}


def test_nonsense_in_the_headers_is_not_believed():
    clock = Clock()
    nonsense = iter([headers("many"), headers(-5, -1), headers(10, "nan"), headers(10, 1e18), headers("", "", "", ""),
                     headers(5, quota=0), headers("٣", "٣")])
    throttle = governed(lambda request: Response(200, headers={
        name: value.encode() for name, value in next(nonsense).items()}), clock)

    for _ in range(7):
        get(throttle)

    assert sum(clock.naps) <= 31


def test_a_limit_by_hand_is_kept():
    clock = Clock()
    sent = []
    throttle = governed(lambda request: sent.append(clock.now) or Response(200), clock, max_requests=(10, 30.0))

    for _ in range(100):
        get(throttle)

    assert all(sent[number + 10] - sent[number] >= 30 for number in range(90))
    assert clock.now == pytest.approx(1000 + 9 * 30, abs=1)


def test_the_lowest_that_is_left_counts_as_answers_overtake_each_other():
    clock = Clock()
    said = iter([headers(10, quota=20), headers(3, quota=20), headers(8, quota=20), headers(2, quota=20),
                 headers(1, quota=20), headers(0, quota=20)])
    throttle = governed(lambda request: Response(200, headers=next(said, headers(19, quota=20))), clock)

    for _ in range(6):
        get(throttle)
    assert clock.naps == []

    get(throttle)
    assert clock.naps == [pytest.approx(30, abs=0.1)]


# -- 429 -------------------------------------------------------------------------------------------


def refused_once(said):
    answers = iter([Response(429, headers=said), Response(200)])
    return lambda request: next(answers)


@pytest.mark.parametrize(("said", "pause"), [
    ({"X-Rate-Limit-Time-Reset-Ms": "5000", "X-Retry-After": "2"}, 5),
    ({"X-Rate-Limit-Time-Reset-Ms": "1500", "X-Retry-After": "7"}, 7),
    ({"X-Rate-Limit-Time-Reset-Ms": "1500"}, 1.5),
    ({"X-Retry-After": "4"}, 4),
    ({"Retry-After": "4"}, 4),
    ({"X-Retry-After": "600"}, LONGEST_PAUSE),
    ({"X-Retry-After": "1e300"}, 2), ({"X-Retry-After": "-5"}, 2), ({"X-Retry-After": "inf"}, 2),
    ({"X-Retry-After": "nan"}, 2), ({"X-Retry-After": "soon"}, 2), ({}, 2),
    ({"X-Rate-Limit-Time-Reset-Ms": "-1", "X-Retry-After": "3"}, 3),
    ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 2),
])
def test_a_429_pauses_for_the_longer_of_what_it_says_or_for_about_two_seconds(said, pause):
    clock, told = Clock(), []
    throttle = governed(refused_once(said), clock, on_pause=told.append)

    assert get(throttle).status_code == 200
    assert clock.naps == [pytest.approx(pause, rel=0.25)]
    assert told == [pytest.approx(pause, rel=0.25)]


def test_refusals_without_a_reason_are_waited_for_longer_and_longer_then_returned():
    clock = Clock()
    throttle = governed(lambda request: Response(429), clock)

    assert get(throttle).status_code == 429
    assert len(clock.naps) == 9
    assert clock.naps[0] < 3
    assert clock.naps[2] > clock.naps[0]
    assert all(40 <= nap <= 75 for nap in clock.naps[5:])


def test_a_store_that_always_says_that_the_wait_is_over_is_not_hammered():
    clock = Clock()
    throttle = governed(lambda request: Response(429, headers={"X-Rate-Limit-Time-Reset-Ms": "0"}), clock)

    get(throttle)

    assert clock.now - 1000 > 60


def test_a_pause_is_kept_by_all_threads():
    clock = Clock()
    throttle = governed(refused_once({"X-Retry-After": "5"}), clock)
    times = []
    throttle.transport = MockTransport(lambda request: times.append(clock.now) or (
        Response(429, headers={"X-Retry-After": "5"}) if len(times) == 1 else Response(200)))

    ticket = throttle.governor.enter(clock.sleep)  # another thread's, refused while this one waits
    throttle.governor.leave(ticket, 429, {"x-retry-after": "5"})
    get(throttle)

    assert times[0] == pytest.approx(1005, abs=0.1)


def test_numbers_in_headers():
    assert seconds("1500", 1000) == 1.5
    assert [seconds(text, 1) for text in (None, "", "x", "-1", "inf", "nan", "1e9")] == [None] * 7
    assert [whole(text) for text in ("3", "-3", None, "1.5")] == [3, 0, None, None]


@pytest.mark.parametrize("share", [-0.1, 1, 2])
def test_a_share_is_below_one(share):
    with pytest.raises(ValueError, match="share"):
        Throttle(MockTransport(lambda request: Response(200)), leave_quota=share)


# -- threads ---------------------------------------------------------------------------------------


def in_threads(work, count=4):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_the_first_request_goes_alone():
    at_once, most, lock = [0], [0], threading.Lock()
    first = []

    def handler(request):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            first.append(at_once[0])
        time.sleep(0.02)
        with lock:
            at_once[0] -= 1
            if len(first) == 1:
                assert most[0] == 1
        return Response(200, headers=headers(100))

    throttle = Throttle(MockTransport(handler))
    in_threads(lambda: [get(throttle) for _ in range(3)])

    assert first[0] == 1
    assert most[0] > 1


def test_threads_share_a_small_window_without_a_refusal():
    server = Quota(time.monotonic, quota=20, window=0.3, took=0.02)
    throttle = Throttle(MockTransport(server), leave_quota=0.0)

    in_threads(lambda: [get(throttle) for _ in range(15)], count=8)

    assert server.refused == 0
    assert server.ok == 120


def test_what_an_early_answer_says_does_not_count_after_a_late_one_said_less():
    clock = Clock()
    governor = governed(None, clock).governor
    governor.leave(governor.enter(clock.sleep), 200, Headers(headers(10, quota=12)))
    first, second = governor.enter(clock.sleep), governor.enter(clock.sleep)

    governor.leave(second, 200, Headers(headers(0, quota=12)))
    governor.leave(first, 200, Headers(headers(9, quota=12)))
    governor.enter(clock.sleep)

    assert clock.naps == [pytest.approx(30, abs=0.1)]


def test_an_answer_that_comes_after_its_window_does_not_hold_up_the_next():
    clock = Clock()
    governor = governed(None, clock).governor
    governor.leave(governor.enter(clock.sleep), 200, Headers(headers(10, quota=12)))
    slow = governor.enter(clock.sleep)
    clock.now += 31

    governor.leave(governor.enter(clock.sleep), 200, Headers(headers(11, 29_000, quota=12)))
    governor.leave(slow, 200, Headers(headers(0, 1_000, quota=12)))
    governor.enter(clock.sleep)

    assert clock.naps == []


def test_a_request_that_fails_gives_its_place_back():
    def handler(request):
        raise RuntimeError("broken")

    throttle = Throttle(MockTransport(handler))

    def work():
        for _ in range(5):
            with pytest.raises(RuntimeError):
                get(throttle)

    in_threads(work)

    assert throttle.sent["GET"] == 20


def test_settling_goes_before_other_requests():
    served, gate = [], threading.Event()
    server = Quota(time.monotonic, quota=2, window=0.3, took=0)

    def handler(request):
        served.append(request.headers["x"])
        if len(served) == 1:
            gate.wait(10)
        return server(request)

    throttle = Throttle(MockTransport(handler), leave_quota=0.0)

    def send(name, first):
        throttle.handle_request(Request("GET", "https://a.example/", headers={"x": name}, extensions={FIRST: first}))

    threads = [threading.Thread(target=send, args=("probe", False))]
    threads[0].start()
    while not served:
        time.sleep(0.001)
    for name, first in (("a", False), ("b", False), ("settle", True)):
        threads.append(threading.Thread(target=send, args=(name, first)))
        threads[-1].start()
    while not throttle.governor._first_waiting:
        time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join(10)

    assert served[1] == "settle"  # the one request that was left in this window
