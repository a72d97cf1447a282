import numpy as np
import pytest
import torch

from dfd.faces.descriptor import BLOCKS, CHIP, RGB, Block, DescriptorNetwork


def write_dlib(path):
    """Write a file like `dfd weights identity` does, with random values."""
    torch.manual_seed(0)
    torch.save(DescriptorNetwork().state_dict(), path)
    return path


def constant(net, **values):
    """The network with all parameters 0 except those named."""
    state = {name: torch.zeros_like(tensor) for name, tensor in net.state_dict().items()}
    net.load_state_dict(state | {name.replace("__", "."): torch.as_tensor(v).float() for name, v in values.items()})
    return net.eval()


def test_eyes_in_a_chip_are_level_and_53_pixels_apart():
    assert CHIP.shape == (5, 2)
    assert CHIP[0, 1] == CHIP[1, 1] == pytest.approx(46.6, abs=0.01)
    assert CHIP[1, 0] - CHIP[0, 0] == pytest.approx(52.93, abs=0.01)
    assert CHIP[[3, 4], 1] == pytest.approx([103.02, 103.02], abs=0.01)


def test_a_descriptor_worked_by_hand():
    """The first convolution outputs 2 in each of its 32 channels, and zeroed blocks pass their input on."""
    first = torch.zeros(128, 256)
    first[0, 3], first[1, 40] = 1.0, 1.0
    net = constant(DescriptorNetwork(), conv32_down__bias=np.full(32, 2.0), fc__weight=first)
    chips = torch.randint(0, 256, (2, 3, 150, 150)).float()
    with torch.inference_mode():
        found = net(chips)
    assert found.shape == (2, 128)
    assert found[:, 0].tolist() == [2.0, 2.0]  # a channel from before the first block passes through
    assert found[:, 1:].abs().max() == 0  # the channels that blocks add are 0


def test_the_mean_colour_is_subtracted_and_the_rest_divided_by_256():
    """One filter's centre reads green: 30 above the mean gives 30 / 256."""
    filters, first = torch.zeros(32, 3, 7, 7), torch.zeros(128, 256)
    filters[5, 1, 3, 3], first[7, 5] = 1.0, 1.0
    net = constant(DescriptorNetwork(), conv32_down__weight=filters, fc__weight=first)
    chips = (torch.tensor(RGB) + torch.tensor([9.0, 30.0, 9.0])).view(1, 3, 1, 1).expand(1, 3, 150, 150)
    with torch.inference_mode():
        assert net(chips)[0, 7].item() == pytest.approx(30 / 256, abs=1e-6)
        assert net(chips - 40)[0].abs().max() == 0


@pytest.mark.parametrize(("side", "after"), [(35, 17), (17, 8), (8, 4), (4, 2)])
def test_a_downsampling_block_adds_the_2x2_mean_padded_with_zeros(side, after):
    block = constant(Block(2, 4, down=True), conv2__bias=np.array([1.0, 1.0, 1.0, -1.0]))
    x = torch.rand(1, 2, side, side)
    with torch.inference_mode():
        found = block(x)[0]
    assert found.shape == (4, after, after)
    inside = (side - 3) // 2 + 1  # the size left by a 3x3 convolution without padding
    wanted = x[0, :, : 2 * after, : 2 * after].reshape(2, after, 2, after, 2).mean(dim=(2, 4))
    assert found[:2, :inside, :inside].numpy() == pytest.approx((wanted + 1)[:, :inside, :inside].numpy(), abs=1e-6)
    assert found[:2, inside:].numpy() == pytest.approx(wanted[:, inside:].numpy(), abs=1e-6)  # the shortcut alone
    assert (found[2, :inside, :inside] == 1).all()
    assert (found[2, inside:] == 0).all()
    assert (found[3] == 0).all()


def test_a_block_adds_its_input_to_two_convolutions():
    torch.manual_seed(0)
    block, x = Block(3, 3, down=False), torch.rand(1, 3, 5, 5)
    wanted = block.conv2(block.conv1(x).clamp(min=0)) + x
    assert torch.equal(block(x), wanted.clamp(min=0))


def test_the_network_has_dlibs_29_convolutions():
    convolutions = [layer for layer in DescriptorNetwork().modules() if isinstance(layer, torch.nn.Conv2d)]
    assert (len(convolutions), len(BLOCKS)) == (29, 14)
    assert sum(layer.weight.numel() for layer in convolutions) == 5_571_168  # filters of face-api.js, added up by hand
