"""Where workers can be started from, and that none outlives its parent."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import chores
import pytest
from processes_seen import PATIENCE, alive, number_in, until

from imagepipe.workers import Workers

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

TESTS = str(Path(__file__).parent)

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from imagepipe.workers import Workers
import chores

with Workers(2, preload=()) as workers:
    print(sum(workers.map(chores.same, range(10))), workers.submit(chores.pid).result() != __import__("os").getpid())
"""


@pytest.fixture(params=["forkserver", "spawn"])
def method(request):
    if request.param == "forkserver" and sys.platform == "win32":
        pytest.skip("there is no fork")
    return request.param


@pytest.fixture
def python():
    """Start an interpreter; it is gone when the test is over."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options) -> subprocess.Popen[str]:
        started.append(subprocess.Popen([sys.executable, *arguments], text=True, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, **options))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


def output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out.strip()


def test_a_script_needs_no_main_guard(tmp_path, python):
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(tests=TESTS))

    assert output(python(str(script))) == "45 True"


def test_a_command_line_needs_no_file(python):
    assert output(python("-c", PROGRAM.format(tests=TESTS))) == "45 True"


def test_standard_input_may_be_the_program(python):
    process = python("-", stdin=subprocess.PIPE)
    out, err = process.communicate(PROGRAM.format(tests=TESTS), timeout=PATIENCE)

    assert (out.strip(), process.returncode) == ("45 True", 0), err


def test_a_notebook_has_no_file_either(python):
    code = f"exec({PROGRAM.format(tests=TESTS)!r}, {{'__name__': '__main__', '__builtins__': __builtins__}})"

    assert output(python("-i", "-c", code, stdin=subprocess.DEVNULL)) == "45 True"


def test_a_function_of_the_script_itself_is_refused_with_the_way_out(tmp_path, python):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent("""
        from imagepipe.workers import Workers

        def mine(value):
            return value

        with Workers(1, preload=()) as workers:
            print(type(workers.submit(mine, 1).exception()).__name__, workers.submit(mine, 1).exception())
    """))

    said = output(python(str(script)))

    assert said.startswith("ConfigurationError")
    assert "mine" in said and "module of its own" in said


def test_a_module_in_the_current_folder_cannot_stand_in_for_ours(tmp_path, python):
    (tmp_path / "pickle.py").write_text("raise SystemExit('an odd pickle')")
    (tmp_path / "struct.py").write_text("raise SystemExit('an odd struct')")
    code = f"import sys; sys.path.remove('')\n{PROGRAM.format(tests=TESTS)}"

    assert output(python("-c", code, cwd=tmp_path)) == "45 True"


@posix_only
def test_a_daemonic_process_may_have_workers(python):
    code = textwrap.dedent(f"""
        import multiprocessing, sys
        sys.path.insert(0, {TESTS!r})
        import chores
        from imagepipe.workers import Workers

        def work(queue):
            with Workers(1, preload=()) as workers:
                queue.put(workers.submit(chores.same, 7).result(60))

        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        process = context.Process(target=work, args=(queue,), daemon=True)
        process.start()
        print(queue.get(timeout=60), process.daemon)
        process.join(60)
        print(process.exitcode)
    """)

    assert output(python("-c", code)).split() == ["7", "True", "0"]


@posix_only
def test_a_process_forked_from_the_parent_does_not_end_the_parents_workers(python):
    code = textwrap.dedent(f"""
        import os, sys
        sys.path.insert(0, {TESTS!r})
        import chores
        from imagepipe.workers import Workers

        workers = Workers(1, preload=())
        before = workers.submit(chores.pid).result(60)
        child = os.fork()
        if child == 0:
            workers.stop()  # of a copy: nothing here is its own
            del workers
            sys.exit(0)
        os.waitpid(child, 0)
        print(workers.submit(chores.pid).result(60) == before)
        workers.shutdown()
    """)

    assert output(python("-W", "ignore", "-c", code)) == "True"


def test_a_thread_may_start_and_use_them():
    found = []

    def work() -> None:
        with Workers(1, preload=()) as workers:
            found.append(workers.submit(chores.same, 7).result(PATIENCE))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)

    assert found == [7]


def test_workers_outlive_the_thread_that_made_them():
    made = []
    thread = threading.Thread(target=lambda: made.append(Workers(1, preload=())))
    thread.start()
    thread.join()

    with made[0] as workers:
        assert workers.submit(chores.same, 7).result(PATIENCE) == 7


PARENT = """
import os, sys, time
sys.path.insert(0, {tests!r})
from imagepipe.workers import Workers
import chores

