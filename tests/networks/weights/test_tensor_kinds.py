import pytest
import torch
from torch import Tensor

from emoprune.errors import BadCheckpoint
from emoprune.networks.weights.tensor_kinds import dense, form, note_conversions, require_real

OWN, COUNT = torch.zeros(2, 3), torch.tensor(0)


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.ones(2, 3, dtype=torch.complex64), "2x3 complex64, not 2x3 float32"),
        (torch.ones(2, 3, dtype=torch.int8), "2x3 int8"),
        (torch.ones(2, 3, dtype=torch.bool), "2x3 bool"),
        (torch.ones(2, 3, device="meta"), "meta device"),
        (torch.tensor([[1, 2, 3], [4, 5, torch.nan]]), "not finite"),
        (torch.tensor([[1, 2, 3], [4, 5, torch.inf]]).half().to_sparse(), "not finite"),
        (torch.full((2, 3), 1e200, dtype=torch.float64), "not finite"),
    ],
)
def test_require_real_refuses_what_is_not_finite_real_numbers(tensor: Tensor, says: str) -> None:
    with pytest.raises(BadCheckpoint, match=says):
        require_real("w", tensor, OWN)


@pytest.mark.filterwarnings("ignore")
def test_dense_gives_the_numbers_of_every_kind() -> None:
    eye = torch.eye(3)
    quantized = torch.quantize_per_tensor(eye, 0.5, 0, torch.qint8)
    kinds = [eye.double(), eye.bfloat16(), eye.to_sparse(), eye.to_sparse_csr(), quantized]
    for tensor in kinds:
        require_real("w", tensor, eye)
        assert torch.equal(dense(tensor).float(), eye)


def test_require_real_takes_averaged_counts() -> None:
    require_real("n", torch.tensor(3.0), COUNT)
    require_real("n", torch.tensor(3, dtype=torch.int32), COUNT)


def test_note_conversions_counts_each_kind(told: pytest.LogCaptureFixture) -> None:
    note_conversions([OWN.half(), OWN.half(), OWN.to_sparse(), OWN, COUNT], place="w.pth")
    assert told.messages == [
        "w.pth: 2 float16 tensors converted to float32",
        "w.pth: 1 sparse tensor converted to float32",
    ]


def test_form_is_shape_and_kind() -> None:
    assert (form(OWN), form(COUNT)) == ("2x3 float32", "a number int64")
