"""Forward kinematics: by hand, against the reference positions, and of a turned root."""

from pathlib import Path

import numpy as np
import pytest

from ablate.data.skeleton import JOINTS, OFFSETS, PARENTS, levels, positions, rotations


def test_the_figure_at_rest_stands_with_its_arms_up() -> None:
    place = positions(np.zeros((2, JOINTS, 3)))
    assert place.shape == (2, 32, 3)
    # leg: 442.894612 + 454.206447 down; arm: .1 + 233.383263 + 257.077681 + 151.034226 + 278.882773 + 251.733451 up,
    # then 100.000188 to the wrist's end; toes 162.767078 + 74.999437 forward
    np.testing.assert_allclose(place[0, 3], [-132.948591, -897.101059, 0], atol=1e-9)
    np.testing.assert_allclose(place[0, 5], [-132.948591, -897.101059, 237.766515], atol=1e-9)
    np.testing.assert_allclose(place[0, 19], [0, 1172.211394, 0], atol=1e-9)
    np.testing.assert_allclose(place[0, 22], [0, 1272.211582, 0], atol=1e-9)
    assert (place[0] == place[1]).all()


def test_every_level_follows_its_parents() -> None:
    seen = {0}
    for joints in levels():
        assert {PARENTS[joint] for joint in joints} <= seen
        seen |= set(joints.tolist())
    assert seen == set(range(32))


def test_a_leg_lifts_forward_and_takes_its_foot_along() -> None:
    r = np.zeros((1, JOINTS, 3))
    r[0, 1, 0] = np.pi / 2  # right hip, about x: the leg points to +z, the toes up
    place = positions(r)[0]
    np.testing.assert_allclose(place[3], [-132.948591, 0, 897.101059], atol=1e-9)
    np.testing.assert_allclose(place[4], [-132.948591, 162.767078, 897.101059], atol=1e-9)
    np.testing.assert_allclose(place[8], [132.948826, -897.101003, 0], atol=1e-9)  # the other stays


def test_rotations_are_orthogonal_and_undone_by_their_negative() -> None:
    r = np.random.default_rng(0).normal(size=(5, 4, 3)) * 2
    turns = rotations(r)
    np.testing.assert_allclose(turns @ rotations(-r), np.broadcast_to(np.eye(3), turns.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-12)
    assert (rotations(np.zeros(3)) == np.eye(3)).all()
    # 90 degrees about z, row vectors: x goes to -y by the published sign
    np.testing.assert_allclose(np.array([1, 0, 0]) @ rotations(np.array([0, 0, np.pi / 2])), [0, -1, 0], atol=1e-12)


def test_a_turned_root_turns_everything() -> None:
    r = np.random.default_rng(0).normal(size=(3, JOINTS, 3)) * 0.5
    r[:, 0] = 0
    still, turn = positions(r), np.array([0.3, -0.2, 0.9])
    r[:, 0] = turn
    np.testing.assert_allclose(positions(r), still @ rotations(turn), atol=1e-9)


def test_bones_keep_their_length() -> None:
    place = positions(np.random.default_rng(1).normal(size=(4, JOINTS, 3)))
    bones = place[:, 1:] - place[:, list(PARENTS[1:])]
    np.testing.assert_allclose(
        np.linalg.norm(bones, axis=-1), np.broadcast_to(np.linalg.norm(OFFSETS[1:], axis=-1), (4, 31)), atol=1e-9
    )


def test_the_reference_positions(shared: Path) -> None:
    with np.load(shared / "motion_h36m_fk_reference.npz", allow_pickle=False) as held:
        expmap, xyz = held["expmap"], held["xyz"]
    r = expmap[:, 3:].reshape(-1, JOINTS, 3).copy()
    r[:, 0] = 0
    assert np.abs(positions(r) - xyz).max() == pytest.approx(0, abs=4.1e-5)
