"""How clients run: the one place that knows a client axis.

A task is written for one client. Clients are laid out as ``[blocks, groups, width]`` in the order of their index:
``width`` of them are vmapped, groups follow one another in a scan that keeps a running sum, and the blocks' sums are
added in order. Blocks are what devices share out, so that on one backend the same bits come out for any number of
devices.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bofl_jax.core.errors import BoflError
from bofl_jax.parallel.options import EngineOptions

Tree = Any

REPLICATED, BY_CLIENT = PartitionSpec(), PartitionSpec("clients")


class ExecutionPlan(NamedTuple):
    """A resolved way to run clients."""

    execution: str  # vmap | map | shard | loop | inside
    width: int  # clients vmapped at a time; 0: all
    devices: int
    blocks: int

    def low_memory(self) -> "ExecutionPlan":
        """The same devices, few pieces of work at a time: for those that need no more at once (predictions)."""
        execution = self.execution if self.execution in ("loop", "inside") else "shard"
        return self._replace(execution=execution, width=1 if self.width == 1 else 64)

    def single_device(self) -> "ExecutionPlan":
        """The same order of clients on one device: for whole runs that devices share out (`map_runs`)."""
        return self._replace(execution="inside", devices=1)

    def mesh(self) -> Mesh:
        """The devices that share out the blocks, as many of each process."""
        processes = range(jax.process_count())
        each = self.devices // len(processes)
        return Mesh(np.array([jax.local_devices(process)[:each] for process in processes]).ravel(), ("clients",))

    def replicated(self) -> NamedSharding:
        """Everything on every device."""
        return NamedSharding(self.mesh(), REPLICATED)

    def replicate(self, tree: Tree) -> Tree:
        """Put a pytree, which every process has, on every device of the plan."""
        if self.execution == "loop":
            return jax.tree.map(jnp.asarray, tree)
        whole = self.replicated()
        if whole.is_fully_addressable:
            return jax.device_put(tree, whole)
        return jax.tree.map(functools.partial(_on_all, whole), tree)

    def put_round_inputs(self, tree: Tree) -> Tree:
        """Give programs what is new in every round: in one go, as each transfer has its price."""
        return jax.device_put(tree) if jax.process_count() == 1 else self.replicate(tree)


class ClientOutputs(NamedTuple):
    """What came out of all clients."""

    total: Tree  # [blocks, ...], every block's weighted sum of contributions
    weight: jax.Array  # float32[blocks], every block's sum of weights
    reports: Tree  # [M, ...], what every client reports


Task = Callable[[Tree, Tree, jax.Array], tuple[Tree, jax.Array, Tree]]
"""shared, one client's arguments, live -> (contribution times weight, weight, report)."""


def resolve(options: EngineOptions) -> ExecutionPlan:
    """Settle what "auto" means on this machine.

    On CPU one client at a time on each device wins; on an accelerator all of them together.

    Raises:
        BoflError: if more devices are asked for than there are, or the blocks cannot be shared out evenly among
            devices and processes.
    """
    there, processes = jax.device_count(), jax.process_count()
    on_cpu = jax.default_backend() == "cpu"
    if options.devices > there:
        raise BoflError(f"engine.devices = {options.devices}, but JAX sees {there}: lower it, or set it to 0 for all")
    if options.devices and options.blocks % options.devices:
        raise BoflError(f"engine.devices = {options.devices} must divide engine.blocks = {options.blocks}")
    if options.devices % processes:
        raise BoflError(f"engine.devices = {options.devices} must be a multiple of the {processes} processes")
    even = [count for count in range(processes, there + 1, processes) if options.blocks % count == 0]
    if not even:
        raise BoflError(f"engine.blocks = {options.blocks} must be a multiple of the {processes} processes")
    most = even[-1]
    execution = options.execution
    if execution == "auto":
        execution = "shard" if on_cpu or most > 1 else "vmap"
    if processes > 1 and execution != "shard":
        mend = f"with {processes} processes set it to 'shard'"
        raise BoflError(f"engine.execution = '{execution}' uses one device: {mend}")
    if execution in ("vmap", "loop"):
        return ExecutionPlan(execution, 0 if execution == "vmap" else 1, 1, 1)
    devices = (options.devices or most) if execution == "shard" else 1
    return ExecutionPlan(execution, options.width or (1 if on_cpu else 64), devices, options.blocks)


def spans_processes(tree: Tree) -> bool:
    """Whether any of it lies on devices of more than one process."""
    return any(isinstance(leaf, jax.Array) and not leaf.is_fully_addressable for leaf in jax.tree.leaves(tree))


