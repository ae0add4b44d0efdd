// The player. All channels run in parallel and only their gains change, so that a switch keeps the position without a gap.

const FADE = 0.008; // seconds of every cross-fade: long enough not to click, too short to be noticed
const LEAD = 0.02; // seconds from a change of the sound until the new voice starts
const SLOTS = ["clean", "noisy", "enhanced A", "enhanced B", "residual"]; // keys 1 to 5, even if one is missing
const MEL_TICKS = [[500, "0.5"], [1000, "1"], [2000, "2"], [4000, "4"]]; // Hz, label in kHz
const PLAY = '<svg viewBox="0 0 16 16" width="16" height="16"><path d="M3 1l11 7-11 7z"/></svg>';
const PAUSE = '<svg viewBox="0 0 16 16" width="16" height="16"><path d="M3 2h4v12H3zM9 2h4v12H9z"/></svg>';
const MAGMA = ( // matplotlib's colour map at 17 places
  "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf"
).split(" ");
const WAVE = 34, MEL = 64, LEFT = 52, RIGHT = 44; // px

class Engine {
  constructor(onend) {
    this.onend = onend;
    this.chosen = "enhanced A"; // the audible channel
    this.offset = 0; // seconds: the position when paused; while playing, the position at which the voice started
    this.loop = this.matched = true;
  }

  get playing() { return Boolean(this.voice); }

  get position() { return this.playing ? this.positionAt(this.context.currentTime) : this.offset; }

  positionAt(time) {
    const elapsed = this.offset + Math.max(0, time - this.voice.startedAt);
    return this.loop ? elapsed % this.duration : Math.min(elapsed, this.duration);
  }

  // The earliest time at which a new voice can start: it needs LEAD to be sample-accurate, and the last fade must be over.
  get takeover() { return Math.max(this.context.currentTime + LEAD, this.voice.startedAt + 2 * FADE); }

  load(sound) {
    const buffers = sound.samples.map((samples) => {
      const buffer = new AudioBuffer({ length: samples.length, sampleRate: sound.sample_rate });
      const values = buffer.getChannelData(0);
      for (let at = 0; at < samples.length; at++) values[at] = (samples[at] * sound.peak) / 32767;
      return buffer;
    });
    const another = this.duration !== buffers[0].duration; // otherwise the same speech, mixed or enhanced anew
    this.takeOver(() => {
      this.offset = another ? 0 : this.offset;
      if (!sound.names.includes(this.chosen)) this.chosen = sound.names.includes("noisy") ? "noisy" : sound.names[0];
      Object.assign(this, { ...sound, buffers, duration: buffers[0].duration });
    });
  }

  seek(seconds) {
    this.takeOver(() => (this.offset = Math.max(0, Math.min(seconds, this.duration - 0.01))));
  }

  // Apply a change and cross-fade from the old voice to a new one.
  takeOver(change) {
    const at = this.playing ? this.takeover : null;
    if (at !== null) this.stop(at);
    const ended = !this.loop && this.offset >= this.duration;
    if (ended) this.offset = 0;
    change();
    if (at !== null && !ended) this.play(at);
  }

  level(channel) {
    if (this.names[channel] !== this.chosen) return 0;
    return this.matched ? this.gains[channel] : Math.min(1, 0.99 / this.peak);
  }

  play(at = null) {
    if (!this.buffers || this.playing) return;
    this.context ??= new AudioContext({ sampleRate: this.sample_rate }); // the browser resamples its output
    this.context.resume();
    const startedAt = at ?? this.context.currentTime;
    const out = new GainNode(this.context, { gain: 0 });
    out.connect(this.context.destination);
    out.gain.setValueAtTime(0, startedAt);
    out.gain.linearRampToValueAtTime(1, startedAt + FADE);
    const gains = this.buffers.map((_, channel) => new GainNode(this.context, { gain: this.level(channel) }));
    const sources = this.buffers.map((buffer, channel) => {
      const source = new AudioBufferSourceNode(this.context, { buffer, loop: this.loop });
      source.connect(gains[channel]).connect(out);
      source.start(startedAt, this.offset % this.duration);
      return source;
    });
    const voice = (this.voice = { out, gains, sources, startedAt });
    sources[0].onended = () => {
      if (this.voice !== voice) return;
      this.voice = null;
      this.offset = 0;
      this.onend();
    };
  }

  stop(at = this.context.currentTime) {
    const { out, sources } = this.voice;
    this.offset = this.positionAt(at);
    this.voice = null;
    out.gain.cancelScheduledValues(at);
    out.gain.setValueAtTime(1, at);
    out.gain.linearRampToValueAtTime(0, at + FADE);
    sources.forEach((source) => source.stop(at + FADE));
  }

