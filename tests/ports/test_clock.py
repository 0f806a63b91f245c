"""The fake clock: a year in seconds, never jumping over work that is under way."""

import asyncio
import time

from mainstay.ports.clock import FakeClock, SystemClock


async def test_sleepers_wake_in_order_at_their_own_time() -> None:
    clock = FakeClock(start=1000.0)
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper(*one)) for one in (("late", 30), ("soon", 5), ("now", 0))]
    await clock.advance(31_536_000)
    await asyncio.gather(*tasks)
    assert seen == [("now", 1000.0), ("soon", 1005.0), ("late", 1030.0)]
    assert clock.now() == 1000.0 + 31_536_000


async def test_a_step_of_the_wall_clock_moves_no_timer() -> None:
    clock = FakeClock(start=1000.0)
    task = asyncio.create_task(clock.sleep(10))
    await clock.settle()
    clock.step(-500)
    assert (clock.now(), clock.monotonic()) == (500.0, 1000.0)
    await clock.advance(9)
    assert not task.done()
    await clock.advance(1)
    assert task.done()


async def test_time_stands_still_while_work_is_under_way_elsewhere() -> None:
    clock = FakeClock()
    moments: list[float] = []

    async def worker() -> None:
        with clock.busy():
            await asyncio.to_thread(time.sleep, 0.02)
            moments.append(clock.monotonic())

    started = clock.monotonic()
    tasks = [asyncio.create_task(worker()), asyncio.create_task(clock.sleep(1))]
    await clock.advance(2)
    await asyncio.gather(*tasks)
    assert moments == [started]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(5))
    await clock.settle()
    task.cancel()
    await clock.advance(10)
    assert task.cancelled()


async def test_the_system_clock_tells_real_time() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.01)
    with clock.busy():
        assert clock.monotonic() - before >= 0.009
    assert abs(clock.now() - time.time()) < 1
