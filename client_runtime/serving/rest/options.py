"""What can be chosen about the REST API.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RestOptions:
    """How the REST API is served.

    Attributes:
        threads: requests that are worked on at once; further ones wait.
        timeout_seconds: from a request's last byte to its answer, waiting included; 0 or less: no
            bound. Beyond it the answer is 504.
        cors: whether answers have the headers that let other sites' scripts read them.
        list_models: whether `GET /v1/models` lists the models; TensorFlow Serving answers 400.
        gzip_answers: whether answers to clients that accept gzip are compressed; TensorFlow Serving
            never does so.
        max_body_bytes: of one request as it is sent; beyond it the answer is 413.
        max_unpacked_bytes: of one request that was sent compressed; beyond it the answer is 413.
        max_held_bytes: of all requests' bodies that are held in memory at once, as they are sent;
            beyond it the answer is 429. A body read as JSON takes twenty times its bytes at worst,
            in `threads` requests at once.
    """

    threads: int = 16
    timeout_seconds: float = 30.0
    cors: bool = False
    list_models: bool = True
    gzip_answers: bool = False
    max_body_bytes: int = 2**31 - 1
    max_unpacked_bytes: int = 100 * 10**6
    max_held_bytes: int = 2**32
