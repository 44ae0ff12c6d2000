"""Rules over the real registries; those over the toy world are in tests/mistakes."""

from pathlib import Path

import pytest

from ablate.config import load_study
from ablate.errors import Mistake

STUDY = """\
name: power
data: {name: simvowels, features: power}
model: {name: dsae}
loss:
  recon: {weight: 1, options: {likelihood: itakura_saito}}
  kl_z: 1
  cyclic: {weight: 1, options: {likelihood: LIKELIHOOD}}
"""


def test_terms_that_read_the_output_read_it_alike(tmp_path: Path) -> None:
    file = tmp_path / "power.yaml"
    file.write_text(STUDY.replace("LIKELIHOOD", "itakura_saito"))
    assert load_study(file).base.loss.terms["cyclic"].options.likelihood == "itakura_saito"
    file.write_text(STUDY.replace("LIKELIHOOD", "gaussian"))
    with pytest.raises(
        Mistake, match=r":7:3: loss term 'cyclic' reads the decoder's output as gaussian, 'recon' as itak"
    ):
        load_study(file)
