import numpy as np
import pytest
import tensorflow as tf
from fake_store import (
    EVERYTHING,
    HU_WINDOW,
    SPACE,
    FakeStore,
    full_store,
    merged_store,
    scan,
    sets,
)

from tfpartial.data.patch_reader import (
    PatchReader,
    count_stored_values,
    take_input_error,
)
from tfpartial.data.patches import PatchSampler
from tfpartial.data.pipeline import build_training_dataset
from tfpartial.errors import InputError
from tfpartial.scans import normalise

ALL_ON = {
    "intensity_shift_sd": 0.1,
    "intensity_scale_sd": 0.1,
    "noise_sd": 0.05,
    "rotation_degrees": 15.0,
    "scale_range": 0.1,
    "mirror_probability": 0.5,
}
OFF: dict[str, float] = {}
PATCH = (12, 10, 8)


def options(**changes):
    return {
        "space": SPACE,
        "supervision": {},
        "weights": {},
        "label_share": 0.6,
        "patch_shape": PATCH,
        "context_voxels": (0, 0, 0),
        "augment": ALL_ON,
        "hu_window": HU_WINDOW,
        "seed": 11,
        "start_step": 0,
        "rows": range(4),
        "readers": 1,
    } | changes


def dataset(stores=None, **changes):
    stores = stores or {"full": full_store(), "merged": merged_store()}
    return build_training_dataset(stores, **options(**changes))


def batches(count, **changes):
    return list(dataset(**changes).take(count).as_numpy_iterator())


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def sampler_and_reader(stores, **changes):
    chosen = options(**changes)
    for name in ("start_step", "rows", "readers"):
        chosen.pop(name)
    shared = {n: chosen[n] for n in ("supervision", "patch_shape", "seed")}
    sampler = PatchSampler(
        stores,
        weights=chosen.pop("weights"),
        label_share=chosen.pop("label_share"),
        **shared,
    )
    return sampler, PatchReader(sampler, stores, **chosen)


def test_the_contract_of_an_element():
    spec = dataset(context_voxels=(4, 4, 2)).element_spec
    found = {n: (s.shape.as_list(), s.dtype.name) for n, s in spec.items()}
    # 5 stored values: background, three labels, ignore.
    assert found == {
        "image": ([4, 20, 18, 12, 1], "float32"),
        "labels": ([4, *PATCH], "uint8"),
        "candidates": ([4, 5, 4], "bool"),
        "annotated_labels": ([4, 4], "bool"),
        "resolved_labels": ([4, 4], "bool"),
        "row": ([4], "int32"),
    }


@pytest.mark.parametrize("augment", [ALL_ON, OFF])
def test_readers_change_nothing(augment):
    one = batches(4, readers=1, augment=augment)
    many = batches(4, readers=5, augment=augment)
    for first, second in zip(one, many, strict=True):
        assert_same(first, second)


def test_the_division_of_the_rows_changes_nothing():
    whole = batches(3)
    parts = [batches(3, rows=rows) for rows in (range(2), range(2, 4))]
    for step in range(3):
        joined = {
            name: np.concatenate([part[step][name] for part in parts])
            for name in whole[step]
        }
        assert_same(whole[step], joined)
    assert whole[0]["row"].tolist() == [0, 1, 2, 3]


def test_a_later_start_is_the_tail():
    for late, tail in zip(
        batches(2, start_step=3), batches(5)[3:], strict=True
    ):
        assert_same(late, tail)


def test_eager_equals_the_dataset():
    stores = {"full": full_store(), "merged": merged_store()}
    _, reader = sampler_and_reader(stores)
    for step, batch in enumerate(batches(2)):
        for row in range(4):
            eager = reader.load(
                tf.constant(step, tf.int64), tf.constant(row, tf.int64)
            )
            for name, value in eager.items():
                np.testing.assert_array_equal(value, batch[name][row], name)


def test_seed_step_and_row_change_the_patch():
    first = batches(2)
    other = batches(1, seed=12)[0]
    assert not np.array_equal(first[0]["image"], first[1]["image"])
    assert not np.array_equal(first[0]["image"], other["image"])
    assert not np.array_equal(first[0]["image"][0], first[0]["image"][1])


@pytest.mark.parametrize("context", [(0, 0, 0), (5, 3, 2)])
def test_without_augmentation_a_patch_is_what_the_records_hold(context):
    stores = {"full": full_store(), "merged": merged_store()}
    changes = {"augment": OFF, "context_voxels": context}
    sampler, _ = sampler_and_reader(stores, **changes)
    for step, batch in enumerate(batches(3, **changes)):
        for row in range(4):
            place = sampler.draw(step, row)
            store = stores[place.database]
            case = store.cases[place.case_number]
            image, _ = store.read_region(
                place.case_number,
                place.start - context,
                np.add(PATCH, 2 * np.array(context)),
                -200,
                4,
            )
            _, labels = store.read_region(
                place.case_number, place.start, PATCH, -200, 4
            )
            np.testing.assert_array_equal(
                batch["image"][row, ..., 0],
                normalise(image, case.mean, case.sd, HU_WINDOW),
            )
            np.testing.assert_array_equal(batch["labels"][row], labels)


