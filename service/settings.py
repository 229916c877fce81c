"""Every number the service can be told from outside, read once from FOVEA_* variables. Knows no part that uses them.

A variable is the field's name in capitals behind FOVEA_: `max_upload_bytes` is FOVEA_MAX_UPLOAD_BYTES.
"""

import base64
import difflib
import logging
import os
import re
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from video.clip import VideoLimits

log = logging.getLogger(__name__)

MAX_FRAMES_PER_S = 120  # in the mean, of a video that is asked for its timeline
PREFIX = "FOVEA_"
_BROKER = re.compile(r"mqtts?://([^/?#@\s]*@)?(\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]\s]+)(:(?P<port>\d{1,5}))?/?")
NOT_SETTINGS = frozenset(
    {"FOVEA_STRICT_TESTS", "FOVEA_SERVER", "FOVEA_API_KEY"}
)  # read elsewhere: by the tests, by the client
RENAMED = {"FOVEA_MAX_QUEUED_REQUESTS": "FOVEA_MAX_DECODE_PLACES", "FOVEA_THREADS": "FOVEA_NUM_THREADS"}


class SettingsError(ValueError):
    """A FOVEA_* variable holds a value that breaks its rule. The text names variable, value and rule."""


class Settings(BaseSettings):
    """How one replica runs. Frozen: parts are handed the numbers they need, and nobody changes them later."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    host: str = "127.0.0.1"
    """Address to listen on. 127.0.0.1 is this machine alone; 0.0.0.0 every interface (in a container)."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on. 8000; 0 takes any free one."""
    api_keys_file: Path | None = None
    """File of the keys that open the service, made by `fovea keys add`: /etc/fovea/keys.json. Read again when it
    changes. None: no keys, which is refused where `host` is no loopback address, unless `open`."""
    open: bool = False
    """Whether everybody who reaches the service may use it though it listens beyond loopback: behind a proxy that asks
    who comes, or in a network of friends."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names that the service answers to, besides localhost, IP addresses and `host`: fovea.example.org; *: any."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may ask and read answers (CORS), besides its own: https://app.example.org."""
    max_header_bytes: int = Field(default=32 * 2**10, ge=2**10)
    """Bytes of a request's line and headers. 32 KiB: browsers' cookies fit, and proxies in front allow as much."""
    max_headers: int = Field(default=100, ge=8)
    """Headers of a request. 100; browsers send about 20."""
    header_timeout_s: float = Field(default=10.0, gt=0)
    """Seconds a client may take for a request's headers. 10 bears a bad line; an honest client needs one packet."""
    idle_timeout_s: int = Field(default=5, ge=1)
    """Whole seconds that a connection without a request is kept open. 5."""

    bundles: Annotated[tuple[Path, ...], NoDecode] = (Path("var/bundles"),)
    """Folders that hold model bundles, or are one; written as PATH is: /models:/more/models/mine."""
    shipped_bundles: bool = True
    """Whether the bundles that ship are served, too; false: those in `bundles` alone."""
    default_model: str | None = None
    """Name of the bundle whose task `model=auto` answers; None: the first trained one found, else the first."""
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    """What executes the networks; auto: torch on CUDA, OpenVINO on a CPU where it imports, else torch."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the heavy networks; auto: bf16 where the hardware multiplies it natively, else fp32."""
    num_threads: int | None = Field(default=None, ge=1)
    """Cores the device thread uses on a CPU; None: all of them. 2 on a two-core machine."""
    cache_dir: Path = Path("~/.cache/fovea")
    """Where converted models are kept between starts; `~` is the home folder. Safe to delete."""

    decode_children: int | None = Field(default=None, ge=1)
    """Decoding processes; None: one per core of this machine or container, as far as half of its memory holds them. 2
    decode two videos at once."""
    decode_on_demand: bool = True
    """Whether frames beyond the glance's are decoded only for videos that go on, where that saves at least half; false:
    all frames of a clip at once."""
    keyframe_tolerance: float | None = Field(default=None, ge=0, lt=1)
    """How far a keyframe may lie from a frame of the glance and be taken for it, as a share of the distance of those
    frames. None: as far as each model was trained to bear. 0: exact frames alone. 0.6 of 1.25 s in a video of 10 s:
    phones' keyframes do. Beyond what a model bears cubes look at exact frames, and its answers get worse."""
    skip_loop_filter: bool = True
    """Whether frames of H.264 uploads, but keyframes, are decoded without the loop filter for models that bear it;
    false: with it. A fifth less to decode in a phone's clip of 2 s. Frames for people to look at always have it."""
    decode_while_uploading: bool = True
    """Whether decoding begins while a slow upload still arrives, in a process that is idle, where the file tells its
    length at its head; false: once it is there. An MP4 with its index first at 20 Mbit/s is nearly decoded by then."""
    decode_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds one video may take to decode before its process is killed. Ten minutes of 720p keyframes take about 2. A
    costly one, decoded with what others leave of the cores, may take three times as long."""
    costly_decode_s: float = Field(default=3.0, gt=0)
    """Estimated seconds of decoding above which a video waits apart, for half of the decoding processes. 3: a minute of
    1080p with keyframes 2 s apart takes 1 to 5."""
    max_costly_decode_s: float = Field(default=120.0, gt=0)
    """Estimated seconds of decoding that such videos may wait for, all together; more is 429 with the price. 120 are
    24 of 5 s; none is refused while no other waits. They hold half of max_decode_places at most."""
    decode_address_space_bytes: int = Field(default=768 * 2**20, ge=2**28)
    """Address space of a decoding process. 768 MiB decode 4K H.264 and HEVC in 10 bits."""

    max_upload_bytes: int = Field(default=256 * 2**20, ge=1)
    """Bytes of a request body. 256 MiB is about 7 minutes of 5 Mbit/s video."""
    upload_timeout_s: float = Field(default=120.0, gt=0)
    """Seconds from a request's start to its body's last byte. 256 MiB in 120 s needs 18 Mbit/s."""
    max_files: int = Field(default=16, ge=1)
    """Videos of one request. 16; all together they have max_upload_bytes at most."""
    min_upload_bytes_per_s: int = Field(default=4096, ge=0)
    """Mean rate that a body must keep after its first 10 s. 4096 is a 32 kbit/s line; 0: no bound."""
    spool_dir: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()))
    """Where uploads lie while they are decoded: at most max_decode_places x max_upload_bytes, 16 GiB by default."""

    url_http: bool = False
    """Whether videos are fetched over plain http, too: {"url": "http://..."}. Anybody on the way could change them."""
    url_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks that videos may be fetched from though they would be refused: private ones, 10.20.0.0/16."""
    url_ports: Annotated[tuple[tuple[int, int], ...], NoDecode] = ((80, 80), (443, 443))
    """Ports that videos may be fetched from, and ranges of them, separated by commas: 80,443,8000-8999."""
    url_silence_s: float = Field(default=10.0, gt=0)
    """Seconds that a server may take for a connection, or be silent. All of a fetch takes upload_timeout_s at most."""
    url_ca_file: Path | None = None
    """Certificate authorities (PEM) for https:// beside the system's."""
    url_s3_buckets: Annotated[tuple[str, ...], NoDecode] = ()
    """Buckets that s3://bucket/key is fetched from, separated by commas: videos,clips. Whoever may recognise may read
    all that is in them. Where S3 is: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and the like."""

    max_duration_s: float = Field(default=600.0, gt=0)
    """Length of a video. 600 is ten minutes."""
    max_timeline_s: float = Field(default=14_400.0, gt=0)
    """Length of a video that is asked for its timeline. 14400 are four hours; at most 120 frames a second."""
    max_timeline_bytes: int = Field(default=4 * 2**30, ge=1)
    """Bytes of such a request's body, on disk in `spool_dir` until its end; it may take as much longer than
    upload_timeout_s as it may be larger than max_upload_bytes. 4 GiB are four hours of 2.4 Mbit/s."""
    max_timelines: int = Field(default=2, ge=1)
    """Timelines at work or being uploaded; one more is 429. Each has a process of its own, of about 60 MiB."""
    timeline_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the device that timelines get while uploads or cameras wait, too. 0.2: a fifth; camera_share divides the
    rest."""
    max_frame_pixels: int = Field(default=3840 * 2160, ge=1)
    """Width x height of a video. 8294400 takes 4K and refuses 8K."""
    max_frames: int = Field(default=36_000, ge=1)
    """Frames of a video. 36000 are ten minutes at 60 per second."""

    max_decode_places: int = Field(default=64, ge=1)
    """Videos being uploaded, waiting to be decoded or decoding, or that may need more frames; one more is 429. Bounds
    the disk: 64 uploads of 256 MiB. What they wait for is bounded by max_wait_s."""
    max_wait_s: float = Field(default=5.0, gt=0)
    """Seconds that whoever comes now would wait for decoders and device, at the speed measured so far; more is 429. 5
    are half of a usual client's patience. A key of less priority than another that asks is refused sooner, from half of
    it on."""
    degrade: bool = True
    """Whether budgets fall before requests are refused: from a quarter of what may wait, to the least that a request
    allows at three quarters. `compute.budget_granted_gflops` tells. false: who is admitted gets what was asked for."""
    max_requests: int = Field(default=256, ge=1)
    """Requests admitted and not answered yet; one more is 429. Each holds a clip: 256 of 16 frames at 160 x 160 are
    0.3 GiB."""
    max_queued_gflops: float = Field(default=500.0, gt=0, allow_inf_nan=False)
    """GFLOPs that admitted requests may still spend; more is 429. 500 at 100 GFLOPS are 5 s of waiting."""
    max_batch_gflops: float = Field(default=16.0, gt=0, allow_inf_nan=False)
    """GFLOPs of one batch. 16 at 100 GFLOPS let the device think of something else every 0.16 s."""
    max_batch_size: int = Field(default=32, ge=1)
    """Videos of one batch: bounds its memory, 32 x 18 frames at 224 x 224 are 0.3 GiB as float32."""

    max_top_k: int = Field(default=100, ge=1)
    """Largest `top_k` a client may ask for."""
    max_deadline_ms: int = Field(default=600_000, ge=1)
    """Largest `deadline_ms` a client may ask for. 600000 is ten minutes."""

    result_cache_bytes: int = Field(default=64 * 2**20, ge=0)
    """Bytes of answers that are held for whoever asks again for the same video with the same key; 0: none are, and
    nothing is gone on from. 64 MiB are 10000 of 6 KiB."""
    result_cache_ttl_s: float = Field(default=3600.0, gt=0)
    """Seconds that an answer is held, here and in Redis. 3600 at 10 videos a second of 6 KiB are 0.2 GiB of Redis."""
    resume_bytes: int = Field(default=128 * 2**20, ge=0)
    """Bytes of videos between two steps that are held, so that a larger budget goes on from there; 0: none are. 128 MiB
    are 60 of 16 frames at 224 x 224."""
    resume_ttl_s: float = Field(default=60.0, gt=0)
    """Seconds that a video between two steps is held."""

    playground_clips: Path | None = None
    """Folder of videos that the playground offers to try, /srv/clips; None: none. Whoever sees the page may download
    them."""
    camera_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the device that cameras get while uploads wait, too. 0.5: half; who needs less leaves the rest."""
    stream_gflops_per_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """GFLOP/s of this replica that all its cameras share; None: no bound. 20 cameras at 0.5 a second each need 10."""
    max_streams: int = Field(default=64, ge=1)
    """Cameras subscribed, over all replicas; one more is 429. Each has a process of its own, of about 53 MiB."""
    camera_metrics: bool = False
    """Whether each camera has a metric of its own, by its name: fovea_camera_up, so that one that is down can be an
    alert. At most max_streams series."""
    max_replica_streams: int | None = Field(default=None, ge=1)
    """Cameras that this replica watches; None: 16 per core it may use where replicas share a Redis, else all of
    max_streams. So the first of several replicas to start does not take more than it can."""
    max_stream_followers: int = Field(default=256, ge=1)
    """Clients that follow events of this replica; one more is 429. With Redis each holds a connection to it."""
    max_window_s: float = Field(default=120.0, gt=0)
    """Largest `window_s` and `stride_s`. Memory does not grow with it: a window holds the model's number of frames."""
    stream_keyframes_per_window: int = Field(default=4, ge=1)
    """Keyframes that must fall in a window for decode=auto to do with them. 4: windows of 4 s at one a second."""
    stream_connect_timeout_s: float = Field(default=1.5, gt=0)
    """Seconds for a camera to take a TCP connection. 1.5 lets one lost packet be sent again."""
    stream_open_timeout_s: float = Field(default=5.0, gt=0)
    """Seconds for a camera to answer, until it plays. 5 suits cameras; a relay that starts its source may need more."""
    stream_stall_timeout_s: float = Field(default=3.0, gt=0)
    """Seconds without a byte after which a camera counts as lost. 3 misses no camera of a picture a second."""
    stream_backoff_cap_s: float = Field(default=15.0, gt=0)
    """Longest wait between tries of a camera that is away. 15: it is back within 16 s of its return."""
    stream_auth_retry_s: float = Field(default=120.0, gt=0)
    """Wait after a refused password. 120: cameras that lock an account after 5 failures in a minute do not."""
    stream_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks that cameras may be in though they would be refused, separated by commas: 127.0.0.0/8,::1/128. Where
    `host` is no loopback address, private networks are: name yours, 192.168.1.0/24."""
    stream_ports: Annotated[tuple[tuple[int, int], ...], NoDecode] = ((322, 322), (554, 554), (1024, 65535))
    """Ports that cameras may be at, and ranges of them, separated by commas: 322,554,1024-65535."""
    stream_ca_file: Path | None = None
    """Certificate authorities (PEM) for rtsps:// beside the system's; a camera's own certificate will do."""
    stream_tls_verify: bool = True
    """Whether certificates of rtsps:// must be good. False believes anyone who answers."""
    stream_events_kept: int = Field(default=1000, ge=1)
    """Events of a stream that can be replayed. 1000 results of 2 KiB, one a second: 17 minutes in 2 MiB."""
    stream_lease_s: float = Field(default=5.0, gt=0)
    """Seconds after which other replicas take over a silent one's cameras. 5: they are back within 10."""
    redis_url: SecretStr | None = None
    """Redis that replicas share: redis://:password@host:6379/0; None: one process, which keeps its state in
    `state_dir`."""
    state_dir: Path = Path("var/state")
    """Folder where one process without Redis keeps subscriptions, with cameras' passwords, and events: var/state. It
    outlives restarts and power cuts; one process a folder. 64 cameras' 1000 events of 2 KiB are 0.13 GiB."""

    blobs_url: str | None = None
    """Where uploads and large results of jobs lie: file:///shared/folder, or s3://bucket/prefix with the keys and the
    endpoint in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL. The service's own:
    files without a job are removed. None: a folder in `state_dir`; replicas that share a Redis need one that all of
    them reach, and take no jobs without."""
    job_concurrency: int = Field(default=4, ge=1)
    """Jobs that this replica does at a time. 4 keep two cores busy; each holds a place while it is decoded."""
    job_lease_s: float = Field(default=10.0, gt=0)
    """Seconds of silence after which another replica takes over a job. 10: it goes on within 20."""
    job_max_attempts: int = Field(default=10, ge=1)
    """Times that a job is begun; then it has failed. 10 bear 9 processes that were killed in the middle of it."""
    job_retention_s: float = Field(default=86_400.0, gt=0)
    """Seconds that an ended job, its result and its events can be asked for. 86400 is a day."""
    max_jobs: int = Field(default=10_000, ge=1)
    """Jobs that are kept, ended ones included, over all replicas; one more is 429. 10000 results of 3 KiB are 30 MiB,
    and every replica reads them all three times a minute."""
    idempotency_retention_s: float = Field(default=86_400.0, gt=0)
    """Seconds that a request with an Idempotency-Key is answered as it was before. 86400 is a day."""
    webhook_secret: SecretStr | None = None
    """Secret by which messages to receivers are signed, as Standard Webhooks has it: whsec_ and 24 to 64 bytes in
    base64. None: `webhook_url` is refused."""
    webhook_http: bool = False
    """Whether receivers may be told without TLS, at http://."""
    webhook_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks that receivers may be in though they would be refused (loopback, private), separated by commas:
    10.0.0.0/8."""
    webhook_timeout_s: float = Field(default=10.0, gt=0)
    """Seconds for a receiver to answer. 10; it should note the message and work on it later."""
    webhook_attempts: int = Field(default=10, ge=1)
    """Times that a message is tried; then it is dead. 10, with 5 s that double: given up after 43 minutes."""
    webhook_backoff_s: float = Field(default=5.0, gt=0)
    """Seconds from the first attempt to the second; each further wait is twice as long, an hour at most."""
    webhook_concurrency: int = Field(default=16, ge=1)
    """Messages that this replica sends at a time. 16: so many receivers may hang before others wait."""

    mqtt_url: SecretStr | None = None
    """Broker that is told what cameras show: mqtt://user:password@broker:1883, mqtts:// for TLS. Needs the extra mqtt:
    pip install 'fovea-server[mqtt]'. None: there is none."""
    mqtt_topic: str = Field(default="fovea", pattern=r"^[^/+#$\x00]+(/[^/+#\x00]+)*$")
    """What all topics begin with: fovea/<camera>/result and fovea/<camera>/state."""
    mqtt_service: str | None = Field(default=None, min_length=1, max_length=64)
    """How this process is called among those that share the broker, in fovea/service/<name>/availability: attic. None:
    this machine's name and the port, attic-8000."""
    mqtt_discovery: str | None = Field(default=None, pattern=r"^[^/+#$\x00]+(/[^/+#\x00]+)*$")
    """Home Assistant's discovery prefix: homeassistant. Cameras are devices there by themselves. None: they are not."""
    mqtt_ca_file: Path | None = None
    """Authority that a broker's certificate is believed by, besides the system's: /etc/fovea/ca.pem."""

    log_format: Literal["text", "json"] = "text"
    """How the log is written: lines for people, or one JSON object a line with request and trace ids."""
    otlp_endpoint: str | None = None
    """Where traces are sent, an OpenTelemetry collector that speaks OTLP over HTTP: http://collector:4318. It needs the
    extra `otel`. None: as OTEL_EXPORTER_OTLP_ENDPOINT says; no traces where that is not set, either."""
    sse_ping_s: float = Field(default=15.0, gt=0)
    """Seconds between comments on an idle event stream, so that proxies keep it open; most close after 60."""
    drain_timeout_s: float = Field(default=25.0, ge=0)
    """Seconds that admitted requests get to finish after SIGTERM. Kubernetes' terminationGracePeriodSeconds must be
    larger: 25 fits its default of 30."""

    @field_validator("bundles", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        return tuple(path for path in value.split(os.pathsep) if path) if isinstance(value, str) else value

    @field_validator("blobs_url", mode="after")
    @classmethod
    def _is_store(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith("file:///") or re.match(r"s3://[^/?#]+", value)):
            raise ValueError("must be file:///folder or s3://bucket/prefix")
        return value

    @field_validator("otlp_endpoint", mode="after")
    @classmethod
    def _is_collector(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/?#]+", value):
            raise ValueError("must be the base URL of a collector: http://host:4318")
        return value

    @field_validator("webhook_secret", mode="after")
    @classmethod
    def _can_sign(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _, prefix, text = value.get_secret_value().rpartition("whsec_")
            try:
                num_bytes = len(base64.b64decode(text + "==", validate=False))
            except ValueError:
                num_bytes = 0
            if not prefix or not 24 <= num_bytes <= 64:
                raise ValueError("must be whsec_ and 24 to 64 bytes in base64: echo whsec_$(openssl rand -base64 32)")
        return value

    @field_validator("mqtt_url", mode="after")
    @classmethod
    def _is_broker(cls, value: SecretStr | None) -> SecretStr | None:
        """Read by `service.mqtt.broker`; what is wrong with it is said here, before anything starts."""
        if value is not None:
            found = _BROKER.fullmatch(value.get_secret_value())
            if found is None or not 1 <= int(found["port"] or 1) <= 65535:
                raise ValueError(
                    "must be mqtt://user:password@host:1883, or mqtts:// for TLS, with nothing after the port; "
                    "/ ? # @ in a password are %2F %3F %23 %40"
                )
        return value

    @field_validator(
        "stream_allowed_networks",
        "url_allowed_networks",
        "webhook_allowed_networks",
        "url_s3_buckets",
        "allowed_hosts",
        "allowed_origins",
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("stream_ports", "url_ports", mode="before")
    @classmethod
    def _split_ports(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        ranges = [part.partition("-") for part in value.split(",") if part.strip()]
        return tuple((first, last if dash else first) for first, dash, last in ranges)

    @field_validator("stream_ports", "url_ports", mode="after")
    @classmethod
    def _check_ports(cls, value: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        for first, last in value:
            if not 1 <= first <= last <= 65535:
                raise ValueError(f"{first}-{last}: ports are from 1 to 65535, the first of a range before its last")
        return value

    @property
    def listens_beyond_loopback(self) -> bool:
        if self.host == "localhost":
            return False
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:  # a name
            return True

    @field_validator(
        "bundles",
        "cache_dir",
        "spool_dir",
        "state_dir",
        "playground_clips",
        "api_keys_file",
        "mqtt_ca_file",
        mode="after",
    )
    @classmethod
    def _expand_home(cls, value: Path | tuple[Path, ...] | None) -> Path | tuple[Path, ...] | None:
        if isinstance(value, tuple):
            return tuple(path.expanduser() for path in value)
        return None if value is None else value.expanduser()

    @field_validator("playground_clips", mode="after")
    @classmethod
    def _is_folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("must be a folder that exists; make it, or leave the variable out to offer no clips")
        return value

    def check_access(self) -> None:
        """Raises SettingsError where strangers could use the service, and nobody has said that they may."""
        if self.listens_beyond_loopback and self.api_keys_file is None and not self.open:
            raise SettingsError(
                f"FOVEA_HOST={self.host} lets others reach this service, and it has no keys: make one with `fovea keys "
                "add NAME --file keys.json` and set FOVEA_API_KEYS_FILE=keys.json; or say FOVEA_OPEN=true, and "
                "everybody who reaches it may do everything; or listen on 127.0.0.1"
            )

    def check_extras(self) -> None:
        """Raises SettingsError where a setting needs a package that is not installed."""
        if self.mqtt_url is not None and find_spec("aiomqtt") is None:
            raise SettingsError(
                "FOVEA_MQTT_URL names a broker, and what speaks MQTT is not installed: pip install "
                "'fovea-server[mqtt]', or leave the variable out"
            )

    @property
    def max_queued_flops(self) -> int:
        return int(self.max_queued_gflops * 1e9)

    @property
    def max_batch_flops(self) -> int:
        return int(self.max_batch_gflops * 1e9)

    def video_limits(self) -> VideoLimits:
        """What a video may cost at most before it is refused."""
        return VideoLimits(duration_s=self.max_duration_s, frame_pixels=self.max_frame_pixels, frames=self.max_frames)

    def timeline_limits(self) -> VideoLimits:
        """The same for a video that is asked for its timeline."""
        frames = int(MAX_FRAMES_PER_S * self.max_timeline_s)
        return VideoLimits(duration_s=self.max_timeline_s, frame_pixels=self.max_frame_pixels, frames=frames)

    @property
    def timeline_upload_timeout_s(self) -> float:
        """As long as its size allows at the rate that other uploads must keep."""
        return self.upload_timeout_s * max(1.0, self.max_timeline_bytes / self.max_upload_bytes)

    @classmethod
    def read(cls, **given: object) -> "Settings":
        """The settings of this process's environment, and `given` above it.

        Raises SettingsError; warns of variables that mean nothing.

        An unknown variable is no reason not to start: a rolled-back replica meets its successor's, and
        Kubernetes adds FOVEA_SERVICE_HOST and the like for a Service called `fovea`.
        """
        for warning in unknown_variables(os.environ):
            log.warning(warning)
        try:
            return cls(**given)  # type: ignore[arg-type]
        except ValidationError as error:
            problems = "\n".join(
                f"  {PREFIX}{name.upper()}={_shown(name, one['input'])}: {one['msg']}"
                for one in error.errors()
                for name in [str(one["loc"][0])]
            )
            cause = None if any(map(_is_secret, {str(one["loc"][0]) for one in error.errors()})) else error
            raise SettingsError(f"the environment holds settings that cannot be:\n{problems}") from cause


def _is_secret(name: str) -> bool:
    field = Settings.model_fields.get(name)
    return field is not None and SecretStr in (field.annotation, *get_args(field.annotation))


def _shown(name: str, value: object) -> str:
    return "***" if _is_secret(name) else repr(value)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """A sentence for each FOVEA_* variable that is no setting, with its new name or the likeliest one meant."""
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    sentences = []
    for name in sorted(names):
        if name in RENAMED:
            sentences.append(f"{name} is not read any more: it is called {RENAMED[name]} now; rename it")
        elif name.startswith(PREFIX) and name not in known | NOT_SETTINGS:
            close = difflib.get_close_matches(name, known, n=1)
            sentences.append(f"{name} is no setting of Fovea" + (f"; is {close[0]} meant?" if close else ""))
    return sentences
