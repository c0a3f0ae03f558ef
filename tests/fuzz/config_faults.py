"""Experiment, label space and database in YAML, as every command loads them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from fuzz.corpus import EXECUTED, Fault, Mutate, Reader, replace_by_other
from fuzz.documents import parent_of, places
from tfpartial.config import label_space_of, load_experiment
from tfpartial.databases.stored_values import annotated_labels, stored_values

EXPERIMENT, SPACE, DATABASE = "experiment.yaml", "labels.yaml", "clinic.yaml"
DOCUMENTS: dict[str, dict[str, Any]] = {
    SPACE: {
        "labels": [
            {"name": "bone", "tg263": "Bone_Pelvic"},
            {"name": "left", "mirror": "right"},
            {"name": "right", "mirror": "left"},
        ]
    },
    DATABASE: {
        "name": "clinic",
        "layout": "mask_folder",
        "path": "scans",
        "values": {"bone": "bone", "sides": ["left", "right"]},
        "image": "ct.nii.gz",
        "mask": "segmentations/{structure}.nii.gz",
        "field_of_view": "view.nii.gz",
        "cases": {"anna": {"annotated": ["bone"], "patient_position": "prone"}},
        "exclude": ["ben"],
        "licence": "in-house",
        "citation": "none",
    },
    # What is required stands last: a file cut anywhere lacks some of it.
    EXPERIMENT: {
        "seed": 3,
        "preprocess": {"spacing_mm": [2, 2, 2], "hu_window": [-200, 200]},
        "build": {"workers": 1, "splits": {"file": "splits.json", "seed": 1}},
        "sampling": {"weights": {"clinic": 1.0}, "label_share": 0.5},
        "network": {"name": "unet3d", "filters": [8, 16], "dropout": [0.5]},
        "fit": {
            "epochs": 3,
            "patch_shape": [16, 16, 16],
            "optimizer": {"name": "adamw", "learning_rate": 0.001},
        },
        "predict": {"overlap": 0.5, "mirror": False},
        "evaluate": {"tolerance_mm": 2.0},
        "label_space": SPACE,
        "databases": [DATABASE],
        "records_dir": "records",
        "run_dir": "runs/x",
    },
}
MODEL_FIELDS_OF_ANY_KEY = ("values", "cases", "weights")


def prepare(folder: Path) -> None:
    """Write the three files."""
    write_documents(folder, DOCUMENTS)


def write_documents(folder: Path, documents: dict[str, dict[str, Any]]) -> None:
    """Write YAML files: name -> what each holds."""
    for name, document in documents.items():
        text = yaml.safe_dump(document, sort_keys=False)
        (folder / name).write_text(text, encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """Load the experiment as every command does; return every field."""
    experiment = load_experiment(folder / EXPERIMENT)
    for database in experiment.databases:
        stored = stored_values(database, label_space_of(experiment))
        annotated_labels(database, stored, label_space_of(experiment))
    return experiment.model_dump(mode="json")


def _edited(
    change: Callable[[dict[str, Any], random.Random], str | None],
    name: str | None = None,
) -> Mutate:
    """Change the document of one file; messages name the file or the field."""

    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        chosen = name or draw.choice(list(DOCUMENTS))
        path = folder / chosen
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(document, draw)
        path.write_text(
            yaml.safe_dump(document, sort_keys=False), encoding="utf-8"
        )
        return (chosen, EXPERIMENT, "database 'clinic'")

    return mutate


def _unknown_key(document: dict[str, Any], draw: random.Random) -> None:
    sections = [
        place
        for place in places(document)
        if isinstance(parent_of(document, place)[place[-1]], dict)
        and place[-1] not in MODEL_FIELDS_OF_ANY_KEY
    ]
    place = draw.choice([(), *sections])
    section = document
    for key in place:
        section = section[key]
    name = draw.choice(["epoch", "labls", "x" * 10_000, "\x1b[2J", "", 7, "é"])
    section[name] = draw.choice([1, None, [1], {"a": 1}])


WRONG = (
    [], {}, "x", -1, 0.5, None, [[[]]], float("nan"), float("inf"), -1e300,
    10**40, {"a": {"b": 1}}, "\x1b]0;x\x07", "x" * 100_000, True,
)  # fmt: skip


def _wrong_type(document: dict[str, Any], draw: random.Random) -> None:
    # These hold free text, counts or anything: another value is another wish.
    fixed = [
        place
        for place in places(document)
        if not {"tg263", "licence", "citation", "exclude", "cases"} & {*place}
    ]
    place = draw.choice(fixed)
    holder = parent_of(document, place)
    before = holder[place[-1]]
    kinds = (int, float) if isinstance(before, int | float) else type(before)
    holder[place[-1]] = draw.choice(
        [w for w in WRONG if not isinstance(w, kinds) and w is not None]
    )


def _out_of_range(document: dict[str, Any], draw: random.Random) -> None:
    path, value = draw.choice(
        [(("seed",), -1), (("seed",), 2**40), (("fit", "epochs"), 0),
         (("fit", "patch_shape"), [16, 0, 16]), (("predict", "overlap"), 1.0),
         (("preprocess", "spacing_mm"), [2, 0, 2]),
         (("preprocess", "hu_window"), [200, -200]),
         (("evaluate", "tolerance_mm"), -2), (("build", "workers"), 0),
         (("network", "filters"), [8]), (("network", "dropout"), [1.5]),
         (("preprocess", "spacing_mm"), [float("nan"), 2, 2]),
         (("sampling", "label_share"), 2), (("sampling", "weights"), {"no": 1}),
         (("fit", "optimizer"), {"name": "sgd"}), (("databases",), []),
         (("label_space",), []), (("records_dir",), ""), (("run_dir",), "")]
    )  # fmt: skip
    parent_of(document, path)[path[-1]] = value


def _labels(document: dict[str, Any], draw: random.Random) -> None:
    labels = document["labels"]
    kind = draw.randrange(6)
    if kind == 0:
        labels.append(dict(labels[0]))
    elif kind == 1:
        labels[1]["mirror"] = draw.choice(["bone", "nobody", ""])
    elif kind == 2:
        labels[0]["name"] = draw.choice(
            ["background", "", "a\nb", "\x1b", "x" * 999]
        )
    elif kind == 3:
        labels += [{"name": f"l{n}"} for n in range(draw.choice([260, 5000]))]
    elif kind == 4:
        document["labels"] = draw.choice([None, "bone", {"bone": 1}, [[]], []])
    else:
        document["labls"] = document.pop("labels")


def _database(document: dict[str, Any], draw: random.Random) -> None:
    kind = draw.randrange(6)
    if kind == 0:
        document["values"] = draw.choice(
            [{}, {"bone": "bones"}, {"bone": []}, {"bone": ["ignore", "left"]},
             {str(n): "bone" for n in range(3000)}, {"bone": {"a": 1}}]
        )  # fmt: skip
    elif kind == 1:
        document["annotated"] = ["liver"]
    elif kind == 2:
        document["name"] = draw.choice(["Clinic", "a/b", "..", "", "9"])
    elif kind == 3:
        document["layout"] = draw.choice(["nnunet", "", "msd "])
    elif kind == 4:
        document["cases"] = {"anna": {"annotated": ["liver"]}}
    else:
        document["exclude"] = [f"case_{n}" for n in range(25_000)]


def _traversal(document: dict[str, Any], draw: random.Random) -> None:
    document[draw.choice(["image", "label_map", "mask", "field_of_view"])] = (
        draw.choice(
            ["../ct.nii.gz", "/etc/{structure}", "a/../../b/{structure}.nii.gz",
             "a\0{structure}.nii.gz", "x" * 300 + "{structure}.nii.gz", "",
             "..", "./../{structure}"]
        )
    )  # fmt: skip


def _folder(document: dict[str, Any], draw: random.Random) -> None:
    document["path"] = draw.choice(
        ["a\0b", "", "x" * 300, "x/" * 5000, "${NO_SUCH_VARIABLE_HERE}/a",
         "phantom:x", "phantom:../../etc", "a\nb", "\x1b[31m"]
    )  # fmt: skip


def _text(
    make: Callable[[str, random.Random], bytes | str],
    names: tuple[str, ...] = tuple(DOCUMENTS),
    first: str = EXPERIMENT,
) -> Mutate:
    """Replace the text of one of several files, all named by the first."""

    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        name = draw.choice(names)
        path = folder / name
        made = make(path.read_text(encoding="utf-8"), draw)
        path.write_bytes(made if isinstance(made, bytes) else made.encode())
        return (name, first)

    return mutate


def _explosion(text: str, draw: random.Random) -> str:
    """Nine values of nine values of ...: 9^9, as list, mapping or merge."""
    width, depth = draw.randint(6, 12), draw.randint(8, 24)
    kind = draw.choice(["list", "mapping", "merge"])
    lines = ["x0: &a0 {k: 1}"]
    for n in range(1, depth):
        aliases = [f"*a{n - 1}"] * width
        if kind == "list":
            body = f"[{', '.join(aliases)}]"
        elif kind == "mapping":
            pairs = (f"k{i}: {alias}" for i, alias in enumerate(aliases))
            body = f"{{{', '.join(pairs)}}}"
        else:
            body = f"{{<<: [{', '.join(aliases)}]}}"
        lines.append(f"x{n}: &a{n} {body}")
    return text + "\n".join(lines) + "\n"


def _recursion(text: str, draw: random.Random) -> str:
    return text + draw.choice(
        ["x: &x [*x]\n", "x: &x {a: *x}\n", "x: &x [[[*x]]]\n", "x: *y\n",
         "x: &x {<<: *x}\n"]
    )  # fmt: skip


def _deep(text: str, draw: random.Random) -> str:
    depth = draw.choice([60, 1000, 100_000])
    opening = draw.choice(["[", "{a: ", "- "])
    if opening == "- ":
        return opening * depth + "a\n"
    return f"{text}x: {opening * depth}"


def _object(text: str, draw: random.Random) -> str:
    command = f"touch {EXECUTED}"
    return text + draw.choice(
        [f"x: !!python/object/apply:os.system ['{command}']\n",
         f"x: !!python/object/new:subprocess.Popen [['touch', '{EXECUTED}']]\n",
         "x: !!python/name:os.system\n", "x: !!python/module:os\n",
         "x: !!python/tuple [1, 2]\n", "x: !custom {a: 1}\n",
         "x: !!bool maybe\n", "x: !!timestamp never\n", "x: 2026-99-99\n",
         "x: !!int ten\n", "x: !!binary '%%%'\n", f"x: {'9' * 9999}\n",
         "x: !!float ten\n", "? [1, 2]\n: x\n", "? {a: b}\n: x\n"]
    )  # fmt: skip


def _not_yaml(text: str, draw: random.Random) -> bytes:
    data = text.encode()
    kinds = [
        b"\xff\xfe\x00" + data, data + b"\xc3", data.replace(b": ", b":\t- "),
        b"", b"just text\n", b"- a\n- b\n", b"42\n", data + b"\0",
        data + b"x: [1, 2\n", data + b"x: 'a\n", data + b"\n---\nx: 1\n",
        data + data.splitlines()[0] + b"\n", b"# " + b"x" * (3 * 2**20),
        data + b'x: "\\ud800"\n', data + b'x: "\\UFFFFFFFF"\n', b"null\n",
        data + b"%YAML 9.9\n", data + b"@: 1\n",
    ]  # fmt: skip
    return draw.choice(kinds)


def text_faults(names: tuple[str, ...], first: str) -> tuple[Fault, ...]:
    """Return the faults that any YAML file may have.

    Args:
        names: the files.
        first: the one that names the others; its last key is required.
    """

    def truncated(folder: Path, draw: random.Random) -> tuple[str, ...]:
        data = (folder / first).read_bytes()
        last = data.rindex(b"\n", 0, -1) + 1  # where the last line begins
        (folder / first).write_bytes(data[: draw.randrange(last)])
        return (first,)

    def replaced(folder: Path, draw: random.Random) -> tuple[str, ...]:
        name = draw.choice(names)
        replace_by_other(folder / name, draw)
        return (name, first)

    return (
        Fault("exploding anchors", _text(_explosion, names, first)),
        Fault("recursive anchors", _text(_recursion, names, first)),
        Fault("deep nesting", _text(_deep, names, first)),
        Fault("objects and tags", _text(_object, names, first)),
        Fault("not plain YAML", _text(_not_yaml, names, first)),
        Fault("truncated", truncated),
        Fault("another file", replaced),
    )


def _reference(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Name another file than a label space or a database."""
    path = folder / EXPERIMENT
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    key = draw.choice(["label_space", "databases"])
    other = draw.choice(
        ["none.yaml", EXPERIMENT, ".", "a\0b", "x" * 999, "/dev/null",
         "../" * 60 + "etc/passwd"]
    )  # fmt: skip
    document[key] = other if key == "label_space" else [other]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return (EXPERIMENT, folder.name, other)


def _harmless(text: str, draw: random.Random) -> str:
    """Comments, empty lines, document marks, a small alias of a list."""
    lines = text.splitlines()
    for _ in range(draw.randint(1, 5)):
        lines.insert(0, draw.choice(["# comment", "", "# & * ! %"]))
    text = "\n".join(lines) + "\n"
    text = text.replace("[-200", "[ -200").replace(": 0.5\n", ": 5.0e-1\n")
    return text.replace("\n", "\r\n") if draw.random() < 0.3 else text


READER = Reader(
    "YAML",
    prepare,
    read,
    (
        Fault("unknown key", _edited(_unknown_key)),
        Fault("wrong type", _edited(_wrong_type)),
        Fault("out of range", _edited(_out_of_range, EXPERIMENT)),
        Fault("label space", _edited(_labels, SPACE)),
        Fault("database", _edited(_database, DATABASE)),
        Fault("path traversal", _edited(_traversal, DATABASE)),
        Fault("path of a database", _edited(_folder, DATABASE)),
        Fault("reference to another file", _reference),
        *text_faults(tuple(DOCUMENTS), EXPERIMENT),
        Fault("comments and spaces", _text(_harmless), harmless=True),
    ),
)
