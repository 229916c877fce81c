"""Converted models on disk: one self-checking file each.

Knows no torch module and no precision: a file holds OpenVINO's own form of a network in fp32.
"""

import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
_DIGEST_BYTES = hashlib.sha256().digest_size
_LENGTH_BYTES = 8


class ModelCache:
    """A folder of `sha256(payload) | length of xml | xml | weights` files, safe to share between processes.

    A file is written aside and renamed, so that a reader sees all of it or none. One that does not hold what its digest
    says is taken for absent. Where the folder cannot be written, models are converted anew each time, with a warning.
    """

    def __init__(self, folder: Path, openvino: Any, core: Any) -> None:
        self._folder = folder
        self._openvino = openvino
        self._core = core

    def path(self, key: str, row_shape: tuple[int, ...]) -> Path:
        identity = repr((key, row_shape, self._openvino.get_version()))
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.ovmodel"

    def load(self, key: str, row_shape: tuple[int, ...]) -> Any | None:
        """The model stored under these names; None when there is none, or not a whole one."""
        path = self.path(key, row_shape)
        try:
            content = memoryview(path.read_bytes())
        except FileNotFoundError:
            return None
        payload = content[_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != content[:_DIGEST_BYTES]:
            _log.warning("converted model %s is damaged; converting anew", path)
            return None
        xml_end = _LENGTH_BYTES + int.from_bytes(payload[:_LENGTH_BYTES], "little")
        return self._core.read_model(bytes(payload[_LENGTH_BYTES:xml_end]), bytes(payload[xml_end:]))

    def store(self, key: str, row_shape: tuple[int, ...], model: Any) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="writing-") as aside:
                xml = Path(aside, "model.xml")
                self._openvino.save_model(model, xml, compress_to_fp16=False)
                xml_bytes = xml.read_bytes()
                payload = len(xml_bytes).to_bytes(_LENGTH_BYTES, "little") + xml_bytes
                payload += xml.with_suffix(".bin").read_bytes()
                whole = Path(aside, "whole")
                whole.write_bytes(hashlib.sha256(payload).digest() + payload)
                os.replace(whole, self.path(key, row_shape))
        except OSError as error:
            _log.warning("converted model not kept in %s: %s", self._folder, error)
