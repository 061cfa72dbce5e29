"""Worker processes: whatever a task does costs that task alone."""

import gc
import importlib.util
import logging
import math
import os
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, CancelledError, Executor, wait

import chores
import pytest
from processes_seen import PATIENCE, alive, number_in, until

from imagepipe.errors import (
    CannotFit,
    ConfigurationError,
    ImagepipeError,
    NeedsMemory,
    Retry,
    TooSlow,
    WorkerDied,
)
from imagepipe.workers import CannotStart, Inline, Workers
from imagepipe.workers.executor import PRELOAD

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


def make(jobs: int = 1, **settings) -> Workers:
    return Workers(jobs, preload=(), **settings)


@pytest.fixture(params=["forkserver", "spawn"])
def method(request):
    if request.param == "forkserver" and sys.platform == "win32":
        pytest.skip("there is no fork")
    return request.param


@pytest.fixture(scope="module")
def pair():
    """Two workers for tests that leave them as they found them."""
    with make(2) as workers:
        yield workers


# -- an executor like any other --------------------------------------------------------------------


def test_it_is_an_executor_and_gives_results_in_order(pair):
    assert isinstance(pair, Executor)
    assert list(pair.map(chores.same, range(200))) == list(range(200))
    assert pair.submit(chores.same, value={"a": (1, None)}).result(PATIENCE) == {"a": (1, None)}


def test_tasks_run_in_other_processes_that_are_used_again(pair):
    pids = {future.result(PATIENCE) for future in [pair.submit(chores.pid) for _ in range(40)]}

    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


def test_large_values_pass_both_ways(method):
    data = os.urandom(1 << 20) * 20

    with make(start_method=method) as workers:
        assert workers.submit(chores.same, data).result(PATIENCE) == data
        assert workers.submit(chores.length, data).result(PATIENCE) == len(data)
        assert len(workers.submit(chores.zeros, 20_000_000).result(PATIENCE)) == 20_000_000
        assert workers.submit(chores.same, [data, data[:100], bytearray(data)]).result(PATIENCE)[2] == data


def test_a_worker_is_replaced_after_a_number_of_tasks():
    with make(recycle_after=3) as workers:
        pids = [workers.submit(chores.pid).result(PATIENCE) for _ in range(9)]

    assert [pids[index] == pids[index + 1] for index in range(8)] == [True, True, False] * 2 + [True, True]


def test_nothing_is_taken_after_the_end_and_ending_twice_does_no_harm():
    workers = make()
    future = workers.submit(chores.same, 1)
    workers.shutdown()
    workers.shutdown()
    workers.stop()

    assert future.result(0) == 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        workers.submit(chores.same, 1)


def test_ending_what_was_never_used_starts_nothing():
    with make() as workers:
        pass

    assert workers._crew.threads == []


def test_leaving_waits_for_what_was_submitted():
    with make() as workers:
        futures = [workers.submit(chores.sleep, 0.05) for _ in range(4)]

    assert [future.result(0) for future in futures] == ["slept"] * 4


def test_what_has_not_begun_can_be_cancelled(tmp_path):
    with make() as workers:
        running = workers.submit(chores.sleep_said, str(tmp_path / "begun"), 0.5)
        number_in(tmp_path / "begun")
        pending = [workers.submit(chores.same, index) for index in range(3)]

        assert pending[1].cancel()
        assert not running.cancel()

    assert pending[0].result(0) == 0 and pending[2].result(0) == 2
    with pytest.raises(CancelledError):
        pending[1].result(0)


def test_shutdown_can_cancel_the_rest_and_finish_what_runs(tmp_path):
    workers = make()
    running = workers.submit(chores.sleep_said, str(tmp_path / "begun"), 0.3)
    number_in(tmp_path / "begun")
    pending = [workers.submit(chores.same, index) for index in range(3)]

    workers.shutdown(cancel_futures=True)

    assert running.result(0) is None
    assert all(future.cancelled() for future in pending)


