"""What is logged in a worker process reaches the handlers of its parent."""

from __future__ import annotations

import contextlib
import logging
import warnings
from logging.handlers import QueueHandler
from typing import Any, TextIO

from imagepipe.errors import ConfigurationError
from imagepipe.workers import wire
from imagepipe.workers.wire import Channel, Gone


def wanted_level() -> int:
    """Return the lowest level at which anything of imagepipe is logged here."""
    own = [logger.level for name, logger in logging.root.manager.loggerDict.items()
           if name.startswith("imagepipe.") and isinstance(logger, logging.Logger) and logger.level]
    return min(logging.getLogger("imagepipe").getEffectiveLevel(), *own, logging.CRITICAL)


def hand_over(fields: dict[str, Any]) -> None:
    """Log what a worker logged, as it is wanted here."""
    record = logging.makeLogRecord(fields)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


class _ToParent(QueueHandler):
    """Sends log records to the parent, at once, so that they also tell of a crash."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # there is no queue
        self.channel = channel

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            pieces = wire.pickled(record.__dict__, "a log record")
        except ConfigurationError:  # `extra` may hold anything
            plain = logging.makeLogRecord({key: value for key, value in record.__dict__.items()
                                           if isinstance(value, (str, int, float, type(None)))})
            pieces = wire.pickled(plain.__dict__, "a log record")
        with contextlib.suppress(Gone):
            self.channel.send(wire.LOG, pieces)


def forward_logs(channel: Channel) -> None:
    """Send what this process logs and warns of to its parent."""
    log = logging.getLogger("imagepipe")
    log.propagate = False
    log.handlers = [_ToParent(channel)]
    warned = logging.getLogger("imagepipe.warnings")

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int,
             file: TextIO | None = None, line: str | None = None) -> None:
        warned.warning("%s: %s (%s, line %d)", category.__name__, message, filename, lineno)

    warnings.showwarning = show
