"""Forward kinematics of the Human3.6M skeleton: joint rotations to joint positions, for all frames at once."""

import numpy as np

# Parent and offset (mm) of every joint, as printed with the corpus (Ionescu et al. 2014, Human3.6M) in public motion
# prediction code. Axes: +x to the figure's left, +y up, +z forward; with all angles 0 it stands with the arms up.
PARENTS = (-1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14, 12, 16, 17, 18, 19, 20, 19, 22, 12, 24, 25, 26, 27, 28,
           27, 30)  # fmt: skip
JOINTS = len(PARENTS)
_OFFSETS = {  # joint -> (axis, mm) along one axis; every other joint lies on its parent
    1: (0, -132.948591), 2: (1, -442.894612), 3: (1, -454.206447), 4: (2, 162.767078), 5: (2, 74.999437),
    6: (0, 132.948826), 7: (1, -442.894413), 8: (1, -454.206590), 9: (2, 162.767426), 10: (2, 74.999948),
    11: (1, 0.1), 12: (1, 233.383263), 13: (1, 257.077681), 14: (1, 121.134938), 15: (1, 115.002227),
    16: (1, 257.077681), 17: (1, 151.034226), 18: (1, 278.882773), 19: (1, 251.733451), 21: (2, 99.999627),
    22: (1, 100.000188), 24: (1, 257.077681), 25: (1, 151.031437), 26: (1, 278.892924), 27: (1, 251.728680),
    29: (2, 99.999888), 30: (1, 137.499922),
}  # fmt: skip
OFFSETS = np.zeros((JOINTS, 3))
for _joint, (_axis, _length) in _OFFSETS.items():
    OFFSETS[_joint, _axis] = _length


def levels() -> list[np.ndarray]:
    """Joints below the root by depth, so that the parents of a level are known before it."""
    depth = [0] * JOINTS
    for joint in range(1, JOINTS):
        depth[joint] = depth[PARENTS[joint]] + 1
    return [np.flatnonzero(np.array(depth) == level) for level in range(1, max(depth) + 1)]


def rotations(r: np.ndarray) -> np.ndarray:
    """Exponential maps, axis times angle in radians (..., 3), to matrices for row vectors, (..., 3, 3).

    E(r) = I + sin(th) K + (1 - cos(th)) K^2 with th = |r| and K = [[0, -c, b], [c, 0, -a], [-b, a, 0]] for r / th =
    (a, b, c); the identity for r = 0.
    """
    angle = np.linalg.norm(r, axis=-1, keepdims=True)  # (..., 1)
    a, b, c = np.moveaxis(r / np.where(angle > 0, angle, 1), -1, 0)
    zero = np.zeros_like(a)
    k = np.stack([zero, -c, b, c, zero, -a, -b, a, zero], axis=-1).reshape(*a.shape, 3, 3)
    angle = angle[..., None]  # (..., 1, 1)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)


def positions(r: np.ndarray) -> np.ndarray:
    """Exponential maps of all joints, the root's included, (L, 32, 3) to positions relative to the root, (L, 32, 3) mm.

    G_0 = E(r_0), p_0 = 0; G_j = E(r_j) G_parent, p_j = offset_j G_parent + p_parent. The children of the root turn with
    it, which published code for the GPU leaves out (no difference where its rotation is 0).
    """
    turns, place = rotations(r), np.zeros(r.shape)  # (L, 32, 3, 3), (L, 32, 3)
    for joints in levels():
        parents = np.array(PARENTS)[joints]
        above = turns[:, parents]  # (L, J, 3, 3)
        place[:, joints] = np.einsum("jx,ljxy->ljy", OFFSETS[joints], above) + place[:, parents]
        turns[:, joints] = turns[:, joints] @ above
    return place
