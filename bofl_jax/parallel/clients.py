"""How clients run on devices. No other module knows an axis of clients.

A function is written for one client. Clients are arranged as ``[blocks, groups, width]`` in the order of their index:
``width`` clients are vmapped, the groups of a block follow one another in a scan that keeps a running sum, and the sums
of the blocks are added in order. Devices share the blocks among them, so that the result has the same bits for any
number of devices of one backend.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from bofl_jax.core.errors import BoflError
from bofl_jax.parallel.options import EngineOptions
from bofl_jax.parallel.typed_jax import partition_spec

Tree = Any

REPLICATED, BY_CLIENT = partition_spec(), partition_spec("clients")


class ExecutionPlan(NamedTuple):
    """A resolved way to run clients."""

    execution: str  # vmap | map | shard | loop | inside
    width: int  # clients vmapped at a time; 0 for all
    devices: int
    blocks: int

    def low_memory(self) -> "ExecutionPlan":
        """The same devices, and at most 64 tasks at a time on each of them: for predictions, which need no more."""
        execution = self.execution if self.execution in ("loop", "inside") else "shard"
        return self._replace(execution=execution, width=1 if self.width == 1 else 64)

    def single_device(self) -> "ExecutionPlan":
        """The same order of clients on one device: for `map_runs`, where devices share whole runs among them."""
        return self._replace(execution="inside", devices=1)

    def mesh(self) -> Mesh:
        """The devices that share the blocks among them, the same number from each process."""
        processes = range(jax.process_count())
        each = self.devices // len(processes)
        return Mesh(np.array([jax.local_devices(process)[:each] for process in processes]).ravel(), ("clients",))

    def replicated(self) -> NamedSharding:
        """The sharding that puts a whole array on every device."""
        return NamedSharding(self.mesh(), REPLICATED)

    def replicate(self, tree: Tree) -> Tree:
        """Put a pytree on every device of the plan; every process must hold the whole pytree."""
        if self.execution == "loop":
            return jax.tree.map(jnp.asarray, tree)
        sharding = self.replicated()
        if sharding.is_fully_addressable:
            return jax.device_put(tree, sharding)
        return jax.tree.map(functools.partial(_replicate_across_processes, sharding), tree)

    def put_round_inputs(self, tree: Tree) -> Tree:
        """Transfer the inputs of one round in a single `jax.device_put`, because every transfer has a fixed cost."""
        return jax.device_put(tree) if jax.process_count() == 1 else self.replicate(tree)


class ClientOutputs(NamedTuple):
    """Outputs of all clients."""

    total: Tree  # [blocks, ...], weighted sum of the contributions of each block
    weight: jax.Array  # float32[blocks], sum of the weights of each block
    reports: Tree  # [M, ...], the report of each client


class ClientFunction(Protocol):
    """A function for one client."""

    def __call__(self, shared: Tree, client_input: Tree, live: jax.Array, /) -> tuple[Tree, jax.Array, Tree]:
        """Run one client.

        Args:
            shared: inputs that all clients share.
            client_input: inputs of this client.
            live: bool[], false for padding; padding must contribute zeros with weight 0, and its report is dropped.

        Returns:
            The contribution times its weight, the weight as float32[], and the report of the client.
        """


def resolve_plan(options: EngineOptions) -> ExecutionPlan:
    """Decide how clients run on this machine.

    With ``engine.execution = "auto"`` a CPU runs one client at a time on each device, and an accelerator vmaps all
    clients: the fastest ways that were measured.

    Raises:
        BoflError: if there are fewer devices than the options ask for, or if devices or processes cannot share the
            blocks evenly.
    """
    available, processes = jax.device_count(), jax.process_count()
    on_cpu = jax.default_backend() == "cpu"
    if options.devices > available:
        raise BoflError(
            f"engine.devices = {options.devices}, but JAX sees {available}: lower it, or set it to 0 for all"
        )
    if options.devices and options.blocks % options.devices:
        raise BoflError(f"engine.devices = {options.devices} must divide engine.blocks = {options.blocks}")
    if options.devices % processes:
        raise BoflError(f"engine.devices = {options.devices} must be a multiple of the {processes} processes")
    usable = [count for count in range(processes, available + 1, processes) if options.blocks % count == 0]
    if not usable:
        raise BoflError(f"engine.blocks = {options.blocks} must be a multiple of the {processes} processes")
    most = usable[-1]
    execution = options.execution
    if execution == "auto":
        execution = "shard" if on_cpu or most > 1 else "vmap"
    if processes > 1 and execution != "shard":
        how_to_fix = f"with {processes} processes set it to 'shard'"
        raise BoflError(f"engine.execution = '{execution}' uses one device: {how_to_fix}")
    if execution in ("vmap", "loop"):
        return ExecutionPlan(execution, 0 if execution == "vmap" else 1, 1, 1)
    devices = (options.devices or most) if execution == "shard" else 1
    return ExecutionPlan(execution, options.width or (1 if on_cpu else 64), devices, options.blocks)


def spans_processes(tree: Tree) -> bool:
    """Whether any leaf is stored on devices of more than one process."""
    return any(isinstance(leaf, jax.Array) and not leaf.is_fully_addressable for leaf in jax.tree.leaves(tree))


def local_copy(tree: Tree) -> Tree:
    """The copy that this process holds of a replicated pytree; leaves of this process alone are returned unchanged."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0) if spans_processes(leaf) else leaf, tree)


