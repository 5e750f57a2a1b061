"""All random choices of a case: each stream is a pure function of the run's seed, the case's number and a name."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance(Random):
    """Random numbers with the few helpers that the fuzzer needs."""

    def __new__(cls, *_: object) -> Chance:
        return super().__new__(cls)

    def __init__(self, seed: int, case: int, stream: str) -> None:
        super().__init__(f"{seed}/{case}/{stream}")

    def maybe(self, probability: float) -> bool:
        """True with this probability."""
        return self.random() < probability

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One of the keys; those with a greater weight more often."""
        return self.choices(list(weights), list(weights.values()))[0]
