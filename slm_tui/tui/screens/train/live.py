"""Keys of the train screen that steer the live run, in this process or in another."""

from typing import TYPE_CHECKING, cast

from slm_tui.live.steering import MOST_STEPS
from slm_tui.tui.dialogs import Ask, Choice, Question
from slm_tui.tui.resume_dialog import steps_problem, whole_number

if TYPE_CHECKING:
    from slm_tui.training.control import Control
    from slm_tui.tui.screens.train.screen import TrainScreen

NO_RUN = "No runs yet. Press 1, choose a preset, press t."


class LiveKeys:
    """The part of the train screen that asks something of a training."""

    @property
    def _me(self) -> "TrainScreen":
        return cast("TrainScreen", self)

    def _control(self) -> "Control | None":
        """The control of the run shown, or a toast that says why there is none."""
        session = self._me.session
        if session is not None and session.is_live:
            return session.control
        self._me.notify(self._why_not(), markup=False)
        return None

    def _why_not(self) -> str:
        me = self._me
        if me.view is None:
            return NO_RUN
        current = me.workshop.current_training()
        if current is not None and current.is_live and current.run != me.view.run:
            return f"{me.view.run.id} is not training. esc shows {current.run.id}, which is."
        return f"{me.view.run.id} is not training. r resumes it."

    def action_pause(self) -> None:
        control = self._control()
        if control is not None and self._me.session is not None:
            if self._me.session.status.state == "paused":
                control.go_on()
            else:
                control.pause()

    def action_save(self) -> None:
        control = self._control()
        if control is not None:
            control.save()

    def action_sample(self) -> None:
        control = self._control()
        if control is not None:
            control.sample()

    def action_evaluate(self) -> None:
        control = self._control()
        if control is not None:
            control.evaluate()

    def action_stop(self) -> None:
        session = self._me.session
        if session is None or self._control() is None:
            return

        def stop(choice: str | None) -> None:
            if choice == "stop":
                session.stop()

        self._me.app.push_screen(
            Question(
                "Stop this run?",
                "It is saved and can be resumed exactly.",
                [Choice("stop", "Save and stop", ""), Choice("cancel", "Cancel", "go on training")],
                default="cancel",
            ),
            stop,
        )

    def action_halve_rate(self) -> None:
        control = self._control()
        if control is not None:
            control.scale_learning_rate(0.5)

    def action_double_rate(self) -> None:
        control = self._control()
        if control is not None:
            control.scale_learning_rate(2.0)

    def action_more_steps(self) -> None:
        control, view = self._control(), self._me.view
        if control is None or view is None:
            return

        def extend(text: str | None) -> None:
            if text:
                control.extend(min(whole_number(text), MOST_STEPS))

        tenth = str(max(1, view.info.max_steps // 10))
        self._me.app.push_screen(
            Ask("More steps", "How many are added?", tenth, steps_problem), extend
        )
