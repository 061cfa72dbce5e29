"""How much memory and how many processors there are, and who may use them."""

import os
import sys
import threading
from pathlib import Path

import pytest
from processes_seen import PATIENCE, until

from imagepipe.errors import NeedsMemory
from imagepipe.workers import memory
from imagepipe.workers.memory import MemoryGate, cores, default_jobs, memory_available, shown

GB = 1 << 30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A made-up file system of a machine with 16 GB to spare and 8 processors, and no limits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(memory, "_of_limits", lambda: iter(()))

    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    write("proc/meminfo", f"MemTotal: 33554432 kB\nMemFree: 100 kB\nMemAvailable: {16 * GB >> 10} kB\n")
    return tmp_path, write


def test_without_groups_it_is_what_the_machine_has(machine):
    root, _ = machine

    assert memory_available(root) == 16 * GB
    assert cores(root) == 8


def test_a_container_of_version_2_is_respected_and_its_file_cache_counts_as_free(machine):
    root, write = machine
    write("proc/self/cgroup", "0::/\n")
    write("sys/fs/cgroup/memory.max", f"{GB}\n")
    write("sys/fs/cgroup/memory.current", f"{600 << 20}\n")
    write("sys/fs/cgroup/memory.stat", f"anon 1\ninactive_file {500 << 20}\nactive_file 7\n")
    write("sys/fs/cgroup/cpu.max", "150000 100000\n")

    assert memory_available(root) == GB - (100 << 20)
    assert cores(root) == 2


def test_the_tightest_group_up_to_the_outermost_counts(machine):
    root, write = machine
    write("proc/self/cgroup", "0::/a.slice/b.scope\n")
    write("sys/fs/cgroup/a.slice/memory.max", f"{2 * GB}\n")
    write("sys/fs/cgroup/a.slice/memory.current", "0\n")
    write("sys/fs/cgroup/a.slice/cpu.max", "300000 100000\n")
    write("sys/fs/cgroup/a.slice/b.scope/memory.max", "max\n")
    write("sys/fs/cgroup/a.slice/b.scope/memory.current", "5\n")
    write("sys/fs/cgroup/a.slice/b.scope/cpu.max", "max 100000\n")

    assert memory_available(root) == 2 * GB
    assert cores(root) == 3


