"""Views in one pass against views in passes of their own: outputs, gradients and running statistics."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from pipeline.classifiers.backbones import resnet32, small
from pipeline.classifiers.views_norm import in_one_pass
from pipeline.errors import InputError

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def projection():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4))


def unusual():
    """Batch norms without momentum (a running mean of all batches), without running statistics, and a frozen one."""
    frozen = nn.BatchNorm2d(6, affine=False)
    frozen.running_mean.fill_(0.5)
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, momentum=None), nn.BatchNorm2d(6, track_running_stats=False)]
    return nn.Sequential(*layers, frozen, nn.AdaptiveAvgPool2d(2), nn.Flatten())


NETWORKS = {
    "resnet32": lambda: resnet32.build("resnet32", 4),
    "small": lambda: small.build("small", 8),
    "resnet18": resnet18,
    "projection": projection,
    "unusual": unusual,
}


def network(name, layout="contiguous", dtype=torch.float64):
    torch.manual_seed(0)
    made = NETWORKS[name]().to(dtype=dtype, memory_format=LAYOUTS[layout]).train()
    if name == "unusual":
        made[3].eval()
    return made


def different_views(count, layout="contiguous", dtype=torch.float64, side=8):
    """Views whose statistics differ a lot."""
    torch.manual_seed(1)
    views = [(1 + i) * torch.randn(6, 3, side, side, dtype=dtype) + i for i in range(count)]
    return [view.contiguous(memory_format=LAYOUTS[layout]) for view in views]


def apart(module, views):
    return [module(view) for view in views]


def results(way, module, views):
    """Outputs, gradients of parameters and views, and what the module keeps; `module` itself stays as it is."""
    module, views = copy.deepcopy(module), [view.clone().requires_grad_() for view in views]
    outputs = way(module, views)
    weighted = sum(
        (output * (0.3 + i + torch.arange(output.numel()).view_as(output).sin())).sum()
        for i, output in enumerate(outputs)
    )
    weighted.backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    return outputs, gradients, [view.grad for view in views], dict(module.named_buffers())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_one_pass_is_as_good_as_one_for_each_view(name, count, layout):
    module, views = network(name, layout), different_views(count, layout)
    together, separate = results(in_one_pass, module, views), results(apart, module, views)
    assert len(together[0]) == count
    torch.testing.assert_close(together, separate, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_float32_agrees_to_a_millionth(layout):
    module, views = network("resnet32", layout, torch.float32), different_views(4, layout, torch.float32, side=16)
    together, separate = results(in_one_pass, module, views), results(apart, module, views)
    torch.testing.assert_close((together[0], together[3]), (separate[0], separate[3]), rtol=1e-6, atol=1e-6)
    for name, gradient in separate[1].items():  # a sum over all pictures, and here taken in another order
        assert (together[1][name] - gradient).abs().max() <= 1e-5 * gradient.abs().max()


def test_autocast_agrees_as_far_as_bfloat16_tells_numbers_apart():
    def under_autocast(way):
        def both(module, views):
            with torch.autocast("cpu", torch.bfloat16):
                return way(module, views)

        return both

    module, views = network("small", dtype=torch.float32), different_views(4, dtype=torch.float32)
    together, separate = (results(under_autocast(way), module, views) for way in (in_one_pass, apart))
    torch.testing.assert_close(together[0], separate[0], rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(together[3], separate[3], rtol=1e-2, atol=1e-2)
    ours, theirs = (torch.cat([gradient.flatten() for gradient in found[1].values()]) for found in (together, separate))
    assert (ours - theirs).norm() < 0.02 * theirs.norm()


def test_shared_statistics_would_be_something_else():
    """Else the comparisons above would prove nothing."""
    module, views = network("small"), different_views(4)
    plain = results(lambda module, views: module(torch.cat(views)).chunk(4), module, views)
    assert (plain[0][0] - results(apart, module, views)[0][0]).abs().max() > 0.1


@pytest.mark.parametrize("name", ["resnet32", "projection"])
def test_in_evaluation_mode_it_is_the_plain_pass(name):
    module, views = network(name).eval(), different_views(4)
    before = copy.deepcopy(module.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(
            torch.cat(in_one_pass(module, views)), module(torch.cat(views)), rtol=1e-12, atol=1e-12
        )
    assert all(value.equal(before[name]) for name, value in module.state_dict().items())


def test_every_convolution_runs_once_on_all_views():
    module, rows = network("resnet32"), []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _module, given, _output: rows.append(len(given[0])))
    in_one_pass(module, different_views(4))
    assert rows == [24] * 31


def test_afterwards_the_module_is_itself_again():
    module, views = network("small"), different_views(2)
    untouched = copy.deepcopy(module)
    in_one_pass(module, views)
    apart(untouched, views)
    assert all(
        vars(one).keys() == vars(other).keys() for one, other in zip(module.modules(), untouched.modules(), strict=True)
    )
    both = torch.cat(views)
    torch.testing.assert_close(module(both), untouched(both))


def test_a_failure_inside_leaves_the_module_as_it_was():
    module, views = network("small"), different_views(2)

    def fail(*_):
        raise RuntimeError("inside")

    hook = module[3].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="inside"):
        in_one_pass(module, views)
    hook.remove()
    assert not any("forward" in vars(layer) for layer in module.modules())
    torch.testing.assert_close(results(in_one_pass, module, views), results(apart, module, views))


def test_views_of_several_shapes_are_refused():
    with pytest.raises(InputError, match=r"views of shapes .*\(5, 3, 8, 8\), \(6, 3, 8, 8\)"):
        in_one_pass(network("small"), [*different_views(1), different_views(1)[0][:5]])
