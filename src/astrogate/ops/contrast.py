"""The mean difference of a paired grid.

    d = mean_i (p_i - q_i)

where p_i and q_i are the states of two prompts that differ in one word (seed 000; over the complete grid here, so the
mean has no sampling noise).
"""

from __future__ import annotations

from torch import Tensor


def mean_difference(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean over the first axis of positive - negative, both [n, d]. Raises ValueError when the shapes differ."""
    if positive.shape != negative.shape or positive.ndim != 2:
        raise ValueError(f"shapes {tuple(positive.shape)} and {tuple(negative.shape)}: two equal [n, d] are expected")
    return (positive - negative).mean(0)