  choose(name) {
    this.chosen = name;
    this.fade();
  }

  setMatched(matched) {
    this.matched = matched;
    this.fade();
  }

  setLoop(loop) {
    this.offset = this.position;
    this.loop = loop;
    if (this.playing) {
      this.voice.startedAt = this.context.currentTime;
      this.voice.sources.forEach((source) => (source.loop = loop));
    }
  }

  fade() {
    this.voice?.gains.forEach((node, channel) => {
      node.gain.setTargetAtTime(this.level(channel), this.context.currentTime, FADE / 4);
    });
  }

  close() {
    if (this.playing) this.stop();
    this.context?.close();
  }
}

const make = (tag, className, text = "") => {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
};

const toggle = (label, checked, onchange) => {
  const box = make("label", "jl-toggle", label);
  const input = make("input", "");
  input.type = "checkbox";
  input.checked = checked;
  input.onchange = () => onchange(input.checked);
  box.prepend(input);
  return box;
};

// Copies the buffers, as they may be misaligned within the message.
function unpack({ names, audio, mels, ...rest }) {
  const bytes = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  const split = (all) => names.map((_, channel) => {
    const length = all.length / names.length;
    return all.subarray(channel * length, (channel + 1) * length);
  });
  return { ...rest, names, samples: split(new Int16Array(bytes(audio))), shades: split(new Uint8Array(bytes(mels))) };
}

const slaney = (hertz) => (hertz < 1000 ? (hertz * 3) / 200 : 15 + Math.log(hertz / 1000) * (27 / Math.log(6.4)));

// A pen in the theme's colour and font, in CSS pixels.
function penFor(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  pen.strokeStyle = pen.fillStyle = style.color;
  pen.font = `10px ${style.fontFamily}`;
  return pen;
}

// Waveform above log-mel spectrogram of one channel, on scales common to all channels.
function drawLane(canvas, sound, channel) {
  const pen = penFor(canvas, WAVE + MEL);
  const span = canvas.clientWidth - LEFT - RIGHT;
  const samples = sound.samples[channel];
  pen.beginPath();
  for (let x = 0; x < span; x++) {
    let low = 0, high = 0;
    const end = Math.min(samples.length, ((x + 1) * samples.length) / span);
    for (let at = Math.floor((x * samples.length) / span); at < end; at++) {
      low = Math.min(low, samples[at]);
      high = Math.max(high, samples[at]);
    }
    pen.moveTo(LEFT + x + 0.5, (WAVE / 2) * (1 - high / 32767) - 0.3);
    pen.lineTo(LEFT + x + 0.5, (WAVE / 2) * (1 - low / 32767) + 0.3);
  }
  pen.globalAlpha = 0.75;
  pen.stroke();
  pen.globalAlpha = 1;
  pen.textAlign = "right";
  pen.fillText(`±${sound.peak.toPrecision(2)}`, LEFT - 6, WAVE / 2 + 3);
  drawMel(pen, sound, channel, span);
  for (const [hertz, label] of MEL_TICKS) {
    const y = WAVE + MEL * (1 - slaney(hertz) / slaney(sound.sample_rate / 2));
    pen.textAlign = "right";
    pen.fillText(hertz === 1000 ? `${label} kHz` : label, LEFT - 8, y + 3);
    pen.fillRect(LEFT - 5, y, 4, 1);
  }
}

const COLOURS = Array.from({ length: 256 }, (_, shade) => { // [red, green, blue], interpolated
  const at = (shade / 255) * (MAGMA.length - 1), low = Math.min(Math.floor(at), MAGMA.length - 2);
  const part = (place, index) => parseInt(MAGMA[place].slice(2 * index, 2 * index + 2), 16);
  return [0, 1, 2].map((index) => Math.round(part(low, index) + (at - low) * (part(low + 1, index) - part(low, index))));
});

