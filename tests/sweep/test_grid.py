"""Grids: axes become members, and mistakes become one line."""

import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.sweep import Axis, expand_grid, parse_axis, select_shard


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("partition.alpha=0.1,1,10", (0.1, 1, 10)),
        ("seed=3", (3,)),
        ("federation.algorithm=fedavg, ditto", ("fedavg", "ditto")),
        ("model.channels=[8, 16],[4]", ([8, 16], [4])),
        ("model.pool=true,false", (True, False)),
        ("data.root=a b.npz,c.npz", ("a b.npz", "c.npz")),
    ],
)
def test_values_are_toml_or_words(text, values):
    assert parse_axis(text) == Axis(text.partition("=")[0], values)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed", "--grid seed: write it as KEY=V1,V2, for example partition.alpha=0.1,1,10"),
        ("seed=", "--grid seed=: write it as KEY=V1,V2, for example partition.alpha=0.1,1,10"),
        ("se ed=1", "--grid se ed=1: write it as KEY=V1,V2, for example partition.alpha=0.1,1,10"),
        ("data.source=a,,b", "--grid data.source=a,,b: a value is empty, remove the superfluous comma"),
        ("seed=1,2,1", "--grid seed=1,2,1: 1 is given twice, remove one of them"),
    ],
)
def test_a_wrong_axis_is_reported(text, line):
    with pytest.raises(BoflError) as error:
        parse_axis(text)
    assert str(error.value) == line


def test_the_last_axis_is_the_fastest():
    grid = expand_grid([Axis("partition.alpha", (0.1, 10.0)), Axis("seed", (0, 1))])
    assert [member.point for member in grid] == [
        {"partition.alpha": 0.1, "seed": 0},
        {"partition.alpha": 0.1, "seed": 1},
        {"partition.alpha": 10.0, "seed": 0},
        {"partition.alpha": 10.0, "seed": 1},
    ]
    assert [member.name for member in grid][::3] == ["alpha=0.1,seed=0", "alpha=10.0,seed=1"]


def test_names_are_unique_folder_names():
    grid = expand_grid(
        [Axis("optimizer.lr", (0.1,)), Axis("personalise.lr", (0.2,)), Axis("data.root", ("a/b", "a b"))]
    )
    names = [member.name for member in grid]
    assert names == ["optimizer.lr=0.1,personalise.lr=0.2,root=a-b,0", "optimizer.lr=0.1,personalise.lr=0.2,root=a-b,1"]


@pytest.mark.parametrize(
    ("axes", "line"),
    [
        ([], "a sweep needs a grid: add --grid KEY=V1,V2, for example --grid seed=0,1,2"),
        ([Axis("seed", (1,)), Axis("seed", (2,))], "--grid seed is given twice: write all its values in one --grid"),
    ],
)
def test_a_wrong_grid_is_reported(axes, line):
    with pytest.raises(BoflError) as error:
        expand_grid(axes)
    assert str(error.value) == line


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
def test_the_shards_make_up_the_grid(count):
    grid = expand_grid([Axis("seed", tuple(range(7)))])
    parts = [select_shard(grid, f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(member.name for part in parts for member in part) == sorted(member.name for member in grid)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_wrong_shard_is_reported(text):
    with pytest.raises(BoflError, match=r"^--shard .*: write it as I/N with I from 1 to N, for example 1/4$"):
        select_shard([], text)