workers = Workers(2, preload=(), start_method={method!r})
idle = workers.submit(chores.pid).result()
busy = [workers.submit({task}, *{arguments}) for _ in range(2)]
while not os.path.exists({begun!r}):
    time.sleep(0.01)
{end}
"""


@pytest.fixture
def parent(tmp_path, method, python):
    """Start a program with two busy workers; return it, and one of the processes that work for it."""

    def start(end: str, task: str = "chores.sleep_said") -> tuple[subprocess.Popen[str], int]:
        begun = str(tmp_path / "begun")
        arguments = [begun, 600] if task == "chores.sleep_said" else [begun]
        code = PARENT.format(tests=TESTS, method=method, task=task, arguments=arguments, begun=begun, end=end)
        return python("-c", code), number_in(tmp_path / "begun")

    return start


@linux_only
@pytest.mark.parametrize(("how", "task"), [
    (signal.SIGKILL, "chores.sleep_said"), (signal.SIGKILL, "chores.start_a_child"),
    (signal.SIGTERM, "chores.sleep_said"),
])
def test_no_worker_outlives_a_parent_that_is_killed(parent, how, task):
    process, worker = parent("busy[0].result()", task)
    family = descendants(process.pid)
    assert worker in family

    process.send_signal(how)
    process.wait(PATIENCE)

    for pid in family:
        until(lambda pid=pid: not alive(pid), f"the end of {pid}")


@linux_only
def test_a_copy_of_the_parent_that_lives_on_does_not_keep_its_workers_alive(parent, tmp_path):
    process, worker = parent(textwrap.dedent(f"""
        copy = os.fork()  # holds all that the parent holds
        if copy == 0:
            time.sleep(600)
        open({str(tmp_path / "copy")!r} + ".new", "w").write(str(copy))
        os.replace({str(tmp_path / "copy")!r} + ".new", {str(tmp_path / "copy")!r})
        busy[0].result()
    """))
    copy = number_in(tmp_path / "copy")
    try:
        process.kill()
        process.wait(PATIENCE)

        until(lambda: not alive(worker))
        assert alive(copy)
    finally:
        os.kill(copy, signal.SIGKILL)


@linux_only
def test_no_worker_outlives_a_program_that_just_ends(parent):
    process, worker = parent("")
    family = {worker, *descendants(process.pid)}

    assert output(process) == ""

    for pid in family:
        until(lambda pid=pid: not alive(pid), f"the end of {pid}")


@linux_only
def test_ctrl_c_is_for_the_parent_to_decide(parent):
    process, worker = parent(textwrap.dedent("""
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs behind it without
        try:
            with workers:
                print("waiting", flush=True)
                busy[0].result()
        except KeyboardInterrupt:
            print("stopped", [type(future.exception()).__name__ for future in busy])
    """))
    family = {worker, *descendants(process.pid)}
    assert process.stdout.readline() == "waiting\n"

    process.send_signal(signal.SIGINT)

    assert "stopped ['WorkerDied', 'WorkerDied']" in output(process)
    for pid in family:
        until(lambda pid=pid: not alive(pid), f"the end of {pid}")


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that they have (Linux)."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


@linux_only
def test_hundreds_of_open_files_do_not_hinder_the_start():
    _may_open(1_300)
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        for start_method in ("forkserver", "spawn"):
            with Workers(1, preload=(), start_method=start_method) as workers:
                assert workers.submit(chores.same, 7).result(PATIENCE) == 7
    finally:
        for file in files:
            os.close(file)


def _may_open(count: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip("too few files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
