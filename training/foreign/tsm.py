"""What is taken of a checkpoint of TSM's own code. Writes nothing."""

from dataclasses import replace

from models.channels import IMAGENET_MEAN, IMAGENET_STD
from models.tsm.foreign import read_foreign
from training.foreign.taken import Asked, Taken, channels, framing_of, left_out, said_in_name, took
from training.foreign_files import ForeignFile

DENSE_SPAN = 64
"""Frames from the first to the last where its code samples densely."""


def take(file: ForeignFile, asked: Asked) -> Taken:
    """Raises ValueError for a file that is no TSM, or is one in part: everything that misfits is listed."""
    told = said_in_name(file.path, r"segment(\d+)")
    num_frames = asked.num_frames or (told[0] if told else 8)
    whence = "as asked" if asked.num_frames else "as the file's name says" if told else "assumed"
    found = read_foreign(file.tensors, num_frames=num_frames, frame_size=asked.view_size or (224, 224))
    normalised, normal_note = channels(asked, IMAGENET_MEAN, IMAGENET_STD, "assumed, its code's")
    config = replace(found.config, **normalised)
    dense = "dense" in file.path.name
    stride = asked.stride if asked.stride is not None else DENSE_SPAN // num_frames if dense else 0
    sampled = "as asked" if asked.stride is not None else "as the file's name says" if dense else "assumed, its code's"
    framing, framed = framing_of(num_frames, stride, sampled, "center_crop")
    shift = "with temporal shift" if config.temporal_shift else "without temporal shift (TSN)"
    return Taken(
        layout="tsm",
        config=config,
        tensors=found.tensors,
        framing=framing,
        temperatures_K=(1.0,),
        licence="MIT (the authors' code; of the weights nothing is stated: assumed)",
        limits="Not calibrated: scores are as trained, and no accuracy was measured here.",
        notes=(
            took(len(found.tensors), f"all of a {config.backbone.name} {shift} and its {config.num_classes} classes"),
            left_out(()),
            f"{num_frames} frames: {whence}",
            normal_note,
            framed,
            "the middle of a frame, its whole short side shrunk to the model's size; the authors' test cuts 224 out of "
            "256, so that things look a seventh larger",
            "nothing stays untrained",
        ),
    )
