"""The options for metrics, logs and traces of a run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realmaster_live.errors import ConfigError

if TYPE_CHECKING:
    from realmaster_live.telemetry.observer import Observer


@dataclass(frozen=True, kw_only=True)
class TelemetryOptions:
    """Telemetry of the run.

    Attributes:
        metrics: Serve metrics for Prometheus at this port of this machine, or at HOST:PORT.
        log_json: Log one JSON object a line to the standard error, in place of the progress bar.
        traces: Send OpenTelemetry traces of every chunk to this OTLP endpoint, such as
            http://127.0.0.1:4318.
    """

    metrics: str | None = None
    log_json: bool = False
    traces: str | None = None

    def __post_init__(self) -> None:
        """Check the addresses, once; raises ConfigError."""
        if self.metrics is not None:
            self.metrics_address()
        if self.traces is not None and not self.traces.startswith(("http://", "https://")):
            raise ConfigError(
                f"expected an address such as http://127.0.0.1:4318 for --traces, got "
                f"{self.traces!r}: correct it"
            )

    @property
    def is_given(self) -> bool:
        """Whether metrics or traces were asked for, which are of one process."""
        return self.metrics is not None or self.traces is not None

    def metrics_address(self) -> tuple[str, int]:
        """Return host and port of the metrics; ConfigError where they are none."""
        assert self.metrics is not None
        host, _, port = self.metrics.rpartition(":")
        if not port.isdecimal() or int(port) > 65535:
            raise ConfigError(
                f"expected a port or HOST:PORT for --metrics, got {self.metrics!r}: correct it"
            )
        return host or "127.0.0.1", int(port)

    def open(self, stack: ExitStack) -> Observer:
        """Return what observes a run as the options say; `stack` closes it.

        Raises:
            ConfigError: the metrics' port is taken.
            MissingDependency: an extra is not installed; the message is the pip command.
        """
        from realmaster_live.telemetry.observer import Observer

        observer = Observer()
        if self.log_json:
            from realmaster_live.telemetry.logs import RunLog, log_as_json

            stack.enter_context(log_as_json())
            observer.add(log=stack.enter_context(RunLog()))
        if self.metrics is not None:
            from realmaster_live.telemetry.metrics import RunMetrics

            host, port = self.metrics_address()
            observer.add(metrics=stack.enter_context(RunMetrics(host=host, port=port)))
        if self.traces is not None:
            from realmaster_live.telemetry.traces import ChunkTraces, otlp_provider

            provider = otlp_provider(self.traces)
            stack.callback(provider.shutdown)
            observer.add(traces=ChunkTraces(provider))
        return observer
