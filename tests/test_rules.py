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


SEARCH = """\
name: one
data: {name: simvowels}
model: {name: MODEL, z_dim: {choice: [2, 4], default: 4}}
loss: {LOSS}
train: {epochs: 5}
search: {algorithm: grid, metric: valid/elbo, mode: max}
"""


def searched(tmp_path: Path, model: str, loss: str) -> Path:
    file = tmp_path / "one.yaml"
    file.write_text(SEARCH.replace("MODEL", model).replace("LOSS", loss))
    return file


def test_a_bound_that_lacks_a_part_is_not_searched_on(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"metric is valid/elbo, and loss does not name kl_f, without which"):
        load_study(searched(tmp_path, "dsae", "recon: 1, kl_z: 1, beta_tc: 1"))
    with pytest.raises(Mistake, match=r"does not name kl_f and kl_z, without"):
        load_study(searched(tmp_path, "dsae", "recon: 1"))
    assert load_study(searched(tmp_path, "dsae", "recon: 1, kl_z: 1, kl_f: 0, beta_tc: 1")).warnings == ()
    load_study(searched(tmp_path, "vae", "recon: 1, kl_z: 1"))


def test_a_kl_that_counts_twice_is_told(tmp_path: Path) -> None:
    (told,) = load_study(searched(tmp_path, "dsae", "recon: 1, kl_z: 1, kl_f: 1, beta_tc: 1")).warnings
    assert told.startswith("loss.beta_tc stands in for kl_f, and both are trained: the KL counts twice")
    (told,) = load_study(searched(tmp_path, "dsae", "recon: 1, kl_z: 1, kl_f: 1, capacity: 1")).warnings
    assert told.startswith("loss.capacity stands in for kl_z and kl_f,")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("valid/mpjpe", r"train.stop_on valid/mpjpe would never be reported: metric 'mpjpe' is not among"),
        ("valid/prob_gap", r"did you mean 'valid/probe_gap'"),
        ("test/probe_gap", r"train.stop_on must be measured on the validation split \(valid/\.\.\.\), not 'test/"),
    ],
)
def test_patience_watches_what_is_measured(tmp_path: Path, metric: str, sentence: str) -> None:
    file = searched(tmp_path, "dsae", "recon: 1, kl_z: 1, kl_f: 1")
    file.write_text(file.read_text().replace("epochs: 5", f"epochs: 5, patience: 3, stop_on: {metric}"))
    with pytest.raises(Mistake, match=sentence):
        load_study(file)
    file.write_text(file.read_text().replace(metric, "valid/probe_gap"))
    load_study(file)


def test_a_model_that_tells_variances_is_read_as_gaussian(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    loss = "recon: {weight: 1, options: {likelihood: itakura_saito}}, kl_z1: 1, kl_z2: 1, mu2_prior: 1"
    head = "name: one\ndata: {name: simvowels, features: power}\nmodel: {name: fhvae}\n"
    file.write_text(f"{head}loss: {{{loss}}}\n")
    with pytest.raises(Mistake, match=r"model 'fhvae' tells mean and log-variance .* only likelihood gaussian reads"):
        load_study(file)
    file.write_text(file.read_text().replace("itakura_saito", "gaussian"))
    load_study(file)


def test_beta_tc_needs_a_prior_of_every_dimension(tmp_path: Path) -> None:
    """p(a) of KVAE couples frames and dimensions, so that the last part of beta_tc is not what its name says."""
    with pytest.raises(Mistake, match="needs a prior that factorises over dimensions; model 'kvae' has a"):
        load_study(searched(tmp_path, "kvae", "recon: 1, kl_a: 1, beta_tc: 1"))
