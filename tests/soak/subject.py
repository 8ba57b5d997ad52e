"""What a framework must bring to the soak: one small network that trains, converts and folds."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping


class Subject(ABC):
    """A converted network and its optimizer; a new one begins as every other did, to the bit."""

    array: type
    """What holds the numbers of a parameter, a gradient, an optimizer's memory."""

    cost = 1
    """Of a cycle, roughly, in another framework's: there are so many fewer."""

    @abstractmethod
    def step(self) -> None:
        """One step of training, on the same batch."""

    @abstractmethod
    def cycle(self) -> None:
        """Fold in place, train a step, convert in place, train a step."""

    @abstractmethod
    def control(self) -> None:
        """What cycle() does, without folding and converting: the framework's own growth."""

    def arrays(self) -> int:
        """How many of them anybody in this process holds."""
        gc.collect()
        return sum(issubclass(type(each), self.array) for each in gc.get_objects())

    @abstractmethod
    def weights(self) -> bytes:
        """All that is trained."""

    @abstractmethod
    def predict(self) -> bytes:
        """The output of the evaluated network; called by several threads at once."""

    def loaders(self) -> Mapping[str, Callable[[], list[bytes]]]:
        """Several processes that predict(), each by the way in which it begins."""
        return {}
