"""The libraries are quiet while any thread works for us, and as they were once none does."""

from __future__ import annotations

import warnings
from contextlib import ExitStack

from astrogate.models.loading.quiet import quiet


def state() -> tuple[object, ...]:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    both = (diffusers_logging, transformers_logging)
    return list(warnings.filters), *((log.get_verbosity(), log.is_progress_bar_enabled()) for log in both)


def test_whoever_leaves_last_restores() -> None:
    """Two at work that leave in the order in which they came, as threads do, and in the other one."""
    before = state()
    for order in ((0, 1), (1, 0)):
        both = [ExitStack(), ExitStack()]
        for one in both:
            one.enter_context(quiet())
        silent = state()
        assert silent != before
        both[order[0]].close()
        assert state() == silent
        both[order[1]].close()
        assert state() == before
