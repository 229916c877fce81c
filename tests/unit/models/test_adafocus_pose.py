"""Key points: MoveNet's pyramid and heads, what they decode to, and their checkpoint, all or nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import grid_sample

from models.adafocus.pose import CELL_PX, NUM_KEY_POINTS, NUM_MAPS, KeyPoints, PoseHeads, load_movenet
from models.backbones.mobilenet_v2 import MobileNetV2
from models.checkpoints import CheckpointMismatch, load_backbone

WEIGHTS = Path(__file__).parents[4] / "shared" / "weights"
CHANNELS = MobileNetV2(0.1).channels
SIZE = (32, 64)  # rows, columns
ROWS, COLUMNS = SIZE[0] // CELL_PX, SIZE[1] // CELL_PX


def foreign(seed: int) -> dict[str, Tensor]:
    """A checkpoint as the converted MoveNet names its tensors."""
    torch.manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inputs, outputs in (
        ("conv2d_3", CHANNELS[3], 24),
        ("conv2d_2", CHANNELS[6], 32),
        ("conv2d_1", CHANNELS[10], 64),
        ("conv2d", CHANNELS[18], 64),
    ):
        shapes |= {f"{name}.weight": (outputs, inputs, 1, 1), f"{name}.bias": (outputs,)}
    separable = {"separable_conv2d": (64, 32), "separable_conv2d_1": (32, 24), "separable_conv2d_2": (24, 24)}
    heads = {"center_0": 1, "kpt_heatmap_0": 17, "kpt_regress_0": 34, "kpt_offset_0": 34}
    for name, (inputs, outputs) in (separable | dict.fromkeys(heads, (24, 96))).items():
        shapes |= {f"{name}.dw": (inputs, 1, 3, 3), f"{name}.pw": (outputs, inputs, 1, 1), f"{name}.bias": (outputs,)}
    for name, outputs in heads.items():
        shapes |= {f"{name}.out_weight": (outputs, 96, 1, 1), f"{name}.out_bias": (outputs,)}
    return {name: torch.randn(shape).half() for name, shape in shapes.items()}


def test_every_tensor_of_the_checkpoint_finds_its_place() -> None:
    heads = PoseHeads(CHANNELS)
    tensors = foreign(0)
    load_movenet(heads, tensors)
    assert len(heads.state_dict()) == len(tensors)
    assert torch.equal(heads.lateral[2].weight, tensors["conv2d_1.weight"].float())
    assert torch.equal(heads.merge[2].depthwise.weight, tensors["separable_conv2d.dw"].float())
    assert torch.equal(heads.heat.hidden.pointwise.bias, tensors["kpt_heatmap_0.bias"].float())
    assert torch.equal(heads.offset.output.weight, tensors["kpt_offset_0.out_weight"].float())


@pytest.mark.parametrize("spoiled", ["missing", "unexpected", "misshapen"])
def test_a_checkpoint_that_does_not_fit_changes_nothing(spoiled: str) -> None:
    heads, tensors = PoseHeads(CHANNELS), foreign(0)
    if spoiled == "missing":
        del tensors["center_0.pw"]
    elif spoiled == "unexpected":
        tensors["center_1.pw"] = tensors["center_0.pw"]
    else:
        tensors["conv2d.bias"] = torch.zeros(3)
    before = {name: tensor.clone() for name, tensor in heads.state_dict().items()}
    with pytest.raises(CheckpointMismatch, match=spoiled.replace("misshapen", "of another shape")):
        load_movenet(heads, tensors)
    assert all(torch.equal(before[name], tensor) for name, tensor in heads.state_dict().items())


def blank() -> Tensor:
    """pose_1Chw where there is nothing."""
    return torch.zeros(1, NUM_MAPS, ROWS, COLUMNS)


def decoded(pose_NChw: Tensor) -> Tensor:
    """key_points_NJ3."""
    described_NV = KeyPoints(SIZE)(torch.zeros(len(pose_NChw), 5), pose_NChw)
    assert described_NV.shape == (len(pose_NChw), 5 + 3 * NUM_KEY_POINTS)
    return described_NV[:, 5:].view(-1, NUM_KEY_POINTS, 3)


def test_a_key_point_lies_at_its_hottest_cell_moved_by_its_offset() -> None:
    pose = blank()
    pose[0, 1 + 4, 2, 9] = 0.8  # heat of key point 4
    pose[0, 1 + NUM_KEY_POINTS * 3 + 8 : 1 + NUM_KEY_POINTS * 3 + 10, 2, 9] = torch.tensor([0.5, 0.25])
    y, x, score = decoded(pose)[0, 4].tolist()
    assert (y, x, score) == pytest.approx((2.5 / ROWS, 9.25 / COLUMNS, 0.8))


def test_a_map_is_read_between_its_four_cells_nearest_to_the_key_point() -> None:
    """As torch's own sampling reads, which not every runtime has; at the edge as in the outermost cell."""
    torch.manual_seed(0)
    poses, maps = torch.rand(3, NUM_MAPS, ROWS, COLUMNS), [torch.rand(3, 5, ROWS, COLUMNS), torch.rand(3, 2, 2, 4)]
    poses[:, 1 + NUM_KEY_POINTS * 3 :] *= 8  # offsets that reach beyond the image
    points_NJ3 = decoded(poses)
    described_NV = KeyPoints(SIZE)(torch.zeros(3, 5), poses, *maps)
    assert torch.equal(described_NV[:, -3 * NUM_KEY_POINTS :], points_NJ3.flatten(1))
    grid_NJ12 = (2 * points_NJ3[:, :, [1, 0]] - 1)[:, :, None]
    wanted = [
        grid_sample(one, grid_NJ12, padding_mode="border", align_corners=False)[..., 0].transpose(1, 2).flatten(1)
        for one in maps
    ]
    assert points_NJ3[..., :2].max() > 1
    torch.testing.assert_close(described_NV[:, 5 : -3 * NUM_KEY_POINTS], torch.cat(wanted, dim=1))


