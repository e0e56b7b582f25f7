"""How the peers are timed."""
import time


def best(repeats, call, warm_up=True):
    """Milliseconds: the least of several calls."""
    if warm_up:
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) * 1000
