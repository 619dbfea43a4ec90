"""Watch over a run after its start: the news thread, which replaces lost programs until the run ends."""

import contextlib
import logging
import queue
import threading

from hpcml.engines.ipyparallel.news import NewsHandler
from hpcml.slurm.process import Inbox

__all__ = ["Watch"]

log = logging.getLogger("hpcml")

LIVENESS_SECONDS = 1.0  # without news, until the controller is asked whether it is alive


class Watch:
    """Thread that handles all news of a run that has started.

    Parameters
    ----------
    news
        The handler, which no other thread uses between `start` and `stop`.
    inbox
        The queue of the news.
    """

    def __init__(self, news: NewsHandler, inbox: Inbox) -> None:
        self._news = news
        self._inbox = inbox
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="hpcml-news", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _run(self) -> None:
        """Handle news until `stop`: engines that died and were replaced, programs that ended."""
        news = self._news
        while not self._is_stopping:
            is_silent = False
            try:
                program, message = self._inbox.get(timeout=LIVENESS_SECONDS)
            except queue.Empty:
                program = message = None
                is_silent = news.liveness.is_lost()
            try:
                news.handle(program, message)
                news.address.choose(force=False)
            except Exception as error:  # a controller that ends while the client connects to it
                log.warning("the news of %s could not be used: %s", program.name if program else "this run", error)
            if not self._is_stopping and news.workers is not None:
                news.end_silent(news.workers)
                news.workers.delayed.release_complete()
                news.ask_hub()
                news.begin_world()
                news.recovery.replace_lost(news.workers, program if message is None else None, is_silent)

    def announce_stop(self) -> None:
        """Replace nothing from now on: the programs are about to be ended."""
        self._is_stopping = True

    def stop(self) -> None:
        """End the thread, then take the prints that the launchers have sent since; the programs have ended."""
        self._is_stopping = True
        self._inbox.put((None, None))
        if self._thread.is_alive():
            self._thread.join(10)
        with contextlib.suppress(queue.Empty):
            while True:
                program, message = self._inbox.get_nowait()
                if message is not None and "printed" in message:
                    self._news.handle(program, message)
