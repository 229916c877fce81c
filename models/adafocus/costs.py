"""What each step costs, in multiply-adds, found by running every part on tensors without data.

Knows no weights: the price follows from the configuration.
"""

from functools import cache

import torch

from models.adafocus.config import AdaFocusConfig
from models.adafocus.network import AdaFocusV3
from models.adafocus.placed import PlacedAdaFocus
from models.backbones.config import num_cells
from models.flops import count_call_flops


@cache
def step_flops(config: AdaFocusConfig) -> tuple[int, ...]:
    """`step_flops[k]` of step k: the glance (global encoder, p_0's head), the first cube (policy, local encoder, head)
    and the further cubes (local encoder, head). Auxiliary heads run in training only. Resizing is not a FLOP.
    """
    if config.placement != "learned":
        return _placed_step_flops(config)
    with torch.device("meta"):
        network = AdaFocusV3(config).eval()
        classifier, num_glance, (num_frames, height, width) = (
            network.classifier,
            config.num_glance_frames,
            config.cube_size,
        )
        frames_NHWC = torch.empty(num_glance, *config.frame_size, 3, dtype=torch.uint8)
        maps_BTChw = torch.empty(1, num_glance, network.glance.num_features, *map(num_cells, config.glance_size))
        crops_NHWC = torch.empty(num_frames, height, width, 3, dtype=torch.uint8)
        cube_BTD = torch.empty(1, config.num_focus_images(num_frames), network.focus.num_features)
        glance_BG = classifier.remember_glance(maps_BTChw.mean(dim=(3, 4)))
        memory_BM = torch.empty(1, classifier.memory_size)
        glance = (
            count_call_flops(network.glance, frames_NHWC)
            + count_call_flops(classifier.remember_glance, maps_BTChw.mean(dim=(3, 4)))
            + count_call_flops(classifier.glance_logits, glance_BG)
        )
        policy = count_call_flops(network.policy, maps_BTChw)
        cube = (
            count_call_flops(network.focus, crops_NHWC)
            + count_call_flops(classifier.embed_cubes, cube_BTD)
            + count_call_flops(classifier.step_logits, glance_BG, memory_BM, [1])
        )
    return glance, policy + cube, *[cube] * (config.max_cubes - 1)


def _placed_step_flops(config: AdaFocusConfig) -> tuple[int, ...]:
    """The glance, or each part of it, with its key points and head; each cube with its key points and head; motion with
    its head. Rules are no FLOPs."""
    with torch.device("meta"):
        network = PlacedAdaFocus(config).eval()
        classifier = network.classifier
        crops_NHWC = torch.empty(*config.cube_size, 3, dtype=torch.uint8)
        glance_BG, memory_BM = torch.empty(1, sum(classifier.glance_blocks)), torch.empty(1, classifier.memory_size)
        step = torch.ones(1, dtype=torch.int64)
        heads = [count_call_flops(classifier.glance_logits, glance_BG)]
        if classifier.first_head is not None:
            first_BG = torch.empty(1, sum(classifier.first_blocks))
            heads.insert(0, count_call_flops(classifier.first_logits, first_BG))
        a_frame = _looking(network, config)
        glance = [a_frame * len(part) + head for part, head in zip(config.glance_parts, heads, strict=True)]
        cube = count_call_flops(network.describe, crops_NHWC, network.focus, network.focus_points)
        cube += count_call_flops(classifier.logits_at, glance_BG, memory_BM, step)
        motion: tuple[int, ...] = ()
        if network.motion is not None:
            pairs_NHWC = torch.empty(2 * config.num_pairs, *config.motion_window, 3, dtype=torch.uint8)
            head = count_call_flops(classifier.logits_at, glance_BG, memory_BM, step)
            motion = (count_call_flops(network.motion, pairs_NHWC) + head,)
    return *glance, *motion, *[cube] * config.max_cubes


def _looking(network: PlacedAdaFocus, config: AdaFocusConfig) -> int:
    """What one frame of the glance costs."""
    frames_NHWC = torch.empty(1, *config.frame_size, 3, dtype=torch.uint8)
    return count_call_flops(network.describe, frames_NHWC, network.glance, network.glance_points)


def frame_flops(config: AdaFocusConfig) -> int | None:
    """See `models.recognizer.ReusesFrames`: with temporal shift, frames look at each other."""
    return None if config.temporal_shift else glance_frame_flops(config)


@cache
def glance_frame_flops(config: AdaFocusConfig) -> int:
    """What one frame costs in the global encoder. Only without temporal shift is a frame looked at by itself."""
    assert not config.temporal_shift
    with torch.device("meta"):
        if config.placement != "learned":
            return _looking(PlacedAdaFocus(config).eval(), config)
        network = AdaFocusV3(config).eval()
        return count_call_flops(network.glance, torch.empty(1, *config.frame_size, 3, dtype=torch.uint8))
