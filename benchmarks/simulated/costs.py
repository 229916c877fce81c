"""What a video costs a node: measured by `benchmarks.node_costs`, spent by `benchmarks.simulated.node`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """CPU seconds of one core for one clip, unless said otherwise. Of a clip of 2 s, 214 x 160, by default."""

    http_s: float = 0.0078  # of an answer, on the event loop
    refusal_s: float = 0.0006  # of a refusal, there
    decode_s: float = 0.0144  # before the glance
    further_decode_s: float = 0.0012  # more, where a video goes on
    glance_s_per_gflop: float = 0.0316  # of the device
    cube_s_per_gflop: float = 0.0328
    client_s: float = 0.0006  # of a client on the same machine; 0: clients are elsewhere
    upload_bytes: int = 38_500
    cores: float = 2.0  # that this service and its clients could have while it was measured
    threads: int = 2  # of the device, and decoding processes
    knee_per_s: float | None = None  # measured, of clients that never pause and post one video at the default budget
    knee_steps: int | None = None  # that this video took; None: as many as calibration videos take in the mean
