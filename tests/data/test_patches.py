import numpy as np
import pytest
from fake_store import (
    EVERYTHING,
    FakeStore,
    full_store,
    merged_store,
    scan,
    sets,
)

from tfpartial.data.patch_box import clamp_start, source_box
from tfpartial.data.patches import PatchSampler, row_generator
from tfpartial.errors import InputError

PATCH = (16, 16, 16)


def sampler(stores, **changes):
    options = {
        "supervision": {},
        "weights": {},
        "label_share": 0.7,
        "patch_shape": PATCH,
        "seed": 3,
    }
    return PatchSampler(stores, **(options | changes))


def places(stores, count=400, **changes):
    drawn = sampler(stores, **changes)
    return [drawn.draw(number // 2, number % 2) for number in range(count)]


def test_clamp_by_hand():
    # 10 voxels: a patch of 4 around 5 starts at 5 - 2; around 0 at 0; around
    # 9 at 10 - 4. 3 voxels in a patch of 4: floor(-1 / 2) = -1.
    for centre, size, expected in (
        (5, 10, 3),
        (0, 10, 0),
        (9, 10, 6),
        (2, 3, -1),
    ):
        start = clamp_start(np.array([centre] * 3), (size,) * 3, (4, 4, 4))
        assert start.tolist() == [expected] * 3


@pytest.mark.parametrize("seed", range(5))
def test_source_box_holds_all_that_is_read(seed):
    random = np.random.default_rng(seed)
    matrix = np.eye(3) + random.normal(0, 0.4, (3, 3))
    centre = random.uniform(-5, 60, 3)
    shape = np.array([7, 9, 12])
    start, size = source_box(matrix, centre, shape)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    read = centre + (grid - (shape - 1) / 2) @ matrix.T
    assert (np.floor(read) >= start).all()
    assert (np.floor(read) + 1 < start + size).all()
    # And not more than two voxels per side beyond what is read.
    assert (np.floor(read).min((0, 1, 2)) - start <= 2).all()


def test_a_row_is_a_function_of_seed_step_and_row():
    stores = {"a": full_store(), "b": merged_store()}
    one, other = sampler(stores), sampler(dict(reversed(stores.items())))
    for step, row in ((0, 0), (5, 1), (70_000, 3)):
        first, again = one.draw(step, row), other.draw(step, row)
        assert first.database == again.database
        assert first.start.tolist() == again.start.tolist()
    draws = {
        tuple(row_generator(*key).integers(0, 2**62, 2).tolist())
        for key in (
            (0, 0, 0),
            (0, 0, 1),
            (0, 1, 0),
            (1, 0, 0),
            (-1, 0, 0),
            (2**63, 0, 0),
        )
    }
    assert len(draws) == 6


def test_labels_are_drawn_equally_whatever_their_size():
    hu, labels = scan(values=(1, 2))
    labels[labels == 2] = 0
    labels[20, 15, 12] = 2  # one voxel
    store = FakeStore(
        [(hu, labels)],
        sets(["bladder"], ["kidney_left"], ["kidney_right"]),
        ("bladder", "kidney_left", "kidney_right"),
    )
    drawn = [p.stored_value for p in places({"a": store}, label_share=1.0)]
    # 3 does not occur in the case: its share goes to the other two.
    assert set(drawn) == {1, 2}
    assert abs(drawn.count(2) / len(drawn) - 1 / 2) < 0.08


def by_values(stores, count=400, **changes):
    options = {"label_share": 1.0, "balance": "values"}
    return places(stores, count, **(options | changes))


def test_values_share_the_patches_equally_background_included():
    hu, labels = scan(values=(1, 2))
    labels[labels == 2] = 0
    labels[20, 15, 12] = 2  # one voxel
    rows = sets(["bladder"], ["kidney_left"], ["kidney_right"])
    store = FakeStore([(hu, labels)], rows, ("bladder", "kidney_left"))
    drawn = [p.stored_value for p in by_values({"a": store}, 900)]
    # 3 does not occur; ignore and "organ or nothing" are below.
    assert set(drawn) == {0, 1, 2}
    for value in (0, 1, 2):
        # 900 draws of 1/3: sd 0.016; 4 of them.
        assert abs(drawn.count(value) / len(drawn) - 1 / 3) < 0.064


def test_a_partial_database_shares_among_its_own_values():
    # DeepMedic's reference: a case with 4 of 7 values present gives each 1/4.
    drawn = [p.stored_value for p in by_values({"a": merged_store()}, 400)]
    assert set(drawn) == {0, 1}
    assert abs(drawn.count(0) / len(drawn) - 1 / 2) < 0.1


def test_a_patch_drawn_by_a_value_is_centred_and_inside_the_scan():
    centred = 0
    for place in by_values({"a": full_store()}, 200):
        hu, labels = full_store().scans[place.case_number]
        assert labels[tuple(place.voxel)] == place.stored_value
        room = np.array(hu.shape) - PATCH
        expected = np.clip(place.voxel - 8, 0, room)
        assert place.start.tolist() == expected.tolist()
        centred += (place.start == place.voxel - 8).all()
    # Those of the organs, at least, lie away from the border.
    assert centred > 50


def test_background_is_uniform_over_all_of_it_air_too():
    store = full_store(count=1)
    where = np.argwhere(store.scans[0][1] == 0)
    drawn = np.array(
        [p.voxel for p in by_values({"a": store}, 1200) if p.stored_value == 0]
    )
    assert len(drawn) > 200
    tolerance = 4.5 * where.std(0) / np.sqrt(len(drawn))
    assert (abs(drawn.mean(0) - where.mean(0)) < tolerance).all()
    air = (store.scans[0][0] == -1000).mean()
    assert abs((store.scans[0][0][tuple(drawn.T)] == -1000).mean() - air) < 0.15


def test_values_do_not_leak_out_of_unlabelled_databases():
    supervision = {"a": "unlabelled"}
    stores = {"a": full_store()}
    by_value = by_values(stores, 100, supervision=supervision)
    by_label = places(stores, 100, supervision=supervision, label_share=1.0)
    for one, other in zip(by_value, by_label, strict=True):
        assert one.stored_value is None
        assert one.start.tolist() == other.start.tolist()


def test_values_are_a_function_of_seed_step_and_row():
    stores = {"a": full_store(), "b": merged_store()}
    for one, other in zip(
        by_values(stores, 60), by_values(stores, 60), strict=True
    ):
        assert one.stored_value == other.stored_value
        assert one.start.tolist() == other.start.tolist()


def test_the_share_without_a_value_stays_with_the_body():
    drawn = by_values({"a": full_store()}, 600, label_share=0.5)
    body = sum(p.stored_value is None for p in drawn)
    assert abs(body / 600 - 1 / 2) < 0.09


def test_ignore_and_sets_with_background_draw_no_patch():
    store = FakeStore(
        [scan(values=(1, 2, 3))],
        sets(["bladder"], EVERYTHING, ["background", "kidney_left"]),
        ("bladder", "kidney_left"),
    )
    drawn = {p.stored_value for p in places({"a": store}, label_share=1.0)}
    assert drawn == {1}
    # Stored background itself is one of the values; these sets are none.
    assert {p.stored_value for p in by_values({"a": store}, 200)} == {0, 1}


def test_a_merged_structure_is_one_candidate():
    drawn = {p.stored_value for p in places({"a": merged_store()})}
    assert drawn == {1, None}


def test_the_voxel_has_the_value_and_lies_in_the_patch():
    store = full_store()
    for place in places({"a": store}, count=200):
        hu, labels = store.scans[place.case_number]
        if place.voxel is None:
            continue
        if place.stored_value is None:
            assert hu[tuple(place.voxel)] > -500
        else:
            assert labels[tuple(place.voxel)] == place.stored_value
        assert (place.voxel >= place.start).all()
        assert (place.voxel < place.start + PATCH).all()
        assert (place.start >= 0).all()
        assert (place.start + PATCH <= hu.shape).all()


def test_voxels_of_a_value_are_uniform_over_the_scan():
    store = merged_store(block=5)
    where = np.argwhere(store.scans[0][1] == 1)
    drawn = np.array(
        [p.voxel for p in places({"a": store}, 1000, label_share=1)]
    )
    # Mean of n uniform draws: sd / sqrt(n) per axis; 4.5 sigma.
    tolerance = 4.5 * where.std(0) / np.sqrt(len(drawn))
    assert (abs(drawn.mean(0) - where.mean(0)) < tolerance).all()
    assert {tuple(v) for v in drawn} <= {tuple(v) for v in where}


def test_unlabelled_databases_leak_no_label_into_the_places():
    labelled = full_store()
    empty = full_store()
    empty.scans = [(hu, np.zeros_like(labels)) for hu, labels in labelled.scans]
    empty.voxel_counts = np.zeros_like(empty.voxel_counts)
    supervision = {"a": "unlabelled"}
    for one, other in zip(
        places({"a": labelled}, 200, supervision=supervision),
        places({"a": empty}, 200, supervision=supervision),
        strict=True,
    ):
        assert one.stored_value is None
        assert one.start.tolist() == other.start.tolist()


def test_weights_are_the_shares_of_the_databases():
    stores = {name: merged_store() for name in "abc"}
    drawn = [
        p.database
        for p in places(stores, 1000, weights={"a": 3, "b": 1, "c": 0})
    ]
    assert abs(drawn.count("a") / len(drawn) - 3 / 4) < 0.05
    assert drawn.count("c") == 0


def test_every_position_can_be_drawn():
    # 3 x 2 x 2 positions, one body voxel in a corner.
    hu = np.full((18, 17, 17), -1000, np.int16)
    hu[0, 0, 0] = 0
    store = FakeStore([(hu, np.zeros(hu.shape, np.uint8))], sets(), ())
    drawn = sampler({"a": store})
    # Each is expected 20 times: 12,000 * ANYWHERE_SHARE / 12.
    starts = (drawn.draw(step, 0).start for step in range(12_000))
    assert {tuple(s.tolist()) for s in starts} == set(np.ndindex(3, 2, 2))


def test_a_scan_without_body_or_smaller_than_the_patch_still_gives_a_place():
    hu = np.full((6, 20, 17), -1000, np.int16)
    store = FakeStore([(hu, np.zeros(hu.shape, np.uint8))], sets(), ())
    for place in places({"a": store}, 20):
        assert place.voxel is None
        assert place.start[0] == -5  # (6 - 16) / 2
        assert 0 <= place.start[1] <= 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": {"ab": 1.0}}, "'ab' is not a database.*Did you mean 'a'"),
        ({"weights": {"a": -1.0}}, "numbers of 0 or more"),
        ({"weights": {"a": 0.0}}, "one above 0"),
    ],
)
def test_wrong_weights_are_named(changes, words):
    with pytest.raises(InputError, match=words):
        sampler({"a": merged_store()}, **changes)


def test_no_database_and_no_training_case_are_named():
    with pytest.raises(InputError, match="at least one database"):
        sampler({})
    with pytest.raises(InputError, match="'a': none of its 1 cases.*train"):
        sampler({"a": merged_store(split="test")})


def test_an_index_that_disagrees_with_the_blocks_is_named():
    store = merged_store()
    store.voxel_counts = np.ones_like(store.voxel_counts)
    store.scans = [(hu, labels * 0 + 9) for hu, labels in store.scans]
    with pytest.raises(InputError, match="Build the records again"):
        places({"a": store}, 20, label_share=1.0)
