"""The two ways in which a run ends early: a mistake of the user's, or numbers that are no longer finite."""


class Mistake(Exception):
    """One or more mistakes of the user's, one sentence each; the command line prints them and exits with 2."""

    def __init__(self, *sentences: str):
        super().__init__("\n".join(sentences))
        self.sentences = sentences


class NonFinite(Exception):
    """A loss term, a gradient or the selected metric became NaN or infinite: an outcome of the configuration."""

    def __init__(self, term: str, epoch: int):
        super().__init__(f"nan: {term}, epoch {epoch}")
        self.term, self.epoch = term, epoch

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return NonFinite, (self.term, self.epoch)
