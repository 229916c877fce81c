"""The rule of `service.streams.shares` as first written, camera by camera: slow, and what the fast one must answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.streams.shares import Replica


def assign(streams: Mapping[str, str], replicas: Mapping[str, Replica]) -> dict[str, str]:
    table = _Table(dict(streams), replicas)
    unplaced = []
    for stream in sorted(streams):
        holders = [name for name in sorted(replicas) if stream in replicas[name].held]
        able = [name for name in holders if table.can_serve(name, stream) and table.has_room(name)]
        if able:
            table.put(stream, able[0])
        else:
            unplaced.append(stream)
    for stream in sorted(unplaced, key=lambda one: (len(table.able(one)), one)):
        table.place(stream)
    while table.even_out():
        pass
    return table.places


@dataclass(slots=True)
class _Table:
    models: dict[str, str]
    replicas: Mapping[str, Replica]
    places: dict[str, str] = field(default_factory=dict)
    served: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.served = {name: set() for name in sorted(self.replicas)}

    def can_serve(self, name: str, stream: str) -> bool:
        return self.models[stream] in self.replicas[name].models

    def able(self, stream: str) -> list[str]:
        return [name for name in self.served if self.can_serve(name, stream)]

    def has_room(self, name: str) -> bool:
        return len(self.served[name]) < self.replicas[name].capacity

    def put(self, stream: str, name: str) -> None:
        before = self.places.get(stream)
        if before is not None:
            self.served[before].remove(stream)
        self.places[stream] = name
        self.served[name].add(stream)

    def place(self, stream: str) -> None:
        able = self.able(stream)
        roomy = [name for name in able if self.has_room(name)]
        if roomy:
            self.put(stream, min(roomy, key=lambda name: len(self.served[name])))
            return
        for name in able:
            if self._pass_on(name, self.has_room):
                self.put(stream, name)
                return

    def even_out(self) -> bool:
        return any(self._ease(name) for name in sorted(self.served, key=lambda one: -len(self.served[one])))

    def _ease(self, name: str) -> bool:
        load = len(self.served[name])
        return self._pass_on(name, lambda other: self.has_room(other) and len(self.served[other]) < load - 1)

    def _pass_on(self, start: str, takes: Callable[[str], bool]) -> bool:
        came: dict[str, tuple[str, str]] = {}
        queue = [start]
        for name in queue:
            if name != start and takes(name):
                while name != start:
                    giver, stream = came[name]
                    self.put(stream, name)
                    name = giver  # noqa: PLW2901 - back along the way
                return True
            for stream in sorted(self.served[name], reverse=True):
                for other in self.able(stream):
                    if other != start and other not in came:
                        came[other] = name, stream
                        queue.append(other)
        return False
