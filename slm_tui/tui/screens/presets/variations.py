"""Varying settings of a preset: which ones, what they cost, and starting their runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from textual.app import App

from slm_tui.config.describe import Setting
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.formatting import runs_text
from slm_tui.tui.base import AppServices
from slm_tui.tui.dialogs import show_error_notice
from slm_tui.tui.screens.presets.varied import Varied

if TYPE_CHECKING:
    from slm_tui.experiments.plan import Plan


class Variations:
    """The varied settings of each preset, kept while the app is open.

    Args:
        changed: called after a change, to redraw.
        say: shows a short message.
    """

    def __init__(
        self, app: App[Any], changed: Callable[[], None], say: Callable[[str], None]
    ) -> None:
        self._app = app
        self._changed = changed
        self._say = say
        self._varied = Varied()

    @property
    def _services(self) -> AppServices:
        return cast(AppServices, self._app)

    def cost(self, name: str) -> str:
        """What the variations of preset `name` cost together; empty if it has none."""
        return self._varied.text(name)

    def ask(self, name: str, preset: Preset, setting: Setting | None) -> None:
        """Ask for the values of a setting; without one, whether to start the variations."""
        if setting is not None:
            self._ask_for_values(name, preset, setting)
        else:
            self._ask_to_start(name, preset)

    def _ask_for_values(self, name: str, preset: Preset, setting: Setting) -> None:
        """Ask for the values of a setting of preset `name`, whose draft is `preset`."""
        from slm_tui.tui.screens.presets import vary

        def put(values: tuple[object, ...]) -> None:
            self._varied.put(name, setting.path, values)
            varied, calibration = self._varied.of(name), self._services.calibration
            self._varied.describe(name, vary.summary(preset, varied, name, calibration))
            self._changed()
            self._say(self._summary(name))

        before = self._varied.of(name).get(setting.path, ())
        vary.ask_for_values(self._app, preset, setting, before, put)

    def _summary(self, name: str) -> str:
        from slm_tui.tui.screens.presets.vary import runs_of

        varied = self._varied.of(name)
        if not varied:
            return "no setting is varied"
        paths = ", ".join(path.split(".", 1)[-1] for path in varied)
        return f"{runs_text(runs_of(varied))} over {paths}; press m in the list of presets to start"

    @staticmethod
    def enqueue(preset: Preset) -> str:
        """Add a run of `preset` to the queue and start it; return a message.

        Raises:
            SlmTuiError: the queue cannot be written.
        """
        from slm_tui.experiments import background, queue

        (added,) = queue.add([queue.queued(preset)])
        background.start_worker()
        return f"{added.name} is number {added.id} in the queue; press x to see it"

    def _ask_to_start(self, name: str, preset: Preset) -> None:
        """Ask whether to start, queue or save the variations of preset `name`."""
        from slm_tui.tui.screens.presets import vary

        varied = self._varied.of(name)
        if not varied:
            self._say("to train several values of a setting, go to it and press m")
            return
        calibration = self._services.calibration
        vary.ask_to_start(self._app, preset, varied, name, calibration, self._start)

    def _start(self, made: "Plan", answer: str) -> None:
        from slm_tui.experiments import background, shelf, started_suite, worker

        try:
            shelf.save(made.suite)
            if answer != "save":
                worker.start(started_suite.create(made))
            if answer == "start":
                background.start_worker()
        except SlmTuiError as error:
            show_error_notice(self._app, error)
            return
        self._varied.forget(made.suite.base)
        self._changed()
        if answer == "save":
            self._say(f"saved as suite {made.suite.name}; press x to see it")
        else:
            self._services.open_experiments(made.suite.name)