def local_copy(tree: Tree) -> Tree:
    """This process's copy of what every device holds; what lies on devices of this process is left where it is."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0) if spans_processes(leaf) else leaf, tree)


def _on_all(whole: NamedSharding, leaf: Any) -> jax.Array:
    mine = jnp.asarray(local_copy(leaf))
    copies = [jax.device_put(mine, device) for device in whole.mesh.local_devices]
    return jax.make_array_from_single_device_arrays(mine.shape, whole, copies)


def map_clients(plan: ExecutionPlan, task: Task, shared: Tree, each: Tree, stack: bool = True) -> ClientOutputs:
    """Run ``task`` for M clients.

    Args:
        plan: how.
        task: written for one client; with ``live`` false it must do no work and report anything.
        shared: what all clients see.
        each: pytree of arrays ``[M, ...]``, a row a client.
        stack: whether reports are kept; without them nothing of size M x P is ever held.
    """
    clients = len(jax.tree.leaves(each)[0])
    if plan.execution == "loop":
        return _loop(task, shared, each, clients, stack)
    width = plan.width or clients
    groups = -(-clients // (plan.blocks * width))
    slots = plan.blocks * groups * width
    rows = jnp.minimum(jnp.arange(slots), clients - 1)
    live = jnp.arange(slots) < clients
    laid = jax.tree.map(lambda a: a.reshape(plan.blocks, groups, width, *a.shape[1:]), (_take(each, rows), live))

    def blocks(shared: Tree, laid: Tree) -> ClientOutputs:
        return jax.lax.map(functools.partial(_block, task, stack, shared), laid)

    # One device goes through shard_map too: the compiler then sees the same program whatever the number of devices.
    out = (blocks if plan.execution == "inside" else _shard_map_clients(plan, blocks))(shared, laid)
    return out._replace(reports=jax.tree.map(lambda a: a.reshape(slots, *a.shape[3:])[:clients], out.reports))


def skip_padding(live: jax.Array, work: Callable[..., Tree], *given: Tree) -> Tree:
    """``work(*given)``, or zeros for a row of padding: without the work's cost where clients are not vmapped.

    A single client in eight blocks would otherwise work eight times.
    """

    def nothing(*_: Tree) -> Tree:
        return jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), jax.eval_shape(work, *given))

    return jax.lax.cond(live, work, nothing, *given)


def map_runs(plan: ExecutionPlan, program: Callable, shared: Tree, each: Tree) -> Tree:
    """Run ``program(shared, *one)`` for G runs that do not depend on each other, ``one`` a row of ``each``.

    Devices share out the runs; on a device they follow one another, or with the plan ``vmap`` are vmapped.

    Args:
        plan: of each run. Within ``program`` clients run by ``plan.inside()``.
        program: of one run.
        shared: what all runs see.
        each: pytree of arrays ``[G, ...]``; G is a multiple of the plan's devices.
    """

    def on_device(shared: Tree, each: Tree) -> Tree:
        def one(row: Tree) -> Tree:
            return program(shared, *row)

        return jax.vmap(one)(each) if plan.execution == "vmap" else jax.lax.map(one, each)

    return _shard_map_clients(plan, on_device)(shared, each)


def _shard_map_clients(plan: ExecutionPlan, program: Callable[[Tree, Tree], Tree]) -> Callable[[Tree, Tree], Tree]:
    """Give each device of the plan its part of the leading axis of the second argument."""
    return jax.shard_map(
        program, mesh=plan.mesh(), in_specs=(REPLICATED, BY_CLIENT), out_specs=BY_CLIENT, check_vma=False
    )


def sum_blocks(outcome: ClientOutputs) -> tuple[Tree, jax.Array]:
    """The blocks' sums and weights, added in order.

    To be compiled apart from the clients, on one device: fused into their program, the additions would round
    differently on one device and on two.
    """
    sums = (outcome.total, outcome.weight)
    return jax.tree.map(lambda of_blocks: functools.reduce(jnp.add, list(of_blocks)), sums)


def _take(tree: Tree, rows: jax.Array | int) -> Tree:
    return jax.tree.map(lambda a: a[rows], tree)


def _block(task: Task, stack: bool, shared: Tree, laid: Tree) -> ClientOutputs:
    """One block: its groups one after another, keeping the running sum."""

    def group(members: Tree) -> ClientOutputs:
        each, live = members
        if live.shape[0] == 1:
            one = task(shared, _take(each, 0), live[0])
            return ClientOutputs(one[0], one[1], jax.tree.map(lambda a: a[None], one[2]))
        part, weight, report = jax.vmap(task, in_axes=(None, 0, 0))(shared, each, live)
        part, weight = jax.tree.map(lambda a: a.sum(axis=0), (part, weight))
        return ClientOutputs(part, weight, report)

    def step(carry: Tree, members: Tree) -> tuple[Tree, Tree]:
        out = group(members)
        return jax.tree.map(jnp.add, carry, (out.total, out.weight)), out.reports if stack else ()

    shapes = jax.eval_shape(group, jax.tree.map(lambda a: a[0], laid))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (shapes.total, shapes.weight))
    (total, weight), reports = jax.lax.scan(step, zeros, laid)
    return ClientOutputs(total, weight, reports)


def _loop(task: Task, shared: Tree, each: Tree, clients: int, stack: bool) -> ClientOutputs:
    """Plain Python, for debugging: the client that fails is named."""
    sums = None
    reports = []
    for client in range(clients):
        try:
            part, weight, report = task(shared, _take(each, client), jnp.bool_(True))
        except Exception as error:
            raise RuntimeError(f"client {client} of {clients} failed") from error
        sums = (part, weight) if sums is None else jax.tree.map(jnp.add, sums, (part, weight))
        reports.append(report)
    total, weight = jax.tree.map(lambda a: a[None], sums)
    return ClientOutputs(total, weight, jax.tree.map(lambda *rows: jnp.stack(rows), *reports) if stack else ())
