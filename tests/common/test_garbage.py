import gc
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest


def in_a_process_of_its_own(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_what_is_loaded_at_the_start_is_never_looked_at_again() -> None:
    code = """
        import gc
        from common.garbage import pause_collection, settle
        pause_collection()
        paused = not gc.isenabled()
        settle()
        print(paused, gc.isenabled(), gc.get_freeze_count() > 1000, gc.get_threshold()[0])
    """
    assert in_a_process_of_its_own(code) == "True True True 10000"


def test_what_is_loaded_later_follows_and_garbage_of_the_start_goes() -> None:
    code = """
        import gc, weakref
        from common.garbage import settle, settle_again
        class Node: pass
        node = Node(); node.me = node
        gone = weakref.ref(node)
        del node
        settle()
        later = [[number] for number in range(1000)]
        settle_again()
        print(gone() is None, not any(item is later for item in gc.get_objects()))
    """
    assert in_a_process_of_its_own(code) == "True True"


def test_a_process_that_did_not_settle_is_left_alone() -> None:
    from common.garbage import settle_again

    settle_again()
    assert gc.get_freeze_count() == 0


def test_memory_that_is_free_goes_back_to_the_system() -> None:
    code = """
        import sys
        from pathlib import Path
        from common.garbage import return_memory
        def resident():
            return int(Path("/proc/self/statm").read_text().split()[1])
        if not Path("/proc/self/statm").exists():
            print("True")
            sys.exit()
        small = [bytes(1000) for _ in range(100_000)]
        last = bytes(1000)  # keeps the heap from shrinking by itself
        del small
        before = resident()
        return_memory()
        print(resident() <= before)
    """
    assert in_a_process_of_its_own(code) == "True"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
@pytest.mark.parametrize(("limited", "fewest", "most"), [(True, 1, 2), (False, 5, 99)])
def test_threads_share_memory(limited: bool, fewest: int, most: int, tmp_path: Path) -> None:
    program = """
        import ctypes, sys, threading
        from common.garbage import limit_arenas
        if sys.argv[1] == "True":
            limit_arenas()
        libc, all_here = ctypes.CDLL(None), threading.Barrier(8)
        libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
        def work():
            all_here.wait()
            libc.malloc(100_000)
            all_here.wait()
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
        libc.malloc_info(0, file)
        libc.fclose(file)
    """
    told = tmp_path / "malloc.xml"
    subprocess.run([sys.executable, "-c", dedent(program), str(limited), str(told)], check=True, timeout=60)
    assert fewest <= told.read_text().count("<heap nr=") <= most
