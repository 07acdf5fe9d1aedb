import gc
import subprocess
import sys
from textwrap import dedent


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
