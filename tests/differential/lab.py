"""The lab: both drivers side by side on one server, step by step, and the differences that no row excuses."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.differential.adapters import Adapter, PyMongo, Wiredrv
from tests.differential.calls import Scenario
from tests.differential.known import KNOWN
from tests.differential.outcomes import Difference, compared_closings, compared_data, compared_steps
from tests.differential.referee import Referee, decoded
from tests.differential.row import Known
from tests.differential.side import Side, SideOnTrio

#: Seconds within which the other driver must close a cursor that one driver closed.
_CLOSED_WITHIN = 2.0


@dataclass
class Verdict:
    """The result of one scenario."""

    unexcused: list[Difference] = field(default_factory=list)
    #: How many differences each row excused.
    used: Counter[str] = field(default_factory=Counter)


class Lab:
    """Two drivers with a database each.

    :param uri: a deployment used by nothing else: transactions are cut short on it, and writes wait for one member.
    :param theirs: the driver to compare with, for tests of the lab itself.
    :param trio: whether ours runs on trio. The other one only supports asyncio.
    """

    def __init__(
        self,
        uri: str,
        theirs: Adapter | None = None,
        ours: Adapter | None = None,
        known: Sequence[Known] = KNOWN,
        trio: bool = False,
    ) -> None:
        unique = uuid.uuid4().hex[:8]
        there, here = f"lab_{unique}_a", f"lab_{unique}_b"
        self.known = known
        self.referee = Referee(uri)
        self.theirs = Side(theirs or PyMongo(), uri, there, here)
        self.ours = (SideOnTrio if trio else Side)(ours or Wiredrv(), uri, here, there)

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both drivers, PyMongo first."""
        return self.theirs, self.ours

    async def open(self) -> None:
        """Connect both clients, so that the first scenario finds the same conditions as any other."""
        for side in self.sides:
            await side.settle()

    def start_over(self) -> None:
        """Recreate the starting data: whatever was under way did not end."""
        self.referee.forget()
        for side in self.sides:
            side.log.wrote = True

    async def run(self, scenario: Scenario) -> Verdict:
        """Run a scenario on both drivers, from the starting data; it stops at the first step with a difference that
        no row excuses, or at a difference after which the two cannot be compared any more."""
        verdict = Verdict()
        for side in self.sides:
            if side.log.wrote:
                self.referee.restore(side.database_name, side.log.changed_indexes)
            side.begin()
        self.referee.begin()
        try:
            comparable = await self._run_steps(scenario, verdict)
        finally:
            for side in self.sides:
                await side.end()
        if comparable:
            await self._compare_closings(verdict)
            self._compare_data(verdict)
        return verdict

    async def _run_steps(self, scenario: Scenario, verdict: Verdict) -> bool:
        for step in scenario:
            theirs = await self.theirs.perform(step)
            ours = await self.ours.perform(step)
            if not self._judge(compared_steps(theirs, ours), verdict):
                return False
        return True

    async def _compare_closings(self, verdict: Verdict) -> None:
        there, here = (side.log.closings for side in self.sides)
        deadline = asyncio.get_running_loop().time() + _CLOSED_WITHIN
        # Neither driver reports when its background has closed a cursor: only the command itself can be observed.
        while set(there) != set(here) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self._judge(compared_closings(there, here), verdict)

    def _compare_data(self, verdict: Verdict) -> None:
        if not any(side.log.wrote for side in self.sides):
            return
        databases = (self.theirs.database_name, self.ours.database_name)
        if self.referee.differ(databases, any(side.log.changed_indexes for side in self.sides)):
            states = (decoded(self.referee.state(name)) for name in databases)
            there, here = (side.log.names.value(state) for side, state in zip(self.sides, states, strict=True))
            self._judge(compared_data(there, here), verdict)

    def _judge(self, differences: Iterator[Difference], verdict: Verdict) -> bool:
        """Excuse the differences that the table lists; returns whether to go on."""
        go_on = True
        for difference in differences:
            row = next((row for row in self.known if row.excuses(difference)), None)
            if row is None:
                verdict.unexcused.append(difference)
                go_on = False
                continue
            verdict.used[row.id] += 1
            if row.ends:
                return False
        return go_on

    async def close(self) -> None:
        """Close the clients and drop the databases."""
        for side in self.sides:
            await side.close()
        self.referee.drop(side.database_name for side in self.sides)
        self.referee.close()


async def opened(uri: str, trio: bool = False) -> Lab:
    """A lab with both clients connected, created in the event loop that it runs in."""
    lab = Lab(uri, trio=trio)
    await lab.open()
    return lab
