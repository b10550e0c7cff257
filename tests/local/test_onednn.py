"""oneDNN's products in place of the BLAS's: the same numbers, and a model that stays as it was."""

import pytest
import torch

from adafuse.local.onednn import OneDnnLinear

COUNTS = (1, 2, 3, 4, 5, 16, 63, 64, 65)


def model(bias: bool = True) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(24, 40, bias=bias), torch.nn.Linear(40, 7)).eval()


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_products_are_those_of_torch(bias: bool) -> None:
    layers = model(bias)
    products = OneDnnLinear(layers)
    for count in COUNTS:
        states = torch.randn(1, count, 24)
        expected = layers(states)
        with products.used():
            found = layers(states)
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected)
        pair = torch.randn(2, count, 24)
        with products.used():
            torch.testing.assert_close(layers(pair), layers(pair))


def test_the_model_is_as_it_was_also_after_an_error() -> None:
    layers = model()
    products = OneDnnLinear(layers)
    layers[1].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), products.used():
        layers(torch.randn(1, 2, 24))
    assert not any("forward" in vars(layer) for layer in layers)


def test_what_is_not_a_plain_float32_layer_stays_as_it_is() -> None:
    class Other(torch.nn.Linear):
        pass

    wrapped = torch.nn.Linear(4, 4)
    wrapped.forward = wrapped.forward  # type: ignore[method-assign]  # as accelerate's hooks do
    half = torch.nn.Linear(4, 4, dtype=torch.bfloat16)
    layers = torch.nn.Sequential(Other(4, 4), wrapped, half)
    own = wrapped.forward
    with OneDnnLinear(layers).used():
        assert "forward" not in vars(layers[0])
        assert vars(wrapped)["forward"] is own
        assert "forward" not in vars(half)
    assert wrapped.forward is own
