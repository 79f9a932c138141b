"""Imports for processes that start fast and stay small: without what libraries load for features nobody here uses."""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def for_good() -> Iterator[None]:
    """What is imported inside stays as long as the process, so the garbage collector never looks at it again.

    Saves a tenth of the import, and from each full collection the 20 ms that it would spend on modules.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def without_system_roots() -> Iterator[None]:
    """TLS contexts made inside know none of the machine's root certificates.

    aiohttp makes one when it is imported: 100 ms and 2 MB, for a default that is never used here, because every
    session is told whom to trust.
    """
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = os.devnull
    try:
        yield
    finally:
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before


@contextlib.contextmanager
def without_rich() -> Iterator[None]:
    """Libraries imported inside do not find rich, unless it is loaded already.

    structlog would draw tracebacks with it: 60 ms and 4 MB, and the frames' variables, which may be secrets, in the
    picture.
    """
    if "rich" in sys.modules:
        yield
        return
    # The import system's own way to say that there is no such module.
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["rich"]
