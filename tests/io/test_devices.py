"""The device that is asked for, or a word on why not."""

from __future__ import annotations

import pytest
import torch

from emoprune.errors import Unavailable
from emoprune.io import devices


def test_device_is_the_one_asked_for() -> None:
    assert devices.device("cpu") == torch.device("cpu")
    assert devices.device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_device_refuses_cuda_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Unavailable, match="`device=cuda`: "):
        devices.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.device("cuda") == devices.device("auto") == torch.device("cuda")
