"""Widgets of our own: a player, an input for sounds, the frame of an application; and HTML from browser/panels.html."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from ipywidgets import HTML, BoundedFloatText, Box, Button, FloatSlider, VBox, Widget
from jinja2 import Environment, FileSystemLoader

from jointlib.audition.sounds import SoundError
from jointlib.corpora.corpus import CorpusError
from jointlib.support.files import UnusableFile

_KNOWN = (SoundError, CorpusError, UnusableFile, FileNotFoundError)  # their text says what to do
_BROWSER = Path(__file__).parent / "browser"


def short(intent: str) -> str:
    """An intent without the slots that it leaves open: ``activate lights kitchen``."""
    return intent.replace(" / none", "").replace(" / ", " ")


def ordinal(rank: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    teen = rank // 10 % 10 == 1
    return f"{rank}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(rank % 10, 'th')}"


_templates = Environment(loader=FileSystemLoader(_BROWSER), autoescape=True, trim_blocks=True, lstrip_blocks=True)
_templates.filters |= {"short": short, "ordinal": ordinal}
html = _templates.get_template("panels.html").module  # its macros, as functions


class Player(anywidget.AnyWidget):
    """Channels that play together, of which one is heard; see browser/player.js."""

    _esm, _css = _BROWSER / "player.js", _BROWSER / "audition.css"
    sound = traitlets.Dict().tag(sync=True)  # of `sounds.player_sound`; a new one takes over where the old one is
    captions = traitlets.Dict().tag(sync=True)  # channel -> its name in the picture and in the tooltip
    picture = traitlets.Bool(True).tag(sync=True)  # are waves shown, and can loudness-matching be switched off?
    residual_of = traitlets.Unicode("A").tag(sync=True)  # chosen beside that channel
    played = traitlets.Dict().tag(sync=True)  # from the browser: revision of a sound, names of its channels played

    def load(self, sound: dict[str, Any]) -> None:
        """Hand a sound to the browser, in one message."""
        self.sound = {**sound, "revision": self.sound.get("revision", 0) + 1}


class SoundInput(anywidget.AnyWidget):
    """A file or a recording from the browser; see browser/sound_input.js.

    `on_sound` gets name and content of an audio file (a recording comes as wav), `on_problem` a line of plain words.
    """

    _esm = _BROWSER / "sound_input.js"

    def __init__(self, on_sound: Callable[[str, bytes], None], on_problem: Callable[[str], None]):
        super().__init__()
        self._on_sound, self._on_problem = on_sound, on_problem
        self._parts: list[bytes] = []
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if "problem" in content:
            self._on_problem(content["problem"])
            return
        self._parts[content["part"] :] = [bytes(buffers[0])]  # part 0 drops what an upload that broke off has left
        if len(self._parts) == content["parts"]:
            whole, self._parts = b"".join(self._parts), []
            self._on_sound(content["name"], whole)


class Application(VBox):
    """Cards below a line that says in plain words what went wrong."""

    def __init__(self):
        super().__init__()
        self.status = HTML().add_class("jl-status")
        self._task: asyncio.Task[None] | None = None
        self.add_class("jl-application")

    def say(self, text: str, problem: bool = False) -> None:
        """Show the first line of a text."""
        self.status.value = html.status(text.strip().partition("\n")[0], problem)

    def attempt(self, step: Callable[[], Any]) -> None:
        """Do a step. An error becomes one line; one that nobody foresaw is logged with its traceback, too."""
        try:
            step()
        except _KNOWN as error:
            self.say(str(error), problem=True)
        except Exception as error:
            logging.getLogger(__name__).exception("a step of the application failed")
            self.say(f"That did not work: {type(error).__name__}, {error}", problem=True)

    def on(self, step: Callable[[], None], *controls: Widget, trait: str = "value") -> None:
        """Attempt a step whenever the trait of one of the controls changes, or a button among them is pressed."""

        def handle(_event: Any) -> None:
            self.say("")
            self.attempt(step)

        for control in controls:
            if isinstance(control, Button):
                control.on_click(handle)
            else:
                control.observe(handle, trait)

    def later(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let slow work go on in the background, in place of what was begun before; without an event loop, drop it."""
        if self._task is not None:
            self._task.cancel()
        with suppress(RuntimeError):  # a script has no loop: nobody is looking at it
            self._task = asyncio.get_running_loop().create_task(work())
            self._task.add_done_callback(lambda task: task.cancelled() or self.attempt(task.result))


def card(title: str, *children: Widget) -> VBox:
    """Controls that belong together, under a small title."""
    return VBox([*([HTML(html.heading(title))] if title else []), *children]).add_class("jl-card")


def slider_with_number(slider: FloatSlider) -> Box:
    """A slider beside its value in a field (a slider's own readout loses a number that Enter does not end)."""
    number = BoundedFloatText(slider.value, min=slider.min, max=slider.max, step=slider.step)
    traitlets.link((slider, "value"), (number, "value"))
    return box("jl-typed", slider, number)


def box(css_class: str, *children: Widget) -> Box:
    """Widgets side by side: buttons ("jl-row"), or as many cards as there is room for ("jl-columns")."""
    return Box(children).add_class(css_class)
