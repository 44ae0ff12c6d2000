"""Order of names, and the frame labels that all corpora share are in test_windows."""

from ablate.data.items import natural


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["train/10.sprite", "train/2.sprite", "a.wav", "test/1.sprite", "train/1.sprite", "3.wav", "20_x.wav"]
    order = ["3.wav", "20_x.wav", "a.wav", "test/1.sprite", "train/1.sprite", "train/2.sprite", "train/10.sprite"]
    assert sorted(names, key=natural) == order
    assert sorted(["1", "01", "001"], key=natural) == ["001", "01", "1"]  # equal numbers: by text, never by chance
