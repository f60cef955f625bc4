"""The two networks in PyTorch. Needs PyTorch only; Flower, pfl-research and FLSim use them too."""

import itertools

import torch
from torch import Tensor, nn
from work import Protocol


class PatchConv1d(nn.Conv1d):
    """The same convolution as patches times a matrix: under ``vmap`` it stays a batched matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, T] -> [B, channels, T']``."""
        padding, (kernel,), (stride,) = self.padding[0], self.kernel_size, self.stride
        x = nn.functional.pad(x, (padding, padding))
        last = (x.shape[-1] - kernel) // stride * stride + 1
        patches = torch.stack([x[..., tap : tap + last : stride] for tap in range(kernel)], dim=2)
        product = patches.flatten(1, 2).transpose(1, 2) @ self.weight.flatten(1).t() + self.bias
        return product.transpose(1, 2)


class PatchConv2d(nn.Conv2d):
    """The same in two dimensions, without padding and with stride 1."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, H, W] -> [B, channels, H', W']``."""
        height, width = (size - kernel + 1 for size, kernel in zip(x.shape[-2:], self.kernel_size, strict=True))
        taps = itertools.product(*map(range, self.kernel_size))
        patches = torch.stack([x[..., row : row + height, left : left + width] for row, left in taps], dim=2)
        product = patches.flatten(1, 2).flatten(2).transpose(1, 2) @ self.weight.flatten(1).t() + self.bias
        return product.transpose(1, 2).unflatten(2, (height, width))


def network(protocol: Protocol, patches: bool = False) -> nn.Sequential:
    """The protocol's network, channels first, with the same initial parameters for every peer that uses PyTorch.

    Args:
        protocol: the protocol.
        patches: whether convolutions are patches times a matrix.
    """
    torch.manual_seed(0)
    return _images(protocol, patches) if protocol.images else _windows(protocol, patches)


def _windows(protocol: Protocol, patches: bool) -> nn.Sequential:
    conv = PatchConv1d if patches else nn.Conv1d
    length, leads = protocol.shape
    return nn.Sequential(
        conv(leads, 16, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.MaxPool1d(2),
        conv(16, 32, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(32 * length // 16, 64),
        nn.ReLU(),
        nn.Linear(64, protocol.classes),
    )


def _images(protocol: Protocol, patches: bool) -> nn.Sequential:
    """The network of pfl-research's CIFAR10 benchmark (Granqvist et al., NeurIPS 2024)."""
    conv = PatchConv2d if patches else nn.Conv2d
    height, width, channels = protocol.shape
    layers = nn.Sequential(
        conv(channels, 32, 3),
        nn.ReLU(),
        conv(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, protocol.classes),
    )
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return layers


def count(model: nn.Module) -> int:
    """P, the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def channels_first(x: Tensor) -> Tensor:
    """Make the last axis of ``[N, time, leads]`` or ``[N, height, width, channels]`` the second one, in memory too."""
    return x.movedim(-1, 1).contiguous()


@torch.no_grad()
def loss_on(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Mean cross-entropy without dropout.

    Args:
        model: the network.
        x: samples, channels first.
        y: int64[N], labels.
    """
    model.eval()
    loss = nn.functional.cross_entropy(model(x), y).item()
    model.train()
    return loss
