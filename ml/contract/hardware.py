"""What a worker's machine has and how busy it is: in the worker's report, and on a run's page while it works."""

from pydantic import Field

from ml.contract.strict import MOST, Strict, Whole


class Card(Strict):
    """A GPU. Utilisation in percent, temperature in degrees Celsius; None: its driver does not tell."""

    index: Whole
    name: str = Field(max_length=200)
    memory_bytes: int = Field(ge=0, le=MOST)
    memory_used_bytes: Whole | None = None
    utilization: float | None = None
    temperature: float | None = None


class Hardware(Strict):
    """`cpu_percent` of all cores together since the last report; disk: free where the worker keeps its files."""

    cpu_count: int = Field(ge=1, le=MOST)
    cpu_percent: float | None = None
    memory_bytes: int = Field(ge=0, le=MOST)
    memory_used_bytes: int = Field(ge=0, le=MOST)
    disk_free_bytes: int = Field(ge=0, le=MOST)
    cards: tuple[Card, ...] = Field((), max_length=64)
    cards_error: str = Field("", max_length=500, description="why the cards could not be asked")


class WorkerMachine(Strict):
    """Who a worker is: its host, its versions, its hardware."""

    host: str = Field(max_length=200)
    versions: dict[str, str] = Field(default_factory=dict, max_length=20)
    hardware: Hardware

    @property
    def gpu_memory_gb(self) -> float:
        """Of the largest card, in 10^9 bytes; 0 without one."""
        return max((card.memory_bytes for card in self.hardware.cards), default=0) / 1e9