function drawMel(pen, sound, channel, span) {
  const bands = 64;
  const shades = sound.shades[channel];
  const frames = shades.length / bands;
  const image = new ImageData(frames, bands);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = Uint32Array.from(COLOURS, ([red, green, blue]) => 0xff000000 | (blue << 16) | (green << 8) | red);
  for (let frame = 0; frame < frames; frame++) {
    for (let band = 0; band < bands; band++) {
      pixels[(bands - 1 - band) * frames + frame] = colours[shades[frame * bands + band]];
    }
  }
  const sheet = new OffscreenCanvas(frames, bands);
  sheet.getContext("2d").putImageData(image, 0, 0);
  pen.drawImage(sheet, LEFT, WAVE, span, MEL);
  const bar = LEFT + span + 8; // the colour scale, in dB below the maximum of all channels
  for (let y = 0; y < MEL; y++) {
    pen.save();
    pen.fillStyle = `rgb(${COLOURS[Math.round(255 * (1 - y / (MEL - 1)))].join(" ")})`;
    pen.fillRect(bar, WAVE + y, 7, 1.5);
    pen.restore();
  }
  pen.textAlign = "left";
  pen.fillText("0 dB", bar + 10, WAVE + 8);
  pen.fillText(`−${sound.range_db}`, bar + 10, WAVE + MEL);
}

function drawTimeAxis(canvas, duration) {
  const pen = penFor(canvas, 22);
  const width = canvas.clientWidth;
  pen.textAlign = "center";
  const step = [0.1, 0.2, 0.5, 1, 2, 5].find((value) => duration / value <= 12) ?? 10;
  const span = width - LEFT - RIGHT;
  for (let tick = 0; tick * step <= duration + 1e-9; tick++) {
    const x = LEFT + (tick * step * span) / duration;
    pen.fillRect(x, 0, 1, 4);
    if (x < LEFT + span - 8) pen.fillText((tick * step).toFixed(step < 1 ? 1 : 0), x, 14); // before "time (s)"
  }
  pen.textAlign = "left";
  pen.fillText("time (s)", width - RIGHT + 2, 14);
}