def _replicate_across_processes(sharding: NamedSharding, leaf: Any) -> jax.Array:
    local = jnp.asarray(local_copy(leaf))
    copies = [jax.device_put(local, device) for device in sharding.mesh.local_devices]
    return jax.make_array_from_single_device_arrays(local.shape, sharding, copies)


def map_clients(
    plan: ExecutionPlan, function: ClientFunction, shared: Tree, client_inputs: Tree, keep_reports: bool = True
) -> ClientOutputs:
    """Run a function for each of M clients.

    Args:
        plan: how clients run.
        function: the function for one client.
        shared: inputs that all clients share.
        client_inputs: pytree of arrays ``[M, ...]``, one row for each client.
        keep_reports: whether reports are returned; without them no array of size M x P is ever held.
    """
    clients = len(jax.tree.leaves(client_inputs)[0])
    if plan.execution == "loop":
        return _map_clients_in_python(function, shared, client_inputs, clients, keep_reports)
    width = plan.width or clients
    groups = -(-clients // (plan.blocks * width))
    slots = plan.blocks * groups * width
    rows = jnp.minimum(jnp.arange(slots), clients - 1)
    live = jnp.arange(slots) < clients
    arranged = jax.tree.map(
        lambda a: a.reshape(plan.blocks, groups, width, *a.shape[1:]), (_take(client_inputs, rows), live)
    )

    def map_blocks(shared: Tree, arranged: Tree) -> ClientOutputs:
        outputs: ClientOutputs = jax.lax.map(functools.partial(_map_block, function, keep_reports, shared), arranged)
        return outputs

    # A single device goes through shard_map too, so that XLA sees the same program for any number of devices.
    run = map_blocks if plan.execution == "inside" else _shard_map(plan, map_blocks)
    outputs: ClientOutputs = run(shared, arranged)
    return outputs._replace(reports=jax.tree.map(lambda a: a.reshape(slots, *a.shape[3:])[:clients], outputs.reports))


def skip_padding(live: jax.Array, function: Callable[..., Tree], *arguments: Tree) -> Tree:
    """``function(*arguments)``, or zeros for padding, which then costs nothing where clients are not vmapped.

    Without it, a single client in eight blocks would be computed eight times.

    Args:
        live: bool[], false for padding.
        function: the computation.
        arguments: its arguments.
    """

    def zeros(*_: Tree) -> Tree:
        return jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), jax.eval_shape(function, *arguments))

    return jax.lax.cond(live, function, zeros, *arguments)


