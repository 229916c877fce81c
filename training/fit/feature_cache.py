"""What heads are given of a clip, kept on disk: where encoders stand still, folds and seeds ask for the same again.

Knows no family and no solver.

Shape suffixes: B clips of a batch, T frames, H rows, W columns, C colour channels.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from models.family import config_of
from models.prepared import code_digest
from training.families import training_of


class FeatureCache:
    """A file a clip, found by its pixels, in a folder named by all else that features follow from: the encoders'
    weights, configuration and precision, and the code below `models/`.

    Several processes may share it: a file appears whole or not at all.
    """

    def __init__(self, folder: Path, network: nn.Module, precision: str) -> None:
        encoders = training_of(network).backbones
        digest = hashlib.sha256(repr((config_of(network), precision, code_digest())).encode())
        for name, tensor in network.state_dict().items():
            if name.startswith(encoders):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        self.folder = folder / f"features-{digest.hexdigest()[:16]}"

    def features(
        self, network: nn.Module, clips_BTHWC: Tensor, generator: torch.Generator, *, learned: bool
    ) -> dict[str, Tensor]:
        """As `FamilyTraining.features`, of a network whose features are repeatable."""
        files = [self.folder / f"{_name(clip_THWC)}.safetensors" for clip_THWC in clips_BTHWC]
        new = [row for row, file in enumerate(files) if not file.exists()]
        if new:
            found = training_of(network).features(network, clips_BTHWC[new], generator, learned=learned)
            for place, row in enumerate(new):
                _write_whole(files[row], {name: rows[place].cpu().contiguous() for name, rows in found.items()})
        kept = [safetensors.torch.load_file(file) for file in files]
        return {name: torch.stack([one[name] for one in kept]).to(clips_BTHWC.device) for name in kept[0]}


def _name(clip_THWC: Tensor) -> str:
    return hashlib.blake2b(clip_THWC.cpu().contiguous().numpy().tobytes(), digest_size=16).hexdigest()


def _write_whole(file: Path, tensors: dict[str, Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".part")
    os.close(descriptor)
    safetensors.torch.save_file(tensors, name)
    os.replace(name, file)