@linux_only
def test_leaving_by_an_exception_stops_what_runs(tmp_path):
    with pytest.raises(KeyboardInterrupt), make(2) as workers:
        running = workers.submit(chores.sleep_said, str(tmp_path / "begun"), 600)
        pending = [workers.submit(chores.sleep, 600) for _ in range(4)]
        pid = number_in(tmp_path / "begun")
        raise KeyboardInterrupt

    assert isinstance(running.exception(0), WorkerDied)
    assert all(future.done() for future in pending)
    until(lambda: not alive(pid))


@linux_only
def test_a_forgotten_executor_leaves_no_processes_behind(tmp_path):
    workers = make()
    pid = workers.submit(chores.pid).result(PATIENCE)

    del workers
    gc.collect()

    until(lambda: not alive(pid))


def test_a_forgotten_executor_finishes_what_it_was_given():
    future = make().submit(chores.sleep, 0.3)
    gc.collect()

    assert future.result(PATIENCE) == "slept"


def test_an_executor_that_is_not_waited_for_finishes_what_it_was_given():
    workers = make()
    futures = [workers.submit(chores.sleep, 0.1) for _ in range(3)]

    workers.shutdown(wait=False)
    del workers

    assert [future.result(PATIENCE) for future in futures] == ["slept"] * 3


def test_it_works_from_many_threads_at_the_same_time(pair):
    answers = []

    def ask(number: int) -> None:
        answers.append(pair.submit(chores.same, number).result(PATIENCE))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == list(range(20))


# -- what goes wrong -------------------------------------------------------------------------------


@posix_only
@pytest.mark.parametrize(("task", "arguments", "error", "said"), [
    (chores.segfault, (), WorkerDied, "SIGSEGV"),
    (chores.abort, (), WorkerDied, "SIGABRT"),
    (chores.leave, (7,), WorkerDied, "exit status 7"),
    (chores.leave, (0,), WorkerDied, "exit status 0"),
    (chores.kill_yourself, (), WorkerDied, "SIGKILL"),
    (chores.sleep, (600,), TooSlow, "stopped after 0.6 s"),
    (chores.hold_the_gil, (600,), TooSlow, "stopped after 0.6 s"),
    (pow, (7, 10**9), TooSlow, "stopped after 0.6 s"),
])
def test_a_crash_or_a_hang_costs_that_task_alone(task, arguments, error, said):
    with make(wall_seconds=0.6, cpu_seconds=600) as workers:
        before = workers.submit(chores.same, 1)
        bad = workers.submit(task, *arguments)
        after = [workers.submit(chores.same, number) for number in range(3)]

        assert before.result(PATIENCE) == 1
        raised = bad.exception(PATIENCE)
        assert type(raised) is error
        assert said in str(raised)
        assert [future.result(PATIENCE) for future in after] == [0, 1, 2]


