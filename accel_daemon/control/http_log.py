"""What aiohttp has to say, without what strangers could fill the log with.

aiohttp answers a request that is no HTTP by itself and logs it with a traceback and with bytes of
the request. That is no defect of ours, anyone can cause it, and nothing bounds how often.
"""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

LOG = logging.getLogger("accel.http")


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether a record is about more than a request that could not be read."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


LOG.addFilter(is_worth_a_line)
