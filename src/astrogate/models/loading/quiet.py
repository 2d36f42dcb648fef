"""Keep the libraries' progress bars and notes off the screen while they work for us, and no longer.

Filters and verbosity belong to the process, so of all who are at work the first saves them, and the last restores them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from threading import Lock

from astrogate.core.errors import AstrogateWarning

_changing = Lock()
_at_work = 0
_restoring = ExitStack()


@contextmanager
def quiet() -> Generator[None]:
    """Silence diffusers and transformers (their notes repeat what our own warnings say), then restore them."""
    global _at_work
    with _changing:
        if not _at_work:
            _restoring.enter_context(_silence())
        _at_work += 1
    try:
        yield
    finally:
        with _changing:
            _at_work -= 1
            if not _at_work:
                _restoring.close()


@contextmanager
def _silence() -> Generator[None]:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    both = (diffusers_logging, transformers_logging)
    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in both]
    for log in both:
        log.set_verbosity(logging.CRITICAL)  # what they call errors, they raise too
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", AstrogateWarning)
            yield
    finally:
        for log, (verbosity, bars) in zip(both, before, strict=True):
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()
