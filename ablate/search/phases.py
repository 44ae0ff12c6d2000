"""The search and the confirmation: what the record has already, what is searched, and what came of it."""

from dataclasses import replace
from pathlib import Path

from ablate.search.confirm import candidates, confirm_cells
from ablate.search.executor import Executor
from ablate.search.mirror import Mirror
from ablate.search.plan import Cell, Outcome, address, once
from ablate.search.scheduler import make_scheduler
from ablate.search.searcher import AblateOptuna, make_sampler
from ablate.search.space import grid
from ablate.training.cell import draw_cell

BEST = "ablate.best"  # tag of the run whose pictures have been drawn


class Phases:
    """The phases of one sweep; what they find goes to `result`."""

    def __init__(self, executor: Executor):
        assert executor.study.search is not None
        self.executor, self.study, self.search = executor, executor.study, executor.study.search
        self.known, self.planner = executor.known, executor.planner
        self.record, self.board, self.result = executor.record, executor.board, executor.result
        self.mode = self.search.mode[0]

    def run(self) -> None:
        """Search, confirm, draw the best."""
        self.run_search()
        self.run_confirm()
        self.draw_best()

    def run_search(self) -> None:
        """The list of a grid, or what Optuna suggests."""
        if self.search.algorithm == "grid":
            cells = self.grid_cells()
            done = self.executor.run_list("grid", cells, self.study.resources)
            self.result.found = [(cell, done[cell.key]) for cell in cells if cell.key in done]
        else:
            self.run_suggested()

    def run_suggested(self) -> None:
        """What Optuna suggests, after it has been told what the record knows."""
        search = self.search
        before = self.known.searched()
        mirror = Mirror(self.study.name, self.study.plain()["space"], list(search.mode), self.study.tracking.optuna)
        total = search.trials or 0
        searcher = AblateOptuna(
            self.study.space,
            list(search.mode),
            make_sampler(search.algorithm, search.seed, len(before)),
            budget=total - len(before),
            make=self.planner.searched,
            config=self.executor.config,
            elsewhere=self.known.elsewhere,
            finished=mirror.add,
        )
        before = [(cell, self.with_history(cell, out)) for cell, out in before]
        outside = [cell for cell, out in before if not searcher.remember(cell, out)]
        if outside:
            self.board.say(
                f"{len(outside)} earlier trials lie outside the changed space; they are left out of the search"
            )
        for its in self.known.unfinished():
            searcher.enqueue(its.point)
        if not before and not self.known.unfinished():
            searcher.enqueue(self.study.point(self.study.base))  # the default is the first to be tried
        past = {cell.key: list(out.history) for cell, out in before}
        past |= {its.cell: self.record.history(its.run_id, "objective") for its in self.known.unfinished()}
        recorder = self.executor.recorder()
        try:
            if searcher.budget > 0:
                self.board.phase(f"search ({search.algorithm})", total, len(before))
                scheduler = make_scheduler(search.scheduler, self.mode, self.study.base.train.epochs, past)
                self.executor.tune(
                    recorder, searcher.budget, self.study.resources, scheduler=scheduler, searcher=searcher
                )
        finally:
            self.board.close()
            mirror.close()
            new = [
                (cell, recorder.outcomes[cell.key]) for cell in searcher.cells.values() if cell.key in recorder.outcomes
            ]
            self.result.found = [*before, *searcher.reused, *new]
            self.executor.collect(recorder)
        for cell, out in searcher.reused:
            self.executor.link(cell, out)
        if searcher.budget > 0 and not any(out.status == "stopped" for _, out in new):
            self.board.say(
                f"the space holds no further configuration: {total - searcher.budget} of {total} trials were run"
            )

    def with_history(self, cell: Cell, out: Outcome) -> Outcome:
        """The outcome with its values by epoch, read only where a scheduler compares them."""
        if self.search.scheduler is None or out.run_id is None:
            return out
        return replace(out, history=tuple(self.record.history(out.run_id, "objective")))

    def run_confirm(self) -> None:
        """Fresh seeds for the best, the default and the baselines."""
        self.plan_confirm()
        if self.result.cells:
            self.result.confirmed = self.executor.run_list("confirm", self.result.cells, self.study.resources)

    def plan_confirm(self) -> None:
        """Choose what is confirmed."""
        confirm = self.search.confirm
        if confirm is None:
            return
        self.result.chosen = candidates(self.planner, self.result.found, confirm.top, self.mode)
        self.result.cells = confirm_cells(self.planner, self.result.chosen, confirm.seeds)

    def whole_search(self) -> list[tuple[Cell, Outcome]] | None:
        """The whole search from the record; None if some of it is missing."""
        if self.search.algorithm == "grid":
            cells = self.grid_cells()
            found = [(cell, out) for cell in cells if (out := self.known.settled(cell)) is not None]
            return found if len(found) == len(cells) else None
        found = self.known.searched()
        return found if len(found) >= (self.search.trials or 0) else None

    def grid_cells(self) -> list[Cell]:
        """Every point of the grid once."""
        return once(self.planner.searched(point, "grid") for point in grid(self.study))

    def remaining(self) -> bool:
        """Whether a study that the record calls complete has anything to run after all; fills the result if not."""
        plan = self.whole_search()
        if plan is None:
            return True
        self.result.found = plan
        self.plan_confirm()
        todo = [cell for cell in self.result.cells if self.known.settled(cell) is None]
        if not todo:
            self.result.confirmed = {
                c.key: out for c in self.result.cells if (out := self.known.settled(c)) is not None
            }
        return bool(todo)

    def draw_best(self) -> None:
        """Pictures and sounds of the best trial of the search (confirmed ones leave their own), unless it has them."""
        best = self.best()
        if best is None or (best.key in self.known.mine and self.known.mine[best.key].tags.get(BEST)):
            return
        config = self.executor.config(best)
        if not (Path(config["folder"]) / "best.pt").exists():
            return
        folder = draw_cell(config)
        self.executor.spool.append({"event": "artifact", **address(config), "path": str(folder)})
        self.executor.spool.append({"event": "tags", **address(config), "tags": {BEST: "true"}})

    def best(self) -> Cell | None:
        """The best finished cell of the search."""
        sign = 1 if self.mode == "max" else -1
        done = [(sign * out.objective, cell) for cell, out in self.result.found if out.status == "complete"]
        return max(done, key=lambda one: one[0])[1] if done else None
