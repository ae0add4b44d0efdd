"""Widgets of the audition: the player and the sound input, which run in the browser, and their applications' base."""

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from ipywidgets import HTML, Box, Button, VBox, Widget
from jinja2 import Environment, FileSystemLoader

from jointlib.audition.sounds import SoundError

_BROWSER = Path(__file__).parent / "browser"


def short(intent: str) -> str:
    """An intent without its empty slots: ``activate lights kitchen``."""
    return intent.replace(" / none", "").replace(" / ", " ")


_templates = Environment(loader=FileSystemLoader(_BROWSER), autoescape=True, trim_blocks=True, lstrip_blocks=True)
_templates.filters["short"] = short
html = _templates.get_template("panels.html").module  # its macros, as functions


class Player(anywidget.AnyWidget):
    """Channels that run in parallel, one of them audible; see browser/player.js."""

    _esm, _css = _BROWSER / "player.js", _BROWSER / "audition.css"
    sound = traitlets.Dict().tag(sync=True)  # see `sounds.player_sound`; a new one continues at the old one's position
    captions = traitlets.Dict().tag(sync=True)  # channel -> its title in the picture and the tooltip
    picture = traitlets.Bool(True).tag(sync=True)  # False in a blind vote: no picture, always loudness-matched
    residual_of = traitlets.Unicode("A").tag(sync=True)  # set by the buttons beside the residual
    played = traitlets.Dict().tag(sync=True)  # set by the browser: a sound's revision, and its channels played so far

    def load(self, sound: dict[str, Any]) -> None:
        """Send a sound to the browser."""
        self.sound = {**sound, "revision": self.sound.get("revision", 0) + 1}


class SoundInput(anywidget.AnyWidget):
    """A file or a recording from the browser; see browser/sound_input.js.

    It sends messages: {"name": ...} with the content of an audio file as buffer, or {"problem": ...}, one line of text.
    """

    _esm = _BROWSER / "sound_input.js"


class Application(VBox):
    """Cards below a status line, which shows errors."""

    def __init__(self):
        super().__init__()
        self.status = HTML().add_class("jl-status")
        self._task: asyncio.Task[None] | None = None
        self.add_class("jl-application")

    def say(self, text: str, details: str = "") -> None:
        """Show one line, and `details` to unfold; nothing for an empty text."""
        self.status.value = html.status(text, details)

    def attempt(self, step: Callable[[], Any]) -> None:
        """Do a step and show its error, if any. Every error but a SoundError comes with its traceback to unfold."""
        try:
            step()
        except SoundError as error:
            self.say(str(error))
        except Exception as error:
            self.say(repr(error), traceback.format_exc())

    def on(self, step: Callable[[], None], *controls: Widget, trait: str = "value") -> None:
        """Attempt a step whenever a trait of one of the controls changes, or a button among them is pressed."""

        def handle(_event: Any) -> None:
            self.say("")
            self.attempt(step)

        for control in controls:
            if isinstance(control, Button):
                control.on_click(handle)
            else:
                control.observe(handle, trait)

    def later(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start slow work in the background; earlier work is cancelled. Does nothing in a script."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no event loop: a script, where no browser waits for the result
            return
        if self._task is not None:
            self._task.cancel()
        self._task = loop.create_task(work())
        self._task.add_done_callback(lambda task: task.cancelled() or self.attempt(task.result))


def card(title: str, *children: Widget) -> VBox:
    """Controls under a small title."""
    return VBox([*([HTML(html.heading(title))] if title else []), *children]).add_class("jl-card")


def box(css_class: str, *children: Widget) -> Box:
    """Widgets side by side: buttons ("jl-row"), or as many cards as there is room for ("jl-columns")."""
    return Box(children).add_class(css_class)
