"""The trainer of the PPE detector: where PyTorch is installed (it is in no extra that the other tests need)."""

from pathlib import Path

import numpy as np
import pytest

from models.train.ppe_mosaics import Tile
from models.train.ppe_pictures import Piece

torch = pytest.importorskip("torch", reason="NOT CHECKED that the PPE detector's trainer works: pip install 'muki[train-detector]'")


def piece(seed: int) -> Piece:
    """A tile of noise with one bright square, labelled a person."""
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 90, (200, 200, 3)).astype(np.uint8)
    x, y = generator.integers(20, 100, 2)
    image[y : y + 60, x : x + 40] = 230
    return Piece(Tile(f"{seed}", 0, 0, 200, 200), image, np.array([[4, x, y, x + 40, y + 60]], np.float32))


def weights(folder: Path) -> Path:
    """Weights in the shape of FastestDet's, but of chance."""
    from models.train.ppe_network import Detector

    torch.manual_seed(0)
    torch.save(Detector(7).state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    from models.train.ppe_detector import Run

    torch.set_num_threads(1)
    found, start = [piece(seed) for seed in range(8)], weights(tmp_path)
    judge = [(found[0].image, found[0].boxes)]
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    once = Run(found, judge, start, 4, tmp_path / "once")
    once.train(4)
    Run(found, judge, start, 4, tmp_path / "twice").train(2)
    twice = Run(found, judge, start, 4, tmp_path / "twice")
    assert twice.step == 2
    twice.train(4)
    for name, value in once.network.state_dict().items():
        assert torch.equal(value, twice.network.state_dict()[name]), name
    assert any(not torch.equal(value, once.average.state_dict()[name]) for name, value in torch.load(start).items())


def test_what_is_exported_answers_as_the_network_does(tmp_path: Path) -> None:
    import onnxruntime

    from models.train.ppe_card import to_onnx
    from models.train.ppe_network import Detector
    from models.train.ppe_pictures import INPUT

    torch.manual_seed(1)
    network = Detector(7).eval()
    picture = np.random.default_rng(1).random((1, 3, INPUT, INPUT), np.float32)
    (rows,) = onnxruntime.InferenceSession(to_onnx(network)).run(None, {"image": picture})
    with torch.no_grad():
        logits, expected = network(torch.from_numpy(picture))
    assert np.allclose(rows[..., :4] * INPUT, expected.numpy(), atol=1e-2)
    assert np.allclose(rows[..., 4:], logits.sigmoid().numpy(), atol=1e-4)


def test_right_boxes_cost_little_and_wrong_ones_much() -> None:
    from models.train.ppe_loss import Truth, assign, loss
    from models.train.ppe_network import centres

    places = centres((8, 8), 8)
    true = Truth(torch.tensor([[[8.0, 8, 40, 40]]]), torch.tensor([[4]]), torch.tensor([[True]]))
    inside = ((places > 8) & (places < 40)).all(1)
    boxes = torch.cat((places - 4, places + 4), 1)
    boxes[inside] = true.boxes[0, 0]
    logits = torch.full((64, 7), -6.0)
    logits[inside, 4] = 6.0
    good, _, shapes = loss(logits[None], boxes[None], places, true)
    assert shapes < 0.01
    assert good < 0.2
    wrong = logits.clone()
    wrong[~inside, 0] = 6.0
    assert loss(wrong[None], boxes[None], places, true)[0] > 10 * good
    owner, quality = assign(logits[None].sigmoid(), boxes[None], places, true)
    assert set(owner[0][~inside].tolist()) == {-1}
    assert quality[0][owner[0] >= 0].max() == pytest.approx(1.0, abs=1e-3)


def test_a_box_smaller_than_a_place_is_answered_for() -> None:
    from models.train.ppe_loss import Truth, assign
    from models.train.ppe_network import centres

    places = centres((8, 8), 8)
    true = Truth(torch.tensor([[[15.0, 15, 17, 17]]]), torch.tensor([[0]]), torch.tensor([[True]]))
    owner, _ = assign(torch.full((1, 64, 7), 0.01), torch.cat((places - 4, places + 4), 1)[None], places, true)
    assert (owner >= 0).sum() >= 1
