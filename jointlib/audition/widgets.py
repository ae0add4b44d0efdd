"""The widgets of our own: a player of several channels, the input of a sound, and what an application stands on."""

import logging
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets
from matplotlib import colormaps

from jointlib.audition.sounds import SoundError
from jointlib.audition.votes import VoteError
from jointlib.corpora.corpus import CorpusError

_BROWSER = Path(__file__).parent / "browser"


class Player(anywidget.AnyWidget):
    """Channels that play together, one of them heard; see browser/player.js.

    Attributes:
        sound: what `audition.player_sound` returns; a new one takes over where the old one stands.
        captions: channel name -> what the picture and the tooltip call it.
        picture: whether waves and spectrograms are shown, and loudness-matching can be switched off.
        heard: from the browser, the ``revision`` of a sound and the ``names`` of its channels that were played.
    """

    _esm = _BROWSER / "player.js"
    _css = _BROWSER / "audition.css"
    sound = traitlets.Dict().tag(sync=True)
    captions = traitlets.Dict().tag(sync=True)
    picture = traitlets.Bool(True).tag(sync=True)
    heard = traitlets.Dict().tag(sync=True)
    palette = traitlets.Bytes((colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8).tobytes()).tag(
        sync=True
    )

    def load(self, sound: dict[str, Any]) -> None:
        """Hand a sound to the browser, in one message."""
        self.sound = {**sound, "revision": self.sound.get("revision", 0) + 1}


class SoundInput(anywidget.AnyWidget):
    """A file or a recording from the browser; see browser/sound_input.js.

    Args:
        on_sound: called with kind ("file" or "recording"), name and content: the file's bytes, or float32 samples at
            16 kHz.
        on_problem: called with a line of plain words when the browser has nothing to send.
    """

    _esm = _BROWSER / "sound_input.js"

    def __init__(self, on_sound: Callable[[str, str, bytes], None], on_problem: Callable[[str], None]):
        super().__init__()
        self._on_sound, self._on_problem = on_sound, on_problem
        self._parts: list[bytes] = []
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if content["kind"] == "problem":
            self._on_problem(content["text"])
            return
        self._parts[content["part"] :] = [bytes(buffers[0])]  # part 0 begins anew, whatever was left
        if len(self._parts) == content["parts"]:
            whole, self._parts = b"".join(self._parts), []
            self._on_sound(content["kind"], content["name"], whole)


class Application(ipywidgets.VBox):
    """Cards under each other, below a line that says in plain words what went wrong."""

    def __init__(self):
        super().__init__()
        self.status = ipywidgets.HTML().add_class("jl-status")
        self.add_class("jl-application")

    def say(self, text: str, problem: bool = False) -> None:
        """Show the first line of a text."""
        line = escape(text.strip().partition("\n")[0])
        self.status.value = f'<span class="{"jl-problem" if problem else "jl-note"}" role="status">{line}</span>'

    def plainly(self, step: Callable[[], None], clear: bool = True) -> Callable[..., None]:
        """A handler of events that does a step, and turns its errors into one line instead of a traceback."""

        def handler(*_event: Any) -> None:
            if clear:
                self.say("")
            try:
                step()
            except (SoundError, VoteError, CorpusError, FileNotFoundError) as error:
                self.say(str(error), problem=True)
            except Exception as error:  # whatever it is, the widgets live on; logging.DEBUG has the rest
                logging.getLogger(__name__).debug("an application could not do this", exc_info=True)
                self.say(f"That did not work: {type(error).__name__}, {error}", problem=True)

        return handler


def card(title: str, *children: ipywidgets.Widget) -> ipywidgets.VBox:
    """Controls that belong together, under a small title."""
    heading = [ipywidgets.HTML(f"<h4>{escape(title)}</h4>")] if title else []
    return ipywidgets.VBox([*heading, *children]).add_class("jl-card")


def typed(slider: ipywidgets.FloatSlider) -> ipywidgets.Box:
    """A slider and its value, which can be typed in (a slider's own readout forgets what is not ended by Enter)."""
    value = ipywidgets.BoundedFloatText(slider.value, min=slider.min, max=slider.max, step=slider.step)
    traitlets.link((slider, "value"), (value, "value"))
    return ipywidgets.Box([slider, value]).add_class("jl-typed")


def row(*children: ipywidgets.Widget) -> ipywidgets.Box:
    """Buttons in a row."""
    return ipywidgets.Box(children).add_class("jl-row")


def columns(*cards: ipywidgets.Widget) -> ipywidgets.Box:
    """Cards side by side, as many as there is room for."""
    return ipywidgets.Box(cards).add_class("jl-columns")
