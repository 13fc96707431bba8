"""What a careful user of torch would write by hand: the rival of the training loop."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Plain", "WithShortcuts", "train"]


class Plain(nn.Module):
    """Linear layers, an activation after each hidden one, none after the code and the output."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], code: int, activation: type[nn.Module]):
        super().__init__()
        self.encoder = nn.Sequential(*_layers((inputs, *hidden), activation))
        self.code = nn.Linear(hidden[-1], code)
        self.decoder = nn.Sequential(*_layers((code, *hidden[::-1]), activation), nn.Linear(hidden[0], inputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.code(self.encoder(x)))


class WithShortcuts(Plain):
    """The same with the linear path past encoder and decoder that our networks have by default."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], code: int, activation: type[nn.Module]):
        super().__init__(inputs, hidden, code, activation)
        self.past_encoder = nn.Linear(inputs, hidden[-1])
        self.scale = nn.Parameter(torch.zeros(hidden[-1]))
        self.past_decoder = nn.Linear(code, inputs)

    def forward(self, x: Tensor) -> Tensor:
        z = self.code(torch.addcmul(self.past_encoder(x), self.encoder(x), self.scale))
        return self.decoder(z) + self.past_decoder(z)


def _layers(widths: tuple[int, ...], activation: type[nn.Module]) -> list[nn.Module]:
    pairs = zip(widths, widths[1:], strict=False)
    return [layer for before, after in pairs for layer in (nn.Linear(before, after), activation())]


def train(network: nn.Module, rows: Tensor, batch_size: int, epochs: int, learning_rate: float = 1e-3) -> None:
    """Train as the tutorials do at their best: rows in one tensor, an index a batch, fused Adam."""
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(rows))
        for begin in range(0, len(rows), batch_size):
            x = rows[order[begin : begin + batch_size]]
            loss = F.mse_loss(network(x), x)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