def map_runs(plan: ExecutionPlan, program: Callable[..., Tree], shared: Tree, run_inputs: Tree) -> Tree:
    """Run ``program(shared, *inputs_of_one_run)`` for G independent runs.

    Devices share the runs among them. The runs of a device follow one another; with the plan ``vmap`` they are vmapped.

    Args:
        plan: how the clients of each run are executed. ``program`` itself has to use ``plan.single_device()``.
        program: the program of one run.
        shared: inputs that all runs share.
        run_inputs: tuple of pytrees of arrays ``[G, ...]``; G is a multiple of the devices of the plan.
    """

    def on_one_device(shared: Tree, run_inputs: Tree) -> Tree:
        def one_run(inputs: Tree) -> Tree:
            return program(shared, *inputs)

        return jax.vmap(one_run)(run_inputs) if plan.execution == "vmap" else jax.lax.map(one_run, run_inputs)

    return _shard_map(plan, on_one_device)(shared, run_inputs)


def _shard_map(plan: ExecutionPlan, program: Callable[[Tree, Tree], Tree]) -> Callable[[Tree, Tree], Tree]:
    """Give each device of the plan its part of the leading axis of the second argument."""
    return jax.shard_map(
        program, mesh=plan.mesh(), in_specs=(REPLICATED, BY_CLIENT), out_specs=BY_CLIENT, check_vma=False
    )


def sum_blocks(outputs: ClientOutputs) -> tuple[Tree, jax.Array]:
    """Add the sums and the weights of the blocks in order.

    Compile this apart from `map_clients`, on one device. In one program with the clients, XLA would fuse the additions
    in different ways for one device and for two, and they would round differently.
    """
    total, weight = jax.tree.map(
        lambda blocks: functools.reduce(jnp.add, list(blocks)), (outputs.total, outputs.weight)
    )
    return total, weight


def _take(tree: Tree, rows: jax.Array | int) -> Tree:
    return jax.tree.map(lambda a: a[rows], tree)


def _map_block(function: ClientFunction, keep_reports: bool, shared: Tree, block: Tree) -> ClientOutputs:
    """Run the groups of one block one after another, and keep the running sum."""

    def map_group(group: Tree) -> ClientOutputs:
        inputs, live = group
        if live.shape[0] == 1:
            total, weight, report = function(shared, _take(inputs, 0), live[0])
            return ClientOutputs(total, weight, jax.tree.map(lambda a: a[None], report))
        totals, weights, reports = jax.vmap(function, in_axes=(None, 0, 0))(shared, inputs, live)
        total, weight = jax.tree.map(lambda a: a.sum(axis=0), (totals, weights))
        return ClientOutputs(total, weight, reports)

    def step(sums: Tree, group: Tree) -> tuple[Tree, Tree]:
        outputs = map_group(group)
        sums = jax.tree.map(jnp.add, sums, (outputs.total, outputs.weight))
        return sums, outputs.reports if keep_reports else ()

    shapes = jax.eval_shape(map_group, jax.tree.map(lambda a: a[0], block))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (shapes.total, shapes.weight))
    (total, weight), reports = jax.lax.scan(step, zeros, block)
    return ClientOutputs(total, weight, reports)


def _map_clients_in_python(
    function: ClientFunction, shared: Tree, client_inputs: Tree, clients: int, keep_reports: bool
) -> ClientOutputs:
    """Run clients in a plain Python loop, for debugging: the error names the client that failed."""
    sums = None
    reports = []
    for client in range(clients):
        try:
            part, weight, report = function(shared, _take(client_inputs, client), jnp.bool_(True))
        except Exception as error:
            raise RuntimeError(f"client {client} of {clients} failed") from error
        sums = (part, weight) if sums is None else jax.tree.map(jnp.add, sums, (part, weight))
        reports.append(report)
    total, weight = jax.tree.map(lambda a: a[None], sums)
    return ClientOutputs(total, weight, jax.tree.map(lambda *rows: jnp.stack(rows), *reports) if keep_reports else ())
