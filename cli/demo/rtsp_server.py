"""A camera: a real RTSP server (gst-rtsp-server) that plays video files in a loop without a break in time.

A program of its own, run by the system's Python, which has GStreamer's bindings; `server` starts it.
argv[1] is JSON: {"address", "port", "mounts": {"/cam": ["a.mp4", ...]}, "fps", "auth": {"user", "password", "method"},
"tls": "certificate-and-key.pem", "tcp_only"}. Commands on stdin: stall, resume, kick, next (play the next file).
Prints {"port": N} once it listens. Files hold H.264 or H.265 without B-frames: frames go out in the file's order.
"""

import json
import signal
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402, F401 - GstApp gives appsink its methods

Gst.init(None)

CODECS = (
    ("h264parse", "rtph264pay", "video/x-h264,stream-format=byte-stream,alignment=au"),
    ("h265parse", "rtph265pay", "video/x-h265,stream-format=byte-stream,alignment=au"),
)


def read_units(path):
    """All access units of a file as (bytes, is_key), their caps, and the payloader for them."""
    for parser, payloader, caps in CODECS:
        pipeline = Gst.parse_launch(
            f'filesrc location="{path}" ! parsebin ! {parser} config-interval=-1 ! {caps} '
            "! appsink name=sink sync=false"
        )
        sink = pipeline.get_by_name("sink")
        pipeline.set_state(Gst.State.PLAYING)
        units, described = [], None
        while (sample := sink.emit("try-pull-sample", 2 * Gst.SECOND)) is not None:
            described = sample.get_caps().to_string()
            buffer = sample.get_buffer()
            units.append((buffer.extract_dup(0, buffer.get_size()), not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)))
        pipeline.set_state(Gst.State.NULL)
        if units:
            return units, described, payloader
    raise SystemExit(f"no H.264 or H.265 in {path}")


class Player:
    """Feeds one media from its files, the present one in a loop."""

    def __init__(self, files, fps):
        self.files, self.file, self.unit, self.number = files, 0, 0, 0
        self.duration = int(Gst.SECOND / fps)

    def feed(self, source, _length):
        flowing.wait()
        units = self.files[self.file]
        data, is_key = units[self.unit % len(units)]
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = buffer.dts = self.number * self.duration
        buffer.duration = self.duration
        if not is_key:
            buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
        self.unit += 1
        self.number += 1
        source.emit("push-buffer", buffer)

    def next_file(self):
        self.file, self.unit = (self.file + 1) % len(self.files), 0


def role(name):
    structure = Gst.Structure.new_empty(name)
    structure.set_value("media.factory.access", True)
    structure.set_value("media.factory.construct", True)
    return structure


def token_for(name):
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", name)
    return token


def authentication(config):
    """(RTSPAuth, role) as the configuration asks, or (None, None)."""
    if "tls" in config:
        auth = GstRtspServer.RTSPAuth()
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(config["tls"]))
        auth.set_default_token(token_for("anybody"))
        return auth, "anybody"
    if "auth" in config:
        asked = config["auth"]
        auth = GstRtspServer.RTSPAuth()
        if asked.get("method") == "digest":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(asked["user"], asked["password"], token_for("user"))
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(asked["user"], asked["password"]), token_for("user"))
        return auth, "user"
    return None, None


def factory_for(files, config, role_name):
    read = [read_units(path) for path in files]
    _, caps, payloader = read[0]
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    if config.get("tcp_only"):
        factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
    factory.set_launch(
        f'( appsrc name=source is-live=true format=time block=true max-bytes=200000 caps="{caps}" '
        f"! {payloader} name=pay0 pt=96 config-interval=-1 )"
    )

    def configure(_factory, media):
        player = Player([units for units, _, _ in read], config.get("fps", 25))
        media.get_element().get_by_name_recurse_up("source").connect("need-data", player.feed)
        media.player = player  # or it would be collected
        players.append(player)

    factory.connect("media-configure", configure)
    if role_name is not None:
        factory.add_role_from_structure(role(role_name))
    return factory


def obey():
    for line in sys.stdin:
        command = line.strip()
        if command == "stall":
            flowing.clear()
        elif command == "resume":
            flowing.set()
        elif command == "next":
            for player in players:
                player.next_file()
        elif command == "kick":
            GLib.idle_add(lambda: server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REMOVE) and False)
    loop.quit()  # whoever started us is gone


config = json.loads(sys.argv[1])
flowing = threading.Event()
flowing.set()
players = []
loop = GLib.MainLoop()
server = GstRtspServer.RTSPServer()
server.set_address(config.get("address", "127.0.0.1"))
server.set_service(str(config.get("port", 0)))
auth, role_name = authentication(config)
if auth is not None:
    server.set_auth(auth)
for path, files in config["mounts"].items():
    server.get_mount_points().add_factory(path, factory_for(files, config, role_name))
if not server.attach(None):
    raise SystemExit(f"port {config.get('port')} is taken")
print(json.dumps({"port": server.get_bound_port()}), flush=True)
threading.Thread(target=obey, daemon=True).start()
for number in (signal.SIGINT, signal.SIGTERM):
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, lambda *_: loop.quit())
loop.run()