def test_of_two_places_the_one_where_the_centre_expects_it_is_taken() -> None:
    pose = blank()
    pose[0, 0, 4, 8] = 0.9  # the centre
    regression = 1 + NUM_KEY_POINTS
    pose[0, regression : regression + 2, 4, 8] = torch.tensor([-3.0, 4.0])  # of key point 0: cell (1, 12)
    pose[0, 1, 1, 12] = 0.5
    pose[0, 1, 6, 2] = 0.9
    assert decoded(pose)[0, 0].tolist() == pytest.approx([1 / ROWS, 12 / COLUMNS, 0.5])


def test_images_are_decoded_each_by_itself() -> None:
    torch.manual_seed(0)
    poses = torch.rand(3, NUM_MAPS, ROWS, COLUMNS)
    alone = torch.cat([decoded(poses[i : i + 1]) for i in range(3)])
    assert torch.equal(decoded(poses), alone)


def test_with_the_padding_it_was_trained_with_movenet_is_surer_of_a_drawn_figure() -> None:
    files = [WEIGHTS / f"{name}.safetensors" for name in ("mobilenet_v2_movenet_lightning", "movenet_heads_lightning")]
    if not all(file.exists() for file in files):
        pytest.skip("needs MoveNet's weights, which are not part of this repository")
    scores = {}
    for padding in ("same", "symmetric"):
        backbone = MobileNetV2(padding=padding).eval()  # type: ignore[arg-type]
        load_backbone(backbone, load_file(files[0]), drop_head=True)
        heads = PoseHeads(backbone.channels).eval()
        load_movenet(heads, load_file(files[1]))
        with torch.inference_mode():
            pose = heads(backbone.maps(figure(), (3, 6, 10, 18)))
        scores[padding] = float(pose[0, 1 : 1 + NUM_KEY_POINTS].amax(dim=(1, 2)).mean())
    assert scores["same"] > 1.2 * scores["symmetric"]


def figure() -> Tensor:
    """A stick figure of 192 px, normalised."""
    image = np.full((192, 192, 3), 180.0)
    yy, xx = np.mgrid[:192, :192]
    image[(yy - 40) ** 2 + (xx - 96) ** 2 < 14**2] = (200, 150, 120)
    image[54:110, 80:112] = (40, 40, 120)
    image[110:170, 80:92] = image[110:170, 100:112] = (30, 30, 30)
    image[58:100, 66:76] = image[58:100, 116:126] = (200, 150, 120)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return torch.from_numpy(((image / 255 - mean) / std).transpose(2, 0, 1)[None].copy()).float()


def test_of_equals_the_mean_is_taken_and_a_little_more_moves_it_a_little() -> None:
    """A hard choice would be another one on every machine."""
    pose = blank()
    pose[0, 0, 4, 8] = 0.9
    regression = 1 + NUM_KEY_POINTS
    pose[0, regression : regression + 2, 4, 8] = torch.tensor([0.0, 2.0])  # of key point 0: half-way between the two
    pose[0, 1, 4, 8] = pose[0, 1, 4, 12] = 0.5
    even = decoded(pose)[0, 0]
    assert even.tolist() == pytest.approx([4 / ROWS, 10 / COLUMNS, 0.5], abs=1e-4)
    pose[0, 1, 4, 12] = 0.5001
    assert 0 < float(decoded(pose)[0, 0, 1] - even[1]) < 0.001
