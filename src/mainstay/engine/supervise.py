"""The supervisor of `mainstay up`: starts processes, restarts a fallen one, ends all of them together.

A child gets one end of a pipe, whose number stands in `MAINSTAY_LIFELINE`; when the supervisor is gone, however it
went, the pipe ends and `follow` in the child ends the child.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from mainstay.engine.patience import rest
from mainstay.engine.pulse import PULSE, Ear
from mainstay.ports.clock import Clock

logger = logging.getLogger(__name__)

LIFELINE = "MAINSTAY_LIFELINE"
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
HEALTHY_AFTER = 60.0
"""Seconds after which a running process is taken for healthy: its next fall counts as the first."""


class Supervisor:
    """Keeps processes running. `children` are argument lists by name; no shell is involved.

    SIGTERM and SIGINT end them (SIGKILL after `grace` seconds), SIGHUP is passed on; then `wanted` is asked which there
    should be, and those that are new are started too. `ready` is awaited before
    systemd is told that the service is up. `heard` is called with a child's name and what it said by its pulse, or what
    became of it when it fell.
    """

    def __init__(
        self,
        clock: Clock,
        children: Mapping[str, Sequence[str]],
        grace: float = 30.0,
        ready: Callable[[], Awaitable[object]] | None = None,
        heard: Callable[[str, str], None] | None = None,
        wanted: Callable[[], Mapping[str, Sequence[str]]] | None = None,
    ) -> None:
        self.running: dict[str, asyncio.subprocess.Process] = {}
        self._clock = clock
        self._children = dict(children)
        self._wanted = wanted
        self._keeping: list[asyncio.Task[None]] = []
        self._lifeline = -1
        self._grace = grace
        self._ready = ready
        self._heard = heard or (lambda name, line: None)
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Start everything and keep it running until `stop` or a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._lifeline, end = os.pipe()
        helpers = [asyncio.ensure_future(self._announce()), asyncio.ensure_future(self._watchdog())]
        try:
            self._keeping = [asyncio.create_task(self._keep(name)) for name in self._children]
            while running := [task for task in self._keeping if not task.done()]:
                await asyncio.gather(*running)
        finally:
            for task in self._keeping:
                task.cancel()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, *self._keeping, return_exceptions=True)
            os.close(end)
            os.close(self._lifeline)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """End everything."""
        notify("STOPPING=1")
        self._stopping.set()

    def send(self, number: int) -> None:
        """Pass a signal on to every process."""
        for process in self.running.values():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    def _reload(self) -> None:
        self.send(signal.SIGHUP)
        for name, command in self._wanted().items() if self._wanted else ():
            if name not in self._children:
                self._children[name] = command
                self._keeping.append(asyncio.create_task(self._keep(name)))

    def kill(self, name: str) -> None:
        """End one process at once; it is started again."""
        if name in self.running:
            with suppress(ProcessLookupError):
                self.running[name].kill()

    async def _keep(self, name: str) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            ear = Ear(partial(self._heard, name))
            try:
                process = await self._start(name, ear)
                if process is not None:
                    await self._watch(name, process)
            finally:
                ear.close()
            if self._stopping.is_set():
                return
            if self._clock.monotonic() - began >= HEALTHY_AFTER:
                pause = FIRST_PAUSE
            self._heard(name, f"it {_fate(process)}")
            logger.warning("%s %s; again in %.1f s", name, _fate(process), pause)
            await rest(self._clock, self._stopping, pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _start(self, name: str, ear: Ear) -> asyncio.subprocess.Process | None:
        environment = {**os.environ, LIFELINE: str(self._lifeline), PULSE: str(ear.mouth)}
        # systemd listens to one process only: the supervisor.
        for variable in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            environment.pop(variable, None)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._children[name],
                env=environment,
                pass_fds=[self._lifeline, ear.mouth],
                stdin=asyncio.subprocess.DEVNULL,
                # A Ctrl-C in a terminal goes to the supervisor alone, which ends them in order.
                start_new_session=True,
            )
        except OSError as fault:
            logger.error("%s cannot be started: %s", name, fault)
            return None
        finally:
            ear.given()
        self.running[name] = process
        return process

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        ending = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([ending, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ending.done():
            with suppress(ProcessLookupError):
                process.terminate()
            patience = asyncio.ensure_future(self._clock.sleep(self._grace))
            await asyncio.wait([ending, patience], return_when=asyncio.FIRST_COMPLETED)
            patience.cancel()
            if not ending.done():
                logger.warning("%s did not end within %.0f s and is killed", name, self._grace)
                with suppress(ProcessLookupError):
                    process.kill()
        await ending
        del self.running[name]

    async def _announce(self) -> None:
        try:
            if self._ready is not None:
                await self._ready()
            notify("READY=1")
        except Exception:
            logger.exception("it cannot be told whether the service is up")

    async def _watchdog(self) -> None:
        period = int(os.environ.get("WATCHDOG_USEC") or 0) / 2_000_000
        while period:
            notify("WATCHDOG=1")
            await self._clock.sleep(period)


def _fate(process: asyncio.subprocess.Process | None) -> str:
    if process is None:
        return "did not start"
    code = process.returncode or 0
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def notify(state: str) -> bool:
    """Tell systemd, if it listens (see sd_notify(3)); gives whether it was told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pipe:
            pipe.connect("\0" + address[1:] if address.startswith("@") else address)
            pipe.sendall(state.encode())
    except OSError as fault:
        logger.warning("systemd cannot be told %s: %s", state, fault)
        return False
    return True


def follow(grace: float = 30.0) -> bool:
    """In a child: end when the supervisor is gone, by SIGTERM to oneself, after `grace` seconds at once.

    Gives False when there is no supervisor. Call it before other processes are started.
    """
    text = os.environ.pop(LIFELINE, "")
    if not text:
        return False
    lifeline = int(text)
    os.set_inheritable(lifeline, False)

    def wait() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(grace)
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
    return True
