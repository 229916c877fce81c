"""Who watches which camera: every replica works it out from the same facts, and comes to the same answer.

Pure arithmetic. Each replica says which models it has loaded, how many cameras it can take and which it holds. Nobody
is given what he cannot serve; loads are as even as that allows; what need not move stays where it is.

Cameras of one model are alike but for their names, so paths between replicas are looked for by model: a turn costs
about as many operations as there are cameras, and each move about replicas times models.
"""

import heapq
from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replica:
    """What a replica says about itself."""

    models: frozenset[str]
    capacity: int
    held: frozenset[str] = frozenset()


def assign(streams: Mapping[str, str], replicas: Mapping[str, Replica]) -> dict[str, str]:
    """From stream to replica, given each stream's model. Streams that nobody has room or the model for are left out."""
    table = _Table(streams.values(), replicas)
    unplaced = []
    holders: dict[str, list[str]] = {}
    for name in sorted(replicas):
        for stream in replicas[name].held:
            holders.setdefault(stream, []).append(name)
    for stream in sorted(streams):
        able = (name for name in holders.get(stream, ()) if table.can_take(name, streams[stream]))
        if (holder := next(able, None)) is not None:
            table.put(stream, streams[stream], holder)
        else:
            unplaced.append(stream)
    for stream in sorted(unplaced, key=lambda one: (len(table.able[streams[one]]), one)):  # the choosiest first
        table.place(stream, streams[stream])
    while table.even_out():
        pass
    return table.places()


class _Table:
    """Who has what so far. `able`: from model to the replicas that have it, by name."""

    def __init__(self, models: Iterable[str], replicas: Mapping[str, Replica]) -> None:
        names = sorted(replicas)
        self.able = {model: [name for name in names if model in replicas[name].models] for model in set(models)}
        self._capacity = {name: replicas[name].capacity for name in names}
        self._load = dict.fromkeys(names, 0)
        self._served: dict[str, dict[str, list[str]]] = {name: {} for name in names}  # by model, the oldest first
        self._able_sets = {model: frozenset(able) for model, able in self.able.items()}
        self._least: dict[str, list[tuple[int, str]]] = {}  # by model: a heap of loads as they once were
        self._full: set[str] = set()  # models that nobody can take any more of

    def places(self) -> dict[str, str]:
        return {
            stream: name
            for name, by_model in self._served.items()
            for streams in by_model.values()
            for stream in streams
        }

    def can_take(self, name: str, model: str) -> bool:
        return name in self._able_sets[model] and self._has_room(name)

    def _has_room(self, name: str) -> bool:
        return self._load[name] < self._capacity[name]

    def put(self, stream: str, model: str, name: str) -> None:
        insort(self._served[name].setdefault(model, []), stream)
        self._load[name] += 1

    def place(self, stream: str, model: str) -> None:
        """With the least loaded that can; where all of these are full, one of them first passes another stream on."""
        if model in self._full:
            return
        name = self._least_loaded(model)
        if name is None:
            name = next((one for one in self.able[model] if self._pass_on(one, self._has_room)), None)
        if name is None:
            self._full.add(model)  # whom they can pass to is full, too, and no later stream changes that
        else:
            self.put(stream, model, name)

    def _least_loaded(self, model: str) -> str | None:
        """With room. While streams are placed no load falls: what the heap holds is too low, or true."""
        if model not in self._least:
            self._least[model] = [(self._load[name], name) for name in self.able[model]]
            heapq.heapify(self._least[model])
        heap = self._least[model]
        while heap:
            noted, name = heap[0]
            if not self._has_room(name):
                heapq.heappop(heap)
            elif noted != self._load[name]:
                heapq.heapreplace(heap, (self._load[name], name))
            else:
                return name
        return None

    def even_out(self) -> bool:
        """Move one load from a replica to one that has at least two less, if need be by way of others."""
        least = min((load for name, load in self._load.items() if self._has_room(name)), default=None)
        if least is None:
            return False
        fullest_first = sorted(self._load, key=lambda one: -self._load[one])
        return any(self._ease(name) for name in fullest_first if self._load[name] - least > 1)

    def _ease(self, name: str) -> bool:
        load = self._load[name]
        return self._pass_on(name, lambda other: self._has_room(other) and self._load[other] < load - 1)

    def _pass_on(self, start: str, takes: Callable[[str], bool]) -> bool:
        """One stream leaves `start`, one arrives at the nearest that `takes` it, all between keep their number."""
        came: dict[str, tuple[str, str]] = {}  # to whom: from whom, and of which model
        looked_at: set[str] = set()  # models: whoever can take one has been found
        queue = [start]
        for name in queue:
            if name != start and takes(name):
                self._pass_along(start, name, came)
                return True
            youngest_first = sorted(
                ((streams[-1], model) for model, streams in self._served[name].items() if streams), reverse=True
            )
            for _, model in youngest_first:
                if model in looked_at:
                    continue
                looked_at.add(model)
                for other in self.able[model]:
                    if other != start and other not in came:
                        came[other] = name, model
                        queue.append(other)
        return False

    def _pass_along(self, start: str, end: str, came: Mapping[str, tuple[str, str]]) -> None:
        """From the end of the way to its start, each gives the youngest of a model to whom it leads."""
        name = end
        while name != start:
            giver, model = came[name]
            stream = self._served[giver][model].pop()
            self._load[giver] -= 1
            self.put(stream, model, name)
            name = giver