def test_a_container_of_version_1_is_respected_though_its_path_is_that_of_the_host(machine):
    root, write = machine
    write("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n")
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", f"{GB}\n")
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", f"{GB // 2}\n")
    write("sys/fs/cgroup/memory/memory.stat", f"inactive_file 1\ntotal_inactive_file {GB // 4}\n")
    write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n")
    write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")

    assert memory_available(root) == GB * 3 // 4
    assert cores(root) == 1


def test_version_1_without_limits_limits_nothing(machine):
    root, write = machine
    write("proc/self/cgroup", "5:memory:/\n4:cpu:/\n")
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n")
    write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")

    assert memory_available(root) == 16 * GB
    assert cores(root) == 8


@pytest.mark.parametrize("text", ["", "\n", "nonsense\n", "0::/../../etc\n", "::\n", "0\n", "a:b:c:d\n", "\0\xff\n"])
def test_odd_group_files_do_no_harm(machine, text):
    root, write = machine
    write("proc/self/cgroup", text)
    (root / "sys/fs/cgroup").mkdir(parents=True)
    write("sys/fs/cgroup/memory.max", "many\n")
    write("sys/fs/cgroup/memory.current", "\n")
    write("sys/fs/cgroup/cpu.max", "1 y\n")

    assert memory_available(root) == 16 * GB
    assert cores(root) == 8


def test_more_in_use_than_allowed_is_nothing_to_spare(machine):
    root, write = machine
    write("proc/self/cgroup", "0::/\n")
    write("sys/fs/cgroup/memory.max", "100\n")
    write("sys/fs/cgroup/memory.current", "300\n")

    assert memory_available(root) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_limit_on_addresses_counts(monkeypatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (memory.address_space() + 1_000_000, -1))

    assert 0 < memory_available() <= 2_000_000


@pytest.mark.parametrize(("budget", "processors", "jobs"), [
    (100 * GB, 8, 8), (GB, 8, 4), (700 << 20, 8, 2), (GB // 4, 8, 1), (0, 8, 1), (100 * GB, 1, 1)])
def test_there_are_as_many_workers_as_memory_allows_and_at_least_one(monkeypatch, budget, processors, jobs):
    monkeypatch.setattr(memory, "cores", lambda: processors)

    assert default_jobs(budget) == jobs


def test_where_nothing_is_to_spare_an_everyday_picture_may_still_be_tried(monkeypatch):
    monkeypatch.setattr(memory, "memory_available", lambda: 0)

    assert memory.default_budget() == memory.EVERYDAY
    assert default_jobs() == 1


def test_this_machine_has_something():
    assert memory_available() > 0
    assert 1 <= cores() <= (os.cpu_count() or 1)
    assert default_jobs() >= 1
    assert memory_available(Path("/no/such/system")) > 0


def test_sizes_are_said_as_people_say_them():
    assert (shown(2_147_483_648), shown(700_000_000)) == ("2.1 GB", "700 MB")


# -- the gate ---------------------------------------------------------------------------------------


class Taker(threading.Thread):
    """Takes memory, holds it until told to let go."""

    def __init__(self, gate: MemoryGate, name: str, size: int, log: list[str]) -> None:
        super().__init__(name=name, daemon=True)
        self.gate, self.size, self.log, self.release = gate, size, log, threading.Event()
        self.start()

    def run(self) -> None:
        self.gate.take(self, self.size)
        self.log.append(self.name)
        self.release.wait(PATIENCE)
        self.gate.give_back(self)


def waiting(gate: MemoryGate, count: int) -> None:
    until(lambda: len(gate._waiting) == count, f"{count} waiting")


def test_what_fits_goes_through_at_once_and_more_than_all_never():
    gate = MemoryGate(100)

    assert gate.take("a", 60)
    assert gate.take("b", 40)
    with pytest.raises(NeedsMemory, match="raise --memory"):
        gate.take("c", 101)
    gate.give_back("a")
    gate.give_back("a")
    gate.give_back("nobody")
    assert gate.take("c", 60)


def test_a_second_word_states_a_new_total():
    gate = MemoryGate(100)

    assert gate.take("a", 60)
    assert gate.take("a", 90)
    assert gate.take("a", 30)
    assert gate._held == {"a": 90}


def test_a_large_one_is_not_passed_over_for_ever_by_small_ones():
    gate, log = MemoryGate(100), []
    gate.take("small", 50)
    large = Taker(gate, "large", 90, log)
    waiting(gate, 1)
    later = Taker(gate, "later", 20, log)  # would fit now
    waiting(gate, 2)
    assert log == []

    gate.give_back("small")
    until(lambda: log == ["large"], "large first")
    large.release.set()
    until(lambda: log == ["large", "later"], "later next")
    later.release.set()
    later.join(PATIENCE)

    assert gate._held == {} and not gate._waiting


def test_one_that_holds_something_goes_before_those_that_hold_nothing():
    gate, log = MemoryGate(100), []
    gate.take("a", 50)
    taker = Taker(gate, "large", 90, log)
    waiting(gate, 1)

    assert gate.take("a", 80)

    gate.give_back("a")
    until(lambda: log == ["large"], "large")
    taker.release.set()


def test_two_that_hold_and_want_more_do_not_wait_for_each_other_for_ever():
    gate, done = MemoryGate(100), []
    for name in "ab":
        gate.take(name, 40)

    def more(name: str) -> None:
        gate.take(name, 70)
        done.append(name)
        gate.give_back(name)

    threads = [threading.Thread(target=more, args=(name,), daemon=True) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert sorted(done) == ["a", "b"]


def test_whoever_gives_up_leaves_the_queue():
    gate = MemoryGate(100)
    gate.take("a", 100)

    assert gate.take("b", 10, give_up=lambda: True) is False

    assert not gate._waiting
    assert gate._held == {"a": 100}
