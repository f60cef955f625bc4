"""Federated averaging in plain PyTorch: client after client (``loop``), or all at once under ``torch.func`` (``vmap``).

    python benchmarks/peers/torch_peer.py --how vmap --protocol 64x10x32 --device auto --tune
    python benchmarks/peers/torch_peer.py --how loop --protocol cifar10 --setting '{"processes": 2, "threads": 1}'

What a setting may say: ``threads`` and ``processes`` (each trains a share of the cohort; sums of parameters come back
through shared memory), ``width`` (clients vmapped at a time; 0: all), ``patches`` (convolutions as patches times a
matrix), ``channels_last``, ``sgd`` ("foreach": by hand; "fused": torch.optim), ``compile`` (torch.compile), ``graph``
(a CUDA graph of all steps of a client, or of ``width`` clients).
"""

import functools
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.multiprocessing as processes
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch_networks import channels_first, count, loss_on, network
from work import Data, Outcome, Protocol, Setting, batches, cohorts, load, main, parser

Train = Callable[[Tensor, Tensor], Tensor]
"""rows int64[W, S, B] of the pool, the shared parameters [P] -> the sum of W clients' parameters [P]."""


class Shelf:
    """A network whose parameters are views of one vector, and all samples on the device."""

    def __init__(self, protocol: Protocol, setting: Setting, device: str):
        self.protocol, self.device = protocol, device
        self.model = network(protocol, setting.get("patches", False)).to(device)
        self.flat = nn.utils.parameters_to_vector(self.model.parameters()).detach()
        nn.utils.vector_to_parameters(self.flat, self.model.parameters())
        self.channels_last = setting.get("channels_last", False)
        data = load(protocol)
        self.x, self.y = self.place(data.x.reshape(-1, *protocol.shape), data.y.ravel())

    def place(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
        """Samples on the device, channels first (in memory too, unless ``channels_last``)."""
        moved = torch.from_numpy(x).to(self.device)
        moved = moved.movedim(-1, 1) if self.channels_last else channels_first(moved)
        return moved, torch.from_numpy(y).to(self.device)

    def probe_loss(self, data: Data, params: Tensor) -> float:
        """The loss of ``params`` on samples that nobody trains on."""
        self.flat.copy_(params)
        return loss_on(self.model, *self.place(data.probe_x, data.probe_y))


def one_by_one(shelf: Shelf, setting: Setting) -> Train:
    """The plain loop."""
    model, protocol = shelf.model, shelf.protocol
    params = list(model.parameters())
    optimizer = torch.optim.SGD(params, lr=protocol.lr, fused=True)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(x), y)

    loss = torch.compile(loss_of) if setting.get("compile") else loss_of

    def by_hand(rows: Tensor) -> None:
        slope = torch.autograd.grad(loss(shelf.x[rows], shelf.y[rows]), params)
        with torch.no_grad():
            torch._foreach_add_(params, slope, alpha=-protocol.lr)

    def by_optimizer(rows: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(shelf.x[rows], shelf.y[rows]).backward()
        optimizer.step()

    step = by_optimizer if setting.get("sgd") == "fused" else by_hand

    def train(rows: Tensor, start: Tensor) -> Tensor:
        total = torch.zeros_like(start)
        for client in rows:
            shelf.flat.copy_(start)
            for batch in client:
                step(batch)
            total += shelf.flat
        return total

    return train


def together(shelf: Shelf, setting: Setting) -> Train:
    """All clients of a chunk at once: gradients of one client's loss, vmapped over the clients' own parameters."""
    model, lr = shelf.model, shelf.protocol.lr
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    sizes = [shape.numel() for shape in shapes.values()]

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, params, (x,)), y)

    gradient = vmap(grad(loss), randomness="different")

    def descend(params: dict[str, Tensor], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        slope = gradient(params, x, y)
        return {name: params[name] - lr * slope[name] for name in params}

    step = torch.compile(descend) if setting.get("compile") else descend

    @torch.no_grad()
    def train(rows: Tensor, start: Tensor) -> Tensor:
        parts = zip(shapes.items(), start.split(sizes), strict=True)
        params = {name: part.view(shape).repeat(len(rows), *[1] * len(shape)) for (name, shape), part in parts}
        for chosen in rows.unbind(1):
            params = step(params, shelf.x[chosen], shelf.y[chosen])
        return torch.cat([leaf.sum(0).flatten() for leaf in params.values()])

    return train


def captured(train: Train) -> Train:
    """The same as a CUDA graph, one for each number of clients."""
    graphs: dict[int, tuple] = {}

    def capture(rows: Tensor, start: Tensor) -> tuple:
        rows, start = rows.clone(), start.clone()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                train(rows, start)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            total = train(rows, start)
        return graph, rows, start, total

    def replay(rows: Tensor, start: Tensor) -> Tensor:
        if len(rows) not in graphs:
            graphs[len(rows)] = capture(rows, start)
        graph, given_rows, given_start, total = graphs[len(rows)]
        given_rows.copy_(rows)
        given_start.copy_(start)
        graph.replay()
        return total

    return replay


class Clients:
    """A share of a cohort, trained in this process."""

    def __init__(self, how: str, protocol: Protocol, setting: Setting, device: str, seed: int):
        torch.set_num_threads(setting.get("threads", 1))
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.protocol, self.width = protocol, setting.get("width", 1 if how == "loop" else 0)
        self.rng = np.random.default_rng(seed)
        self.shelf = Shelf(protocol, setting, device)
        self.train = {"loop": one_by_one, "vmap": together}[how](self.shelf, setting)
        if setting.get("graph"):
            self.train = captured(self.train)

    def __call__(self, clients: np.ndarray, start: Tensor) -> Tensor:
        """The sum of these clients' parameters after their local steps from ``start``, weighted by their samples."""
        rows = batches(self.protocol, self.rng, len(clients)) + clients[:, None, None] * self.protocol.samples
        start = start.to(self.shelf.device)
        total = torch.zeros_like(start)
        for part in torch.from_numpy(rows).to(self.shelf.device).split(self.width or len(clients)):
            total.add_(self.train(part, start), alpha=self.protocol.samples)
        return total


def serve(pipe, total: Tensor, start: Tensor, *how) -> None:
    """A further process: train the clients that the pipe names, until it names none."""
    train = Clients(*how)
    while (clients := pipe.recv()) is not None:
        total.copy_(train(clients, start))
        pipe.send(peak_bytes())


class Team:
    """Several processes, each with a share of the cohort."""

    def __init__(self, size: int, params: Tensor, *how):
        context = processes.get_context("spawn")
        self.start = params.cpu().clone().share_memory_()
        self.totals = [torch.zeros_like(self.start).share_memory_() for _ in range(size)]
        self.peaks = [0] * size
        self.pipes, members = [], []
        for number, total in enumerate(self.totals):
            mine, theirs = context.Pipe()
            member = context.Process(target=serve, args=(theirs, total, self.start, *how, number), daemon=True)
            member.start()
            theirs.close()
            self.pipes.append(mine)
            members.append(member)
        self.members = members

    def __call__(self, clients: np.ndarray, start: Tensor) -> Tensor:
        """What `Clients` returns, of all processes together."""
        self.start.copy_(start)
        for pipe, share in zip(self.pipes, np.array_split(clients, len(self.pipes)), strict=True):
            pipe.send(share)
        self.peaks = [pipe.recv() for pipe in self.pipes]
        return torch.stack(self.totals).sum(0).to(start.device)

    def close(self) -> None:
        """End the processes."""
        for pipe, member in zip(self.pipes, self.members, strict=True):
            pipe.send(None)
            member.join()


def peak_bytes() -> int:
    """Most memory that this process has had of the GPU."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def simulate(how: str, protocol: Protocol, setting: Setting, device: str, rounds: int) -> Outcome:
    """Federated averaging for so many rounds."""
    size = setting.get("processes", 1)
    alone = Clients(how, protocol, setting, device, seed=0) if size == 1 else None
    shelf = alone.shelf if alone else Shelf(protocol, setting, device)
    params, data, drawn = shelf.flat.clone(), load(protocol), cohorts(protocol)
    train = alone or Team(size, params, how, protocol, setting, device)
    before = shelf.probe_loss(data, params)
    ends = [time.time()]
    for clients in (next(drawn) for _ in range(rounds)):
        params = train(clients, params) / (protocol.samples * len(clients))
        if device == "cuda":
            torch.cuda.synchronize()
        ends.append(time.time())
    peak = peak_bytes() + sum(getattr(train, "peaks", ()))
    if isinstance(train, Team):
        train.close()
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    loss = (before, shelf.probe_loss(data, params))
    return Outcome(ends, count(shelf.model), loss, ("torch", "numpy"), name, round(peak / 2**20, 1) or None)


def settings(how: str, protocol: Protocol, device: str) -> list[Setting]:
    """Settings worth trying; on a GPU those last that could leave it unusable for the next one."""
    found = {"loop": _loop_settings, "vmap": _vmap_settings}[how](device)
    if protocol.images and how == "loop":
        found.insert(1, found[0] | {"channels_last": True})
    return found


def _loop_settings(device: str) -> list[Setting]:
    if device == "cuda":
        return [{"sgd": "foreach"}, {"sgd": "fused"}, {"processes": 8}, {"compile": True}, {"graph": True}]
    two = {"processes": 2, "threads": 1}
    return [two, two | {"sgd": "fused"}, two | {"patches": True}, two | {"compile": True}, {"threads": 2}]


def _vmap_settings(device: str) -> list[Setting]:
    patches: Setting = {"patches": True}
    if device == "cuda":
        graph = patches | {"graph": True}
        return [{}, patches, patches | {"compile": True}, graph, graph | {"width": 64}, graph | {"compile": True}]
    two = {"processes": 2, "threads": 1}
    chunks = [two | {"width": 8}, two | patches | {"width": 8}]
    compiled = [two | {"compile": True}, two | patches | {"compile": True}]
    return [two, two | patches, *chunks, *compiled, patches | {"threads": 2}]


if __name__ == "__main__":
    command = parser(__doc__)
    command.add_argument("--how", choices=("loop", "vmap"), required=True)
    given = command.parse_args()
    if given.device == "auto":
        given.device = "cuda" if torch.cuda.is_available() else "cpu"
    main(
        f"torch-{given.how}",
        functools.partial(settings, given.how),
        functools.partial(simulate, given.how),
        given,
    )
