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


OWN = """\
name: power
data: {name: simvowels, features: power}
model: {name: vrnn, mode: teacher}
loss:
  recon: {weight: 1, options: {likelihood: itakura_saito}}
  kl_z: 1
"""


def test_a_model_that_reads_its_own_outputs_reads_them_as_the_terms_do(tmp_path: Path) -> None:
    file = tmp_path / "power.yaml"
    file.write_text(OWN)
    with pytest.raises(
        Mistake, match=r":3:1: model 'vrnn' reads its own outputs as gaussian, .* set model.likelihood to itakura_saito"
    ):
        load_study(file)
    file.write_text(OWN.replace("mode: teacher", "likelihood: itakura_saito"))
    assert load_study(file).base.model.options.likelihood == "itakura_saito"


@pytest.mark.parametrize("name", ["dkf", "kvae", "rvae", "srnn", "storn", "vrnn"])
def test_every_dynamical_model_is_one_word_in_a_study(tmp_path: Path, name: str) -> None:
    file = tmp_path / "study.yaml"
    term = "kl_a" if name == "kvae" else "kl_z"
    file.write_text(f"name: one\ndata: {{name: simvowels}}\nmodel: {{name: {name}}}\nloss: {{recon: 1, {term}: 1}}\n")
    assert load_study(file).base.model.name == name
