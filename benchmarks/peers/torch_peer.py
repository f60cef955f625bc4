"""Federated averaging in plain PyTorch: client after client (``loop``), or all at once by ``torch.func`` (``vmap``).

    python benchmarks/peers/torch_peer.py --how vmap --protocol 64x10x32 --device auto --tune
    python benchmarks/peers/torch_peer.py --how loop --protocol cifar10 --setting '{"processes": 2, "threads": 1}'

A setting may have ``threads`` and ``processes`` (each trains a share of the cohort; sums of parameters are returned
through shared memory), ``width`` (clients vmapped at a time; 0 for all), ``patches`` (convolutions as patches times a
matrix), ``channels_last``, ``sgd`` ("foreach": written here; "fused": torch.optim), ``compile`` (torch.compile) and
``graph`` (a CUDA graph of all steps of a client, or of ``width`` clients).
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
from work import Data, Outcome, Protocol, Setting, batches, cohorts, load, main, peer_parser

Train = Callable[[Tensor, Tensor], Tensor]
"""rows int64[W, S, B] of the pool, the shared parameters [P] -> the sum of W clients' parameters [P]."""


class Workspace:
    """A network whose parameters are views of one vector, and all samples, on the device."""

    def __init__(self, protocol: Protocol, setting: Setting, device: str):
        self.protocol, self.device = protocol, device
        self.model = network(protocol, setting.get("patches", False)).to(device)
        self.flat = nn.utils.parameters_to_vector(self.model.parameters()).detach()
        nn.utils.vector_to_parameters(self.flat, self.model.parameters())
        self.channels_last = setting.get("channels_last", False)
        data = load(protocol)
        self.x, self.y = self.place(data.x.reshape(-1, *protocol.shape), data.y.ravel())

    def place(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
        """Put samples on the device, channels first; in memory too, unless ``channels_last``.

        Args:
            x: float32[N, ...], channels last.
            y: int64[N], labels.
        """
        moved = torch.from_numpy(x).to(self.device)
        moved = moved.movedim(-1, 1) if self.channels_last else channels_first(moved)
        return moved, torch.from_numpy(y).to(self.device)

    def probe_loss(self, data: Data, params: Tensor) -> float:
        """The loss on samples that nobody trains on.

        Args:
            data: the protocol's data.
            params: float32[P], the parameters.
        """
        self.flat.copy_(params)
        return loss_on(self.model, *self.place(data.probe_x, data.probe_y))


def train_sequentially(workspace: Workspace, setting: Setting) -> Train:
    """Train client after client.

    Args:
        workspace: network and samples.
        setting: the setting.
    """
    model, protocol = workspace.model, workspace.protocol
    params = list(model.parameters())
    optimizer = torch.optim.SGD(params, lr=protocol.lr, fused=True)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(x), y)

    loss = torch.compile(loss_of) if setting.get("compile") else loss_of

    def step_foreach(rows: Tensor) -> None:
        gradient = torch.autograd.grad(loss(workspace.x[rows], workspace.y[rows]), params)
        with torch.no_grad():
            torch._foreach_add_(params, gradient, alpha=-protocol.lr)

    def step_fused(rows: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(workspace.x[rows], workspace.y[rows]).backward()
        optimizer.step()

    step = step_fused if setting.get("sgd") == "fused" else step_foreach

    def train(rows: Tensor, start: Tensor) -> Tensor:
        total = torch.zeros_like(start)
        for client in rows:
            workspace.flat.copy_(start)
            for batch in client:
                step(batch)
            total += workspace.flat
        return total

    return train


def train_vmapped(workspace: Workspace, setting: Setting) -> Train:
    """Train all clients of a chunk together: the gradient of one client's loss is vmapped over clients.

    Args:
        workspace: network and samples.
        setting: the setting.
    """
    model, lr = workspace.model, workspace.protocol.lr
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    sizes = [shape.numel() for shape in shapes.values()]

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, params, (x,)), y)

    gradient = vmap(grad(loss), randomness="different")

    def descend(params: dict[str, Tensor], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        gradients = gradient(params, x, y)
        return {name: params[name] - lr * gradients[name] for name in params}

    step = torch.compile(descend) if setting.get("compile") else descend

    @torch.no_grad()
    def train(rows: Tensor, start: Tensor) -> Tensor:
        parts = zip(shapes.items(), start.split(sizes), strict=True)
        params = {name: part.view(shape).repeat(len(rows), *[1] * len(shape)) for (name, shape), part in parts}
        for chosen in rows.unbind(1):
            params = step(params, workspace.x[chosen], workspace.y[chosen])
        return torch.cat([leaf.sum(0).flatten() for leaf in params.values()])

    return train


def with_cuda_graphs(train: Train) -> Train:
    """Capture training in a CUDA graph for each number of clients, and replay it."""
    graphs: dict[int, tuple] = {}

    def capture(rows: Tensor, start: Tensor) -> tuple:
        rows, start = rows.clone(), start.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                train(rows, start)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            total = train(rows, start)
        return graph, rows, start, total

    def replay(rows: Tensor, start: Tensor) -> Tensor:
        if len(rows) not in graphs:
            graphs[len(rows)] = capture(rows, start)
        graph, graph_rows, graph_start, total = graphs[len(rows)]
        graph_rows.copy_(rows)
        graph_start.copy_(start)
        graph.replay()
        return total

    return replay


class ClientTrainer:
    """Trains a share of a cohort in this process."""

    def __init__(self, how: str, protocol: Protocol, setting: Setting, device: str, seed: int):
        torch.set_num_threads(setting.get("threads", 1))
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.protocol, self.width = protocol, setting.get("width", 1 if how == "loop" else 0)
        self.rng = np.random.default_rng(seed)
        self.workspace = Workspace(protocol, setting, device)
        self.train = {"loop": train_sequentially, "vmap": train_vmapped}[how](self.workspace, setting)
        if setting.get("graph"):
            self.train = with_cuda_graphs(self.train)

    def __call__(self, clients: np.ndarray, start: Tensor) -> Tensor:
        """Train some clients from ``start``; returns the sum of their parameters, weighted by their samples."""
        rows = batches(self.protocol, self.rng, len(clients)) + clients[:, None, None] * self.protocol.samples
        start = start.to(self.workspace.device)
        total = torch.zeros_like(start)
        for chunk in torch.from_numpy(rows).to(self.workspace.device).split(self.width or len(clients)):
            total.add_(self.train(chunk, start), alpha=self.protocol.samples)
        return total


def run_worker(pipe, total: Tensor, start: Tensor, *options) -> None:
    """Train the clients that the pipe names, until it sends None; the main function of a worker process.

    Args:
        pipe: names the clients, and receives the peak memory.
        total: shared memory for the sum of parameters.
        start: shared memory with the parameters of the server.
        options: arguments of `ClientTrainer`.
    """
    train = ClientTrainer(*options)
    while (clients := pipe.recv()) is not None:
        total.copy_(train(clients, start))
        pipe.send(peak_bytes())


class ProcessPool:
    """Several processes, each of which trains a share of the cohort."""

    def __init__(self, size: int, params: Tensor, *options):
        context = processes.get_context("spawn")
        self.start = params.cpu().clone().share_memory_()
        self.totals = [torch.zeros_like(self.start).share_memory_() for _ in range(size)]
        self.peaks = [0] * size
        self.pipes, workers = [], []
        for number, total in enumerate(self.totals):
            here, there = context.Pipe()
            worker = context.Process(target=run_worker, args=(there, total, self.start, *options, number), daemon=True)
            worker.start()
            there.close()
            self.pipes.append(here)
            workers.append(worker)
        self.workers = workers

    def __call__(self, clients: np.ndarray, start: Tensor) -> Tensor:
        """The sum over the shares of all processes, as `ClientTrainer` returns it."""
        self.start.copy_(start)
        for pipe, share in zip(self.pipes, np.array_split(clients, len(self.pipes)), strict=True):
            pipe.send(share)
        self.peaks = [pipe.recv() for pipe in self.pipes]
        return torch.stack(self.totals).sum(0).to(start.device)

    def close(self) -> None:
        """End the processes."""
        for pipe, worker in zip(self.pipes, self.workers, strict=True):
            pipe.send(None)
            worker.join()


def peak_bytes() -> int:
    """Peak memory of this process on the GPU."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def simulate(how: str, protocol: Protocol, setting: Setting, device: str, rounds: int) -> Outcome:
    """Federated averaging; see `work`."""
    size = setting.get("processes", 1)
    single = ClientTrainer(how, protocol, setting, device, seed=0) if size == 1 else None
    workspace = single.workspace if single else Workspace(protocol, setting, device)
    params, data, drawn = workspace.flat.clone(), load(protocol), cohorts(protocol)
    train = single or ProcessPool(size, params, how, protocol, setting, device)
    before = workspace.probe_loss(data, params)
    ends = [time.time()]
    for clients in (next(drawn) for _ in range(rounds)):
        params = train(clients, params) / (protocol.samples * len(clients))
        if device == "cuda":
            torch.cuda.synchronize()
        ends.append(time.time())
    peak = peak_bytes() + sum(getattr(train, "peaks", ()))
    if isinstance(train, ProcessPool):
        train.close()
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    loss = (before, workspace.probe_loss(data, params))
    return Outcome(ends, count(workspace.model), loss, ("torch", "numpy"), name, round(peak / 2**20, 1) or None)


def settings(how: str, protocol: Protocol, device: str) -> list[Setting]:
    """Settings that are tried; on a GPU those that could leave it unusable come last."""
    listed = {"loop": _loop_settings, "vmap": _vmap_settings}[how](device)
    if protocol.images and how == "loop":
        listed.insert(1, listed[0] | {"channels_last": True})
    return listed


def _loop_settings(device: str) -> list[Setting]:
    if device == "cuda":
        return [{"sgd": "foreach"}, {"sgd": "fused"}, {"processes": 8}, {"compile": True}, {"graph": True}]
    two_processes = {"processes": 2, "threads": 1}
    return [
        two_processes,
        two_processes | {"sgd": "fused"},
        two_processes | {"patches": True},
        two_processes | {"compile": True},
        {"threads": 2},
    ]


def _vmap_settings(device: str) -> list[Setting]:
    patches: Setting = {"patches": True}
    if device == "cuda":
        graph = patches | {"graph": True}
        return [{}, patches, patches | {"compile": True}, graph, graph | {"width": 64}, graph | {"compile": True}]
    two_processes = {"processes": 2, "threads": 1}
    chunks = [two_processes | {"width": 8}, two_processes | patches | {"width": 8}]
    compiled = [two_processes | {"compile": True}, two_processes | patches | {"compile": True}]
    return [two_processes, two_processes | patches, *chunks, *compiled, patches | {"threads": 2}]


if __name__ == "__main__":
    command = peer_parser(__doc__)
    command.add_argument("--how", choices=("loop", "vmap"), required=True)
    arguments = command.parse_args()
    if arguments.device == "auto":
        arguments.device = "cuda" if torch.cuda.is_available() else "cpu"
    main(
        f"torch-{arguments.how}",
        functools.partial(settings, arguments.how),
        functools.partial(simulate, arguments.how),
        arguments,
    )
