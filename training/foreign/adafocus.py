"""What is taken of checkpoints of AdaFocusV2 and Uni-AdaFocus. Writes nothing."""

from dataclasses import replace

from models.adafocus.config import AdaFocusConfig
from models.adafocus.foreign import LAYOUTS, LayoutName, read_foreign
from models.channels import IMAGENET_MEAN, IMAGENET_STD
from training.foreign.taken import Asked, Taken, channels, framing_of, left_out, said_in_name, took
from training.foreign_files import ForeignFile

CUBE_PX = 128
LICENCES: dict[LayoutName, str] = {
    "adafocus_v2_tsm": "not stated (AdaFocusV2's code names no licence): ask the authors",
    "uni_adafocus": "MIT (the authors' code; of the weights nothing is stated: assumed)",
    "uni_adafocus_tsm": "MIT (the authors' code; of the weights nothing is stated: assumed)",
}


def take(file: ForeignFile, asked: Asked) -> Taken:
    """Raises ValueError for a file that is neither, or is one in part: everything that misfits is listed."""
    cube, frames = said_in_name(file.path, r"_p(\d+)"), said_in_name(file.path, r"(\d+)and(\d+)")
    cube_px = asked.cube_px or (cube[0] if cube else CUBE_PX)
    num_frames = asked.num_frames or (frames[1] if frames else None)
    found = read_foreign(file.tensors, num_frames=num_frames, cube_px=cube_px)
    if asked.view_size not in (None, found.config.frame_size):
        raise ValueError(
            f"frames of {asked.view_size} are asked for, but the policy takes a map of {found.config.frame_size} "
            f"pixels; leave the size as it is"
        )
    normalised, normal_note = channels(asked, IMAGENET_MEAN, IMAGENET_STD, "assumed, its code's")
    config = replace(found.config, **normalised)
    framing, framed = framing_of(
        config.num_frames, asked.stride or 0, "as asked" if asked.stride else "assumed, its code's", "center_crop"
    )
    notes = [
        took(
            sum(not name.startswith(tuple(found.untrained)) for name in found.tensors),
            f"{LAYOUTS[found.layout].title}, {config.glance.name}, {config.focus.name}, {config.num_classes} classes",
        ),
        left_out(found.left),
        f"{config.num_frames} frames a clip, {config.num_glance_frames} of them to glance at: "
        + _whence(asked.num_frames, frames),
        f"cubes of {cube_px} pixels: {_whence(asked.cube_px, cube)}; cut at whole pixels, where its code cuts between",
        normal_note,
        framed,
        "the middle of a frame, its whole short side shrunk to the model's size; the authors' test cuts 224 out of 256",
    ]
    limits = "Not calibrated: scores are as trained, and no accuracy was measured here."
    if config.temporal_shift or config.aggregation == "average":
        notes.append("the glance's own answer is its half of the sum; its code never asks for it alone")
        if apart := _apart(config):
            notes.append(f"the glance's frames are the clip's, up to {apart:.1%} of a video from its code's")
    if found.untrained:
        notes.append(
            "stays untrained: the policy. Theirs chooses sizes and frames, ours places: cubes lie in the middle, in "
            "equal steps of time, until one is trained (fovea train, from this bundle)"
        )
        limits += " Cubes lie in the middle of the frames, whatever is seen."
    else:
        notes.append("nothing stays untrained")
    return Taken(
        layout=found.layout,
        config=config,
        tensors=found.tensors,
        framing=framing,
        temperatures_K=(1.0,) * (config.max_cubes + 1),
        licence=LICENCES[found.layout],
        limits=limits,
        notes=tuple(notes),
    )


def _apart(config: AdaFocusConfig) -> float:
    """The furthest that a frame of the glance lies from the middle of its own equal segment, as a share of a video."""
    glance, clip = config.num_glance_frames, config.num_frames
    places = enumerate(config.glance_indices)
    return max(abs((number + 0.5) / glance - (index + 0.5) / clip) for number, index in places)


def _whence(asked: int | None, in_name: tuple[int, ...] | None) -> str:
    return "as asked" if asked else "as the file's name says" if in_name else "assumed"