@posix_only
def test_many_bad_tasks_among_good_ones(method):
    bad = [(chores.segfault, ()), (chores.sleep, (600,)), (chores.hold_the_gil, (600,)), (chores.take, (4 << 30,)),
           (chores.raise_value_error, ()), (chores.kill_yourself, ()), (chores.leave, (1,))]
    with make(2, wall_seconds=1, cpu_seconds=600, start_method=method) as workers:
        futures = []
        for index in range(28):
            futures.append(workers.submit(chores.same, index))
            if index % 4 == 0:
                task, arguments = bad[index // 4]
                futures.append(workers.submit(task, *arguments))
        done, undone = wait(futures, PATIENCE)

    assert not undone
    assert sorted(future.result() for future in done if not future.exception()) == list(range(28))
    assert sorted(type(future.exception()).__name__ for future in done if future.exception()) == [
        "NeedsMemory", "TooSlow", "TooSlow", "ValueError", "WorkerDied", "WorkerDied", "WorkerDied"]


@linux_only
def test_processor_time_has_a_limit_of_its_own():
    with make(cpu_seconds=1, wall_seconds=600) as workers:
        assert isinstance(error := workers.submit(chores.count_for_ever).exception(PATIENCE), TooSlow)
        assert "1 s of processor time" in str(error)
        assert workers.submit(chores.same, 1).result(PATIENCE) == 1


@linux_only
def test_processor_time_is_counted_for_each_task_and_sleeping_is_none_of_it():
    with make(cpu_seconds=1, wall_seconds=600, recycle_after=None) as workers:
        limits = [workers.submit(chores.environment_of_limits).result(PATIENCE)[0] for _ in range(2)]
        slept = workers.submit(chores.sleep, 1.5).result(PATIENCE)
        first = workers.submit(chores.pid).result(PATIENCE)

    assert all(1 <= limit <= 10 for limit in limits)
    assert slept == "slept" and first


def test_the_limit_on_processor_time_follows_that_on_time():
    assert Workers(1, wall_seconds=300)._crew.settings.cpu_seconds == 150
    assert Workers(1, wall_seconds=None)._crew.settings.cpu_seconds is None
    assert Workers(1)._crew.settings.cpu_seconds == 30


@linux_only
def test_memory_over_the_limit_is_refused_and_the_worker_goes_on(method):
    with make(start_method=method, memory=200 << 20) as workers:
        first = workers.submit(chores.pid).result(PATIENCE)

        assert isinstance(error := workers.submit(chores.take, 1 << 30).exception(PATIENCE), NeedsMemory)
        assert "--memory" in str(error) and error.retry is Retry.PERSON
        assert workers.submit(chores.take, 50 << 20).result(PATIENCE) == 50 << 20
        assert workers.submit(chores.pid).result(PATIENCE) == first


@linux_only
def test_a_result_that_does_not_fit_is_no_crash():
    with make(memory=100 << 20) as workers:
        assert isinstance(workers.submit(chores.zeros, 80 << 20).exception(PATIENCE), (NeedsMemory, type(None)))
        assert workers.submit(chores.same, 1).result(PATIENCE) == 1


@posix_only
def test_the_time_of_a_task_begins_with_its_work_and_not_in_the_queue():
    with make(wall_seconds=1.5) as workers:
        futures = [workers.submit(chores.sleep, 0.4) for _ in range(5)]  # 2 s in all

        assert [future.result(PATIENCE) for future in futures] == ["slept"] * 5


@linux_only
def test_a_worker_that_is_killed_while_idle_is_replaced_unnoticed(method):
    with make(start_method=method) as workers:
        for _ in range(3):
            pid = workers.submit(chores.pid).result(PATIENCE)
            os.kill(pid, signal.SIGKILL)
            assert workers.submit(chores.same, 1).result(PATIENCE) == 1


@linux_only
def test_a_worker_that_is_killed_while_it_works_is_told_from_one_that_is_too_slow(tmp_path):
    with make() as workers:
        future = workers.submit(chores.sleep_said, str(tmp_path / "begun"), 600)
        os.kill(number_in(tmp_path / "begun"), signal.SIGKILL)

        assert isinstance(future.exception(PATIENCE), WorkerDied)
        assert "ran out of memory" in str(future.exception())


@linux_only
def test_a_stopped_process_is_killed_when_its_time_is_over(tmp_path):
    with make(wall_seconds=3) as workers:
        future = workers.submit(chores.sleep_said, str(tmp_path / "begun"), 600)
        pid = number_in(tmp_path / "begun")
        os.kill(pid, signal.SIGSTOP)

        assert isinstance(future.exception(PATIENCE), TooSlow)
        until(lambda: not alive(pid))


@linux_only
def test_the_forkserver_itself_may_be_killed():
    with make(start_method="forkserver") as workers:
        workers.submit(chores.same, 1).result(PATIENCE)
        os.kill(workers._crew.starter._server.pid, signal.SIGKILL)

        until(lambda: workers.submit(chores.same, 1).exception(PATIENCE) is None)
        assert workers.submit(chores.same, 2).result(PATIENCE) == 2


@linux_only
def test_what_a_task_started_is_killed_with_it(method, tmp_path):
    with make(start_method=method) as workers:
        future = workers.submit(chores.start_a_child, str(tmp_path / "child"))
        pid = number_in(tmp_path / "child")
        assert alive(pid)

        workers.stop()

        assert isinstance(future.exception(PATIENCE), WorkerDied)
        until(lambda: not alive(pid))


@linux_only
def test_a_process_that_a_task_left_behind_holds_nothing_up():
    workers = make()
    pid = workers.submit(chores.start_a_child_and_return).result(PATIENCE)
    assert workers.submit(chores.same, 1).result(PATIENCE) == 1

    workers.shutdown()

    until(lambda: not alive(pid))


def test_stopping_while_a_process_starts_does_not_wait_for_its_task(tmp_path):
    workers = make()
    crew, starting, stopped = workers._crew, threading.Event(), threading.Event()
    really = crew.starter.start

    def start():
        process = really()
        starting.set()
        assert stopped.wait(PATIENCE)  # `stop` has looked for processes, and did not see this one
        return process

    crew.starter.start = start
    future = workers.submit(chores.sleep_said, str(tmp_path / "begun"), 600)
    assert starting.wait(PATIENCE)
    stopping = threading.Thread(target=workers.stop)
    stopping.start()
    until(lambda: crew.stopping and crew.closing)
    stopped.set()
    stopping.join(PATIENCE)

    assert isinstance(future.exception(PATIENCE), WorkerDied)
    assert not (tmp_path / "begun").exists()


def test_everything_that_is_imported_beforehand_is_there():
    for name in PRELOAD:
        if name == "pillow_heif" and importlib.util.find_spec("pi_heif"):
            continue  # the other build of it
        assert importlib.util.find_spec(name), name


# -- errors and values that do not travel ----------------------------------------------------------


def test_an_error_of_ours_arrives_as_it_was_raised(pair):
    error = pair.submit(chores.raise_cannot_fit).exception(PATIENCE)

    assert isinstance(error, CannotFit)
    assert (error.limit, error.smallest) == (8, 9)


def test_any_other_error_says_where_it_was_raised(pair):
    error = pair.submit(chores.raise_value_error).exception(PATIENCE)

    assert isinstance(error, ValueError) and str(error) == "seven"
    assert "raise_value_error" in "\n".join(error.__notes__)


@pytest.mark.parametrize(("task", "name"), [(chores.raise_unpicklable, "Unpicklable"),
                                            (chores.raise_not_loadable, "NotLoadable")])
def test_an_error_that_cannot_travel_is_told_in_words(pair, task, name):
    error = pair.submit(task).exception(PATIENCE)

    assert type(error) is ImagepipeError
    assert name in str(error) and task.__name__ in str(error)


def test_leaving_python_in_a_task_does_not_end_the_worker(pair):
    assert isinstance(pair.submit(chores.sys_exit).exception(PATIENCE), SystemExit)


@pytest.mark.parametrize("bad", [lambda: 1, threading.Lock(), (number for number in ())])
def test_what_cannot_be_sent_is_a_configuration_error_of_that_task(pair, bad):
    error = pair.submit(chores.same, bad).exception(PATIENCE)

    assert isinstance(error, ConfigurationError)
    assert "jobs=0" in str(error)
    with pytest.raises(ConfigurationError):
        pair.check(bad)
    pair.check(chores.same, 1)


def test_a_result_that_cannot_be_sent_is_a_configuration_error(pair):
    error = pair.submit(chores.return_lock).exception(PATIENCE)

    assert isinstance(error, ConfigurationError)
    assert "the result of return_lock" in str(error)


# -- memory that is announced -----------------------------------------------------------------------


def test_memory_that_is_announced_goes_through_or_ends_as_needs_memory():
    with make(2, memory_budget=100 << 20) as workers:
        assert workers.submit(chores.announce, 90 << 20, "done").result(PATIENCE) == "done"
        error = workers.submit(chores.announce, 101 << 20).exception(PATIENCE)
        assert isinstance(error, NeedsMemory) and "106 MB" in str(error)
        assert isinstance(workers.submit_sized(101 << 20, chores.same, 1).exception(PATIENCE), NeedsMemory)
        assert workers.submit_sized(99 << 20, chores.same, 1).result(PATIENCE) == 1
        assert workers.submit(chores.same, 2).result(PATIENCE) == 2


def test_large_pictures_take_turns(tmp_path):
    with make(3, memory_budget=100 << 20) as workers:
        futures = [workers.submit(chores.announce_said, 60 << 20, str(tmp_path), name, 0.05) for name in "abcdef"]
        for future in futures:
            future.result(PATIENCE)

    steps = (tmp_path / "log").read_text().split()
    assert len(steps) == 12
    assert [step[0] for step in steps] == ["+", "-"] * 6  # never two at the same time


def test_waiting_for_memory_does_not_count_as_the_time_of_a_task(tmp_path):
    with make(4, memory_budget=100 << 20, wall_seconds=2) as workers:
        futures = [workers.submit(chores.announce_said, 60 << 20, str(tmp_path), name, 0.7) for name in "abcd"]

        assert [future.exception(PATIENCE) for future in futures] == [None] * 4


def test_a_worker_that_dies_gives_its_memory_back(tmp_path):
    with make(2, memory_budget=100 << 20, wall_seconds=1) as workers:
        hung = workers.submit(chores.announce_said, 90 << 20, str(tmp_path), "hung", 600)
        after = workers.submit(chores.announce_said, 90 << 20, str(tmp_path), "after")

        assert {type(future.exception(PATIENCE)) for future in (hung, after)} == {TooSlow, type(None)}


# -- logs and output --------------------------------------------------------------------------------


def test_what_a_worker_logs_reaches_the_handlers_here(pair, caplog):
    with caplog.at_level(logging.INFO, logger="imagepipe"):
        pair.submit(chores.log, logging.INFO, "heard").result(PATIENCE)
        pair.submit(chores.log, logging.DEBUG, "not heard").result(PATIENCE)
    with caplog.at_level(logging.WARNING, logger="imagepipe"):
        pair.submit(chores.log, logging.INFO, "not heard either").result(PATIENCE)

    assert [(record.name, record.message) for record in caplog.records] == [("imagepipe.codecs", "heard")]


@posix_only
def test_what_is_logged_right_before_a_crash_is_not_lost(caplog):
    with caplog.at_level(logging.INFO, logger="imagepipe"), make() as workers:
        assert workers.submit(chores.log_and_crash, "last words").exception(PATIENCE)

    assert "last words" in caplog.text


def test_what_a_decoder_prints_or_warns_of_stays_out_of_the_results(pair, caplog, capfd):
    with caplog.at_level(logging.WARNING, logger="imagepipe"):
        pair.submit(chores.print_and_warn).result(PATIENCE)
    pair.submit(chores.same, 1).result(PATIENCE)

    assert "printed" not in capfd.readouterr().out
    assert "odd picture" in caplog.text


@pytest.mark.parametrize(("wanted", "heard"), [("", False), ("1", True)])
def test_what_a_c_library_says_of_a_picture_is_heard_only_by_those_who_look_for_faults(method, capfd, monkeypatch,
                                                                                      wanted, heard):
    monkeypatch.setenv("IMAGEPIPE_WORKER_STDERR", wanted)
    with make(start_method=method) as workers:
        workers.submit(chores.speak_as_a_c_library).result(PATIENCE)

    assert ("TIFFReadDirectory" in capfd.readouterr().err) is heard


def test_modules_are_found_where_the_parent_finds_them_now(pair, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    assert pair.submit(chores.search_path).result(PATIENCE) == sys.path


# -- what cannot be set up --------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"jobs": 0}, {"jobs": -1}, {"wall_seconds": 0}, {"cpu_seconds": -1},
                                      {"wall_seconds": math.nan}, {"memory_budget": 0}, {"start_method": "fork"}])
def test_settings_that_cannot_work_are_refused_at_once(settings):
    with pytest.raises(ConfigurationError):
        Workers(**settings)


def test_processes_that_cannot_be_started_are_said_once_and_for_all(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with make() as workers:
        error = workers.submit(chores.same, 1).exception(PATIENCE)

        assert isinstance(error, CannotStart)
        assert isinstance(error, BrokenExecutor) and isinstance(error, ConfigurationError)
        assert "--jobs 0" in str(error)
        with pytest.raises(CannotStart):
            workers.submit(chores.same, 1)


def test_inline_is_the_same_executor_without_processes():
    with Inline() as inline:
        assert inline.submit(chores.pid).result(0) == os.getpid()
        assert isinstance(inline.submit(chores.raise_value_error).exception(0), ValueError)
        with pytest.raises(KeyboardInterrupt):
            inline.submit(_interrupted)
    with pytest.raises(RuntimeError):
        inline.submit(chores.pid)


def _interrupted() -> None:
    raise KeyboardInterrupt