def test_a_vanishing_turn_equals_the_exact_path():
    # The gather and the plain copy read the same voxels at the same places.
    almost = {"rotation_degrees": 1e-4}
    context = {"context_voxels": (3, 2, 1)}
    for turned, exact in zip(
        batches(3, augment=almost, **context),
        batches(3, augment=OFF, **context),
        strict=True,
    ):
        # 1e-4 degrees move 10 voxels by 2e-5; neighbours differ by < 25 sd.
        np.testing.assert_allclose(turned["image"], exact["image"], atol=1e-3)
        np.testing.assert_array_equal(turned["labels"], exact["labels"])


@pytest.mark.parametrize("degrees", [0.0, 1e-4])
def test_a_mirror_reverses_i_and_swaps_the_label_axis(degrees):
    shared = {"context_voxels": (2, 2, 2)}
    turn = {"rotation_degrees": degrees}
    plain = batches(3, augment=turn, **shared)
    mirror = turn | {"mirror_probability": 1.0}
    permutation = SPACE.mirror_permutation()
    for one, other in zip(
        plain, batches(3, augment=mirror, **shared), strict=True
    ):
        np.testing.assert_allclose(
            one["image"][:, ::-1], other["image"], atol=2e-3
        )
        np.testing.assert_array_equal(one["labels"][:, ::-1], other["labels"])
        for name in ("candidates", "annotated_labels", "resolved_labels"):
            np.testing.assert_array_equal(
                one[name][..., permutation], other[name]
            )


def test_the_mirrored_left_kidney_is_taught_as_the_right_one():
    # Trap 4, through the whole pipeline: only the left
    # kidney is annotated, it is drawn in every patch and mirrored in each.
    store = FakeStore(
        [scan(values=(1,))], sets(["kidney_left"]), ("kidney_left",)
    )
    batch = batches(
        1,
        stores={"a": store},
        label_share=1.0,
        augment={"mirror_probability": 1.0},
    )[0]
    for row in range(4):
        assert (batch["labels"][row] == 1).any()
        candidates = batch["candidates"][row]
        assert candidates[1].tolist() == [False, False, False, True]
        # Open background: all that is not annotated, now without the right.
        assert candidates[0].tolist() == [True, True, True, False]
        assert batch["annotated_labels"][row].tolist() == [1, 0, 0, 1]


def test_outside_the_scan_is_the_lower_bound_and_ignore():
    small = FakeStore(
        [scan((16, 14, 6), values=())], sets(["bladder"]), ("bladder",)
    )
    small.scans[0][0][:] = 100
    batch = batches(1, stores={"a": small}, augment=OFF)[0]
    # 6 planes in a patch of 8: one plane outside on each side; background,
    # bladder and the added ignore make V = 3.
    assert batch["candidates"].shape[1] == 3
    assert batch["candidates"][:, -1].all()
    for outside in (batch["labels"][..., 0], batch["labels"][..., -1]):
        assert (outside == 2).all()
    assert (batch["labels"][..., 1:-1] == 0).all()
    lower = np.float32((-200 - 20) / 50)
    np.testing.assert_array_equal(batch["image"][..., 0, 0], lower)
    np.testing.assert_array_equal(
        batch["image"][..., 1, 0], np.float32((100 - 20) / 50)
    )


def test_candidates_follow_the_supervision():
    stores = {"merged": merged_store()}
    tables = {
        how: batches(
            1, stores=stores, supervision={"merged": how}, augment=OFF
        )[0]  # fmt: skip
        for how in ("partial", "naive", "unlabelled")
    }
    both_kidneys = [False, False, True, True]
    found = {how: b["candidates"][0].tolist() for how, b in tables.items()}
    everything = [True] * 4
    assert found == {
        "partial": [[True, True, False, False], both_kidneys, everything],
        "naive": [[True, False, False, False], both_kidneys, everything],
        "unlabelled": [everything] * 3,
    }
    for batch in tables.values():
        assert batch["annotated_labels"][0].tolist() == [1, 0, 1, 1]
        # Merged labels are annotated, not resolved.
        assert not batch["resolved_labels"].any()


def test_number_of_stored_values_of_a_run():
    ends_in_ignore = full_store(1)  # 5 values, the last is ignore
    assert count_stored_values({"a": ends_in_ignore}, SPACE) == 5
    assert count_stored_values({"a": merged_store()}, SPACE) == 2 + 1
    # 5 values of which the last is not ignore: a sixth is needed by both.
    stores = {"a": ends_in_ignore, "b": merged_store()}
    stores["b"].stored_sets = sets(
        ["bladder"], EVERYTHING, ["kidney_left"], ["kidney_right"]
    )
    assert count_stored_values(stores, SPACE) == 6
    stores["b"].stored_sets = np.repeat(sets(["bladder"]), 128, axis=0)
    with pytest.raises(InputError, match="256 stored values.*found 257"):
        count_stored_values(stores, SPACE)


def test_an_input_error_of_a_patch_can_be_taken_after_the_tf_error():
    class Damaged(FakeStore):
        def read_region(self, *_, **__):
            raise InputError("record 7 is damaged (x). Build it again.")

    whole = full_store()
    stores = {"full": Damaged(whole.scans, whole.stored_sets, EVERYTHING[1:])}
    assert take_input_error() is None
    with pytest.raises(tf.errors.OpError):
        next(iter(dataset(stores)))
    error = take_input_error()
    assert error.faults == ("record 7 is damaged (x). Build it again.",)
    assert take_input_error() is None
