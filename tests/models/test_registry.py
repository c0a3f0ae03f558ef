"""Networks by name, their sizes against the builder's signature."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from tfpartial.errors import InputError
from tfpartial.models import build_network
from tfpartial.models.build import check_logits
from tfpartial.models.registry import (
    GIVEN,
    SHIPPED,
    check_sizes,
    describe_code,
    find_builder,
    size_parameters,
)

Module = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Return a function: source of a module -> its name, importable."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> str:
        name = f"outside_{len(list(tmp_path.iterdir()))}_{tmp_path.name}"
        text = textwrap.dedent(source)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return name

    return write


def faults(name: str, trust_code: bool = True, **sizes: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        check_sizes(name, sizes, trust_code)
    return list(caught.value.faults)


def test_a_network_is_built_by_its_name() -> None:
    network = build_network(
        "unet3d", num_labels=2, seed=0, model_name="student", filters=[2, 2]
    )
    assert network.name == "student"
    assert network(np.zeros((1, 2, 2, 2, 1))).shape[-1] == 2


def test_sizes_hold_the_defaults_of_the_signature() -> None:
    parameters = size_parameters(find_builder("unet3d"))
    sizes = check_sizes("unet3d", {"filters": [3, 5]})
    assert sizes.pop("filters") == [3, 5]
    assert sizes == {
        name: parameter.default
        for name, parameter in parameters.items()
        if name != "filters"
    }
    assert not set(GIVEN) & set(parameters)


def test_unknown_name_suggests_a_known_one() -> None:
    [fault] = faults("unet")
    assert "network.name" in fault
    assert "Did you mean 'unet3d'" in fault


def test_all_faults_in_sizes_are_named_together() -> None:
    found = faults("unet3d", filter=[2, 2], blocks_per_level=0, dropout=[2.0])
    assert len(found) == 3
    for fault, size, word in zip(
        found,
        ("filter", "blocks_per_level", "dropout.0"),
        ("Did you mean 'filters'", "found 0", "found 2.0"),
        strict=True,
    ):
        assert f"'network.{size}'" in fault
        assert word in fault


def test_a_size_of_another_network_says_whose_it_is() -> None:
    [fault] = faults("deepmedic", filters=[2, 2])
    assert "belongs to unet3d" in fault


@pytest.mark.parametrize("name", SHIPPED)
def test_a_batch_equals_its_samples_one_by_one(name: str) -> None:
    network = build_network(name, num_labels=3, seed=0)
    size = max(2 * network.divisor, 8) + 2 * max(network.context_voxels)
    draw = np.random.default_rng(0)
    image = draw.normal(size=(3, size, size, size, 1)).astype("float32")
    image *= np.array([1, 5, 0.1]).reshape(3, 1, 1, 1, 1)
    together = np.asarray(network(image))
    alone = [np.asarray(network(image[n : n + 1])) for n in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_code_from_outside_is_not_imported_without_trust(
    module: Module,
) -> None:
    name = module("raise SystemExit('was imported')")
    for look in (find_builder, lambda name: check_sizes(name, {})):
        with pytest.raises(InputError, match="--trust_code") as caught:
            look(f"{name}:build")
        assert name in str(caught.value)
    assert name not in sys.modules


@pytest.mark.parametrize(
    ("source", "function", "words"),
    [
        ("build = 3", "build", "a function 'build'"),
        ("def builds(): ...", "build", "Did you mean 'builds'"),
        ("import nothing_like_this", "build", "nothing_like_this"),
        ("this is no Python", "build", "SyntaxError"),
        ("1 / 0", "build", "ZeroDivisionError"),
        ("raise SystemExit(0)", "build", "SystemExit"),
        ("def build(a: 'OnlyTyped' = 0): ...", "build", "OnlyTyped"),
    ],
)
def test_what_is_no_builder_is_said(
    module: Module, source: str, function: str, words: str
) -> None:
    [fault] = faults(f"{module(source)}:{function}")
    assert words in fault


def test_a_module_that_is_not_there_says_where_it_is_looked_for() -> None:
    [fault] = faults("no_such_package.networks:build")
    assert "no_such_package" in fault
    assert "PYTHONPATH" in fault


@pytest.mark.parametrize("name", ["a:b:c", ":b", "a:", "a b:c", "../a:b"])
def test_a_name_of_code_is_a_module_and_a_function(name: str) -> None:
    [fault] = faults(name)
    assert "my_package.module:build" in fault


def test_sizes_of_a_foreign_builder_come_from_its_signature(
    module: Module,
) -> None:
    name = module(
        """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import keras

        def build(num_labels, width: int, depth=3, *, rate: float = 0.0
                  ) -> keras.Model:
            ...
        """
    )
    full = check_sizes(f"{name}:build", {"width": "4"}, trust_code=True)
    assert full == {"width": 4, "depth": 3, "rate": 0.0}
    found = faults(f"{name}:build", rate="x", dept=2)
    assert ["rate" in found[0], "dept" in found[1]] == [True, True]
    assert "Did you mean 'depth'" in found[1]
    assert "'network.width' is required" in found[2]
    about = describe_code(f"{name}:build")
    assert about is not None
    assert len(about["module_sha256"]) == 64
    assert describe_code("unet3d") is None


def test_a_builder_with_keywords_takes_any_size(module: Module) -> None:
    name = module("def build(**sizes): ...")
    assert check_sizes(f"{name}:build", {"x": [1]}, True) == {"x": [1]}


def test_a_foreign_builder_may_count_its_stages(module: Module) -> None:
    name = module(
        """
        from tfpartial.models.registry import count_stages

        @count_stages(lambda depth, **_: depth)
        def build(num_labels, depth: int = 2, dropout: list[float] = ()): ...
        """
    )
    [fault] = faults(f"{name}:build", dropout=[0.1] * 3)
    assert "'network.dropout'" in fault
    assert "Remove 1" in fault


def test_a_builder_returns_a_model(module: Module) -> None:
    name = module("def build(num_labels): return num_labels")
    with pytest.raises(InputError, match="keras.Model, found int"):
        build_network(f"{name}:build", num_labels=2, seed=0, trust_code=True)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"filters": 2}, r"found \(1, 4, 4, 4, 2\) and float32"),
        ({"filters": 3, "padding": "valid"}, r"\(1, 2, 2, 2, 3\) and float32"),
        ({"filters": 3, "dtype": "float16"}, "and float16"),
    ],
)
def test_logits_are_what_a_run_needs(options: dict, found: str) -> None:
    image = keras.Input((None, None, None, 1))
    options = {"kernel_size": 3, "padding": "same"} | options
    network = keras.Model(image, keras.layers.Conv3D(**options)(image))
    with pytest.raises(InputError, match=found):
        check_logits(network, 3, (4, 4, 4), "a.b:c")


def test_context_and_divisor_are_taken_into_account() -> None:
    image = keras.Input((None, None, None, 1))
    x = keras.layers.MaxPooling3D(2)(image)
    x = keras.layers.UpSampling3D(2)(x)
    network = keras.Model(image, keras.layers.Conv3D(3, 3)(x))
    network.context_voxels, network.divisor = (1, 1, 1), 2
    check_logits(network, 3, (5, 4, 4), "a.b:c")


def test_signatures_are_read_without_keras() -> None:
    program = (
        "import sys\n"
        "from tfpartial.models.registry import SHIPPED, check_sizes\n"
        "assert all(check_sizes(name, {}) for name in SHIPPED)\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
