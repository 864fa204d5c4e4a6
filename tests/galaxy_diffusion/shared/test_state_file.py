"""The state of a training comes back as it was, and no file can make it reach beyond its own memory."""

import json

import pytest
import torch
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file

from galaxy_diffusion.shared.state_file import fit_to_parameters, read_state, write_state


def small_net() -> torch.nn.Module:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(32, 2))
    return net.to(memory_format=torch.channels_last)


def small_optimizer(net: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=0.1, betas=(0.5, 0.9), fused=True)


def step(net: torch.nn.Module, optimizer: torch.optim.Optimizer, ema: EMAModel) -> None:
    net(torch.ones(1, 3, 4, 4)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    ema.step(net.parameters())


def test_net_optimizer_and_average_go_on_to_the_bit_and_lie_in_memory_as_before(tmp_path):
    def begin():
        net = small_net()
        return net, small_optimizer(net), EMAModel(net.parameters(), foreach=True)

    first, second = begin(), begin()
    step(*first)
    for i, (old, new) in enumerate(zip(first, second, strict=True)):
        write_state(tmp_path / f"{i}.safetensors", old.state_dict())
        new.load_state_dict(read_state(tmp_path / f"{i}.safetensors"))
    fit_to_parameters(second[1])
    step(*first)
    step(*second)
    for old, new in zip(first[0].parameters(), second[0].parameters(), strict=True):
        assert torch.equal(old, new)
        moments = [optimizer.state[weight]["exp_avg"] for optimizer, weight in ((first[1], old), (second[1], new))]
        assert torch.equal(*moments)
        assert moments[0].stride() == moments[1].stride() == old.stride()
    for old, new in zip(first[2].shadow_params, second[2].shadow_params, strict=True):
        assert torch.equal(old, new)
        assert old.stride() == new.stride()


@pytest.mark.parametrize(
    "state",
    [
        {"step": 3, "rate": 0.1 + 0.2, "none": None, "names": ["a", "b"], "of": {0: {"x": torch.arange(3)}}},
        {"": float("inf"), "odd": {"tensor": "x", "dict": [], "stride": 1}},
        [],
        {"empty": torch.zeros(0, 3), "one": torch.tensor(2.5), "bytes": torch.arange(4, dtype=torch.uint8)},
    ],
    ids=["nested", "words", "nothing", "tensors"],
)
def test_a_state_comes_back(state, tmp_path):
    write_state(tmp_path / "a", state)
    found = read_state(tmp_path / "a")
    write_state(tmp_path / "b", found)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert str(found) == str(state)


def test_a_tensor_in_two_places_is_written_once(tmp_path):
    weight = torch.arange(1000.0)
    write_state(tmp_path / "x", {"in": weight, "out": weight.detach()})
    assert all(torch.equal(found, weight) for found in read_state(tmp_path / "x").values())
    assert (tmp_path / "x").stat().st_size < 2 * weight.nbytes


@pytest.mark.parametrize("stride", [[10**9, 1], [0, 0], [-1, 1], [1], "x"])
def test_no_stride_leads_beyond_the_tensor(stride, tmp_path):
    header = json.dumps({"tensor": "x", "stride": stride})
    save_file({"x": torch.ones(2, 3)}, tmp_path / "x.safetensors", metadata={"state": header})
    with pytest.raises((RuntimeError, TypeError)):
        read_state(tmp_path / "x.safetensors")


@pytest.mark.parametrize("value", [torch.zeros(3), torch.zeros(()), torch.zeros(8, 3, 3, 4)])
def test_an_optimizer_whose_state_has_other_shapes_is_refused(value):
    net = small_net()
    optimizer = small_optimizer(net)
    step(net, optimizer, EMAModel(net.parameters()))
    state = optimizer.state_dict()
    state["state"][0]["exp_avg"] = value
    optimizer.load_state_dict(state)
    with pytest.raises(ValueError, match="exp_avg of shape"):
        fit_to_parameters(optimizer)


def test_an_optimizer_whose_state_shares_one_number_gets_memory_of_its_own():
    net = small_net()
    optimizer = small_optimizer(net)
    step(net, optimizer, EMAModel(net.parameters()))
    state = optimizer.state_dict()
    weight = next(net.parameters())
    state["state"][0]["exp_avg"] = torch.zeros(()).expand(weight.shape)
    optimizer.load_state_dict(state)
    fit_to_parameters(optimizer)
    assert optimizer.state[weight]["exp_avg"].stride() == weight.stride()


@pytest.mark.parametrize("damage", ["no setting", "no number", "one beta", "no average"])
def test_an_optimizer_that_lacks_something_is_refused(damage):
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    fit_to_parameters(optimizer)
    if damage == "no setting":
        del optimizer.param_groups[0]["lr"]
    elif damage == "no number":
        optimizer.param_groups[0]["lr"] = "1e-4"
    elif damage == "one beta":
        optimizer.param_groups[0]["betas"] = (0.9,)
    else:
        del optimizer.state[net.bias]["exp_avg"]
    with pytest.raises(ValueError, match=r"no (lr|betas|exp_avg) for a"):
        fit_to_parameters(optimizer)
