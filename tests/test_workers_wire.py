"""Messages between parent and worker: whole, or a clear end; never a wait for ever."""

import pickle
import socket
import threading
import time

import pytest

from imagepipe.errors import ConfigurationError
from imagepipe.workers import wire
from imagepipe.workers.wire import Channel, Gone


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


def soon() -> float:
    return time.monotonic() + 0.1


def later() -> float:
    return time.monotonic() + 60


def test_large_and_small_values_arrive_as_they_were_sent(ends):
    channel, theirs = ends
    value = {"large": b"x" * 3_000_000, "array": bytearray(b"y" * 200_000), "text": "z" * 300_000, "small": [1, None]}
    sender = threading.Thread(target=Channel(theirs).send, args=(wire.RESULT, wire.pickled(value, "a value")))
    sender.start()

    kind, data = channel.receive(later())
    sender.join()

    assert kind == wire.RESULT
    assert wire.loaded(data) == value


def test_large_bytes_are_sent_from_where_they_are():
    data = b"x" * 1_000_000

    assert any(piece is data for piece in wire.pickled((data, "other"), "a value"))
    assert pickle.loads(b"".join(wire.pickled((data, "other"), "a value"))) == (data, "other")


def test_a_message_without_content_is_one(ends):
    channel, theirs = ends
    Channel(theirs).send(wire.READY, [])

    assert channel.receive(later()) == (wire.READY, bytearray())


@pytest.mark.parametrize("sent", [b"", b"V", wire._HEADER.pack(b"V", 1_000_000), wire._HEADER.pack(b"V", 10) + b"half"])
def test_an_end_in_the_middle_of_a_message_is_an_end(ends, sent):
    channel, theirs = ends
    theirs.sendall(sent)
    theirs.close()

    with pytest.raises(Gone):
        channel.receive(later())


@pytest.mark.parametrize("sent", [b"", b"V", wire._HEADER.pack(b"V", 10) + b"half"])
def test_a_message_that_does_not_go_on_runs_into_the_deadline(ends, sent):
    channel, theirs = ends
    theirs.sendall(sent)

    with pytest.raises(TimeoutError):
        channel.receive(soon())


def test_nobody_at_the_other_end_is_noticed_though_somebody_holds_it_open(ends):
    channel, _ = ends

    with pytest.raises(Gone):
        channel.receive(later(), alive=lambda: False)


def test_what_a_process_said_before_it_ended_is_still_heard(ends, monkeypatch):
    monkeypatch.setattr(wire, "_GLANCE", 0.05)
    channel, theirs = ends
    timer = threading.Timer(0.2, lambda: Channel(theirs).send(wire.RESULT, wire.pickled(7, "a value")))

    def alive() -> bool:
        timer.join()  # the answer comes just as it is found dead
        return False

    timer.start()
    _, data = channel.receive(later(), alive=alive)

    assert wire.loaded(data) == 7


def test_a_reader_that_does_not_read_runs_into_the_deadline(ends):
    channel, _ = ends

    with pytest.raises(TimeoutError):
        channel.send(wire.TASK, [b"x" * 50_000_000], soon())


def test_sending_to_nobody_is_an_end(ends):
    channel, theirs = ends
    theirs.close()

    with pytest.raises(Gone):
        channel.send(wire.TASK, [b"x" * 5_000_000], later())


def test_what_cannot_be_pickled_is_named():
    with pytest.raises(ConfigurationError, match="the stage of mine cannot be sent"):
        wire.pickled(threading.Lock(), "the stage of mine")