function render({ model, el }) {
  el.classList.add("jl-player");
  el.tabIndex = 0;
  const bar = make("div", "jl-bar");
  const playButton = make("button", "jl-play");
  playButton.innerHTML = PLAY;
  playButton.title = "play or pause (space)";
  const chips = make("div", "jl-chips");
  const clock = make("span", "jl-clock");
  bar.append(playButton, chips, clock);
  const lanes = make("div", "jl-lanes");
  const playhead = make("div", "jl-playhead");
  const axis = make("canvas", "jl-axis");
  const engine = new Engine(() => show());
  const picture = model.get("picture");
  const options = make("div", "jl-options");
  const hint = make("span", "jl-hint");
  options.append(
    toggle("loop", true, (on) => engine.setLoop(on)),
    ...(picture ? [toggle("loudness-matched", true, (on) => engine.setMatched(on))] : []), // a blind vote always is
    hint,
  );
  el.append(bar, options, lanes);

  let sound = null;

  const show = () => {
    playButton.innerHTML = engine.playing ? PAUSE : PLAY;
    [...chips.children].forEach((chip) => chip.classList.toggle("jl-chosen", chip.dataset.name === engine.chosen));
    [...lanes.querySelectorAll(".jl-lane")].forEach((lane) =>
      lane.classList.toggle("jl-chosen", lane.dataset.name === engine.chosen));
    Object.assign(el.dataset, { playing: engine.playing, channel: engine.chosen });
    notePlayed();
  };

  const notePlayed = () => {
    const { revision, names } = model.get("played");
    const before = revision === sound?.revision ? names : [];
    if (picture || !engine.playing || before.includes(engine.chosen)) return;
    model.set("played", { revision: sound.revision, names: [...before, engine.chosen] });
    model.save_changes();
  };

  const keyOf = (name) => 1 + (picture ? SLOTS : sound.names).indexOf(name);

  const choose = (name) => {
    if (!sound?.names.includes(name)) return;
    engine.choose(name);
    show();
  };

  const playOrPause = () => {
    if (engine.playing) engine.stop();
    else engine.play();
    show();
  };

  const drawPicture = () => {
    if (!sound || !picture || !lanes.clientWidth) return;
    lanes.replaceChildren();
    sound.names.forEach((name, channel) => {
      const lane = make("div", "jl-lane");
      lane.dataset.name = name;
      const canvas = make("canvas", "");
      lane.append(make("span", "jl-lane-name", model.get("captions")[name] ?? name), canvas);
      lanes.append(lane);
      drawLane(canvas, sound, channel);
    });
    lanes.append(axis, playhead);
    drawTimeAxis(axis, engine.duration);
    show();
  };

  // A button for each enhanced channel, which chooses its residual.
  const residualOf = () => ["A", "B"].filter((lane) => sound.names.includes(`enhanced ${lane}`)).map((lane) => {
    const shown = model.get("captions").residual === `residual of ${lane}`;
    const button = make("button", shown ? "jl-of jl-chosen" : "jl-of", lane);
    Object.assign(button, { title: `residual of ${lane}`, ariaPressed: String(shown) });
    button.onclick = () => {
      model.set("residual_of", lane);
      model.save_changes();
      el.focus({ preventScroll: true });
    };
    return button;
  });

  const drawChips = () => {
    const click = picture ? "; a click in the picture jumps there" : "";
    hint.textContent = `keys: ${sound.names.map(keyOf).join(", ")} choose what you hear, space plays${click}`;
    const captions = model.get("captions");
    chips.replaceChildren(...sound.names.map((name) => {
      const chip = make("div", "jl-chip");
      chip.dataset.name = name;
      const button = make("button", "jl-channel");
      button.append(make("kbd", "", name === String(keyOf(name)) ? "" : keyOf(name)), make("span", "", name));
      button.title = captions[name] ?? name;
      button.onclick = () => {
        choose(name);
        el.focus({ preventScroll: true }); // so that space plays
      };
      chip.append(button);
      if (name === "residual") {
        const row = make("div", "jl-chip-row");
        row.append(...residualOf());
        chip.append(row);
      }
      return chip;
    }));
  };

  const load = () => {
    const arrived = model.get("sound");
    if (!arrived.names) return;
    const renamed = sound?.names.join() !== arrived.names.join();
    sound = unpack(arrived);
    engine.load(sound);
    if (renamed) drawChips();
    show();
    el.dataset.revision = sound.revision;
    requestAnimationFrame(drawPicture); // after the sound has changed, which takes no drawing time
  };

  const onkey = (event) => {
    const writing = "input:not([type=checkbox]), select, textarea, [contenteditable=true]";
    if (event.key === "Tab") tabbed = true;
    if (!sound || !area.contains(event.target) || event.target.closest(writing)) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const name = sound.names.find((known) => String(keyOf(known)) === event.key);
    if (event.key === " " && tabbed && event.target.matches("button, input")) return; // presses the focused control
    if (event.key !== " " && !name) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat) return;
    if (name) choose(name);
    else playOrPause();
  };

  const onkeyup = (event) => { // a button that the mouse focused would be clicked when the space bar is released
    const chosen = event.key === " " && !tabbed && area.contains(event.target) && event.target.matches("button, input");
    if (chosen) event.preventDefault();
  };

  // Space presses a button or a box only if the Tab key focused it; after a click of the mouse, space plays.
  let tabbed = false;
  const onpointer = () => (tabbed = false);

  playButton.onclick = () => {
    playOrPause();
    el.focus({ preventScroll: true });
  };
  lanes.onpointerdown = (event) => {
    const box = lanes.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    if (sound && share >= 0 && share <= 1) engine.seek(share * engine.duration);
  };

  // Keys work in the whole application around the player; they are captured before JupyterLab makes headings of digits.
  let area = el;
  const settle = requestAnimationFrame(() => {
    area = el.closest(".jl-application") ?? el;
    if (area !== el) area.tabIndex = -1;
    const { top, bottom } = bar.getBoundingClientRect(); // after "Run all cells" the notebook is scrolled to its end
    if (picture && (top < 0 || bottom > window.innerHeight)) area.scrollIntoView();
  });
  window.addEventListener("keydown", onkey, true);
  window.addEventListener("keyup", onkeyup, true);
  window.addEventListener("pointerdown", onpointer, true);

  const tick = () => {
    if (sound) {
      const { position, duration } = engine;
      clock.textContent = `${position.toFixed(2)} / ${duration.toFixed(2)} s`;
      playhead.style.left = `${LEFT + ((lanes.clientWidth - LEFT - RIGHT) * position) / duration}px`;
      el.dataset.position = position.toFixed(4);
    }
    frame = requestAnimationFrame(tick);
  };
  let frame = requestAnimationFrame(tick);

  const sized = new ResizeObserver(() => requestAnimationFrame(drawPicture));
  sized.observe(el);
  const themed = new MutationObserver(() => requestAnimationFrame(drawPicture));
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  const preferred = matchMedia("(prefers-color-scheme: dark)"); // decides Voila's colours
  preferred.addEventListener("change", drawPicture);
  model.on("change:sound", load);
  model.on("change:captions", () => sound && drawChips());
  load();

  return () => {
    cancelAnimationFrame(frame);
    cancelAnimationFrame(settle);
    sized.disconnect();
    themed.disconnect();
    preferred.removeEventListener("change", drawPicture);
    window.removeEventListener("keydown", onkey, true);
    window.removeEventListener("keyup", onkeyup, true);
    window.removeEventListener("pointerdown", onpointer, true);
    engine.close();
  };
}

export default { render };
