// A file, or a recording from the microphone at 16 kHz.

const LARGEST = 10_000_000; // bytes: a Jupyter server accepts messages of up to 10 MiB
const LONGEST = 30; // seconds
const RATE = 16_000; // Hz

// Runs in the audio thread and posts the samples.
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; }
});`;

async function record(stream, stopped, onlevel) {
  const context = new AudioContext();
  const module = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
  try {
    await context.audioWorklet.addModule(module);
    const blocks = [];
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => {
      blocks.push(data);
      onlevel(Math.max(...data.map(Math.abs)));
    };
    new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(tap);
    await stopped;
    const length = blocks.reduce((sum, block) => sum + block.length, 0);
    if (!length) return new Float32Array(0);
    const heard = new AudioBuffer({ length, sampleRate: context.sampleRate });
    let at = 0;
    for (const block of blocks) {
      heard.getChannelData(0).set(block, at);
      at += block.length;
    }
    const resampler = new OfflineAudioContext(1, Math.ceil((length * RATE) / context.sampleRate), RATE);
    const source = new AudioBufferSourceNode(resampler, { buffer: heard });
    source.connect(resampler.destination);
    source.start();
    return (await resampler.startRendering()).getChannelData(0);
  } finally {
    URL.revokeObjectURL(module);
    await context.close();
  }
}

// Float samples as a mono wav file, so that Python decodes a recording like any other file.
function asWav(samples) {
  const header = new DataView(new ArrayBuffer(44));
  const name = (at, text) => [...text].forEach((letter, place) => header.setUint8(at + place, letter.charCodeAt(0)));
  name(0, "RIFF");
  header.setUint32(4, 36 + samples.byteLength, true);
  name(8, "WAVEfmt ");
  header.setUint32(16, 16, true); // bytes of what follows, up to "data"
  header.setUint16(20, 3, true); // 32-bit floats
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, RATE, true);
  header.setUint32(28, 4 * RATE, true); // bytes a second
  header.setUint16(32, 4, true); // bytes a sample
  header.setUint16(34, 32, true); // bits a sample
  name(36, "data");
  header.setUint32(40, samples.byteLength, true);
  const file = new Uint8Array(44 + samples.byteLength);
  file.set(new Uint8Array(header.buffer));
  file.set(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength), 44); // little-endian everywhere
  return file.buffer;
}

function render({ model, el }) {
  el.classList.add("jl-sound-input");
  const button = (text, title) => {
    const element = document.createElement("button");
    Object.assign(element, { textContent: text, title, className: "jl-button" });
    return element;
  };
  const picker = Object.assign(document.createElement("input"), { type: "file", accept: "audio/*", hidden: true });
  const upload = button("Upload a file …", "wav, flac, ogg, mp3; any sample rate (content above 8 kHz is lost), mono or stereo, up to 30 s; or drop it here");
  const microphone = button("● Record", "from the microphone, up to 30 s");
  const meter = document.createElement("meter");
  Object.assign(meter, { max: 1, high: 0.95, hidden: true });
  el.append(upload, microphone, meter, picker);

  const fail = (problem) => model.send({ problem });

  const send = (name, bytes) => model.send({ name }, undefined, [bytes]);

  const sendFile = async (file) => {
    if (!file) return;
    if (file.size > LARGEST) {
      fail(`${file.name} has ${Math.round(file.size / 1e6)} MB; choose a recording of up to 30 s and 10 MB, such as flac.`);
      return;
    }
    try {
      send(file.name, await file.arrayBuffer());
    } catch (error) {
      fail(`${file.name} cannot be read: ${error.message}`);
    }
  };

  let stop = null;
  let closed = false;
  const toggleRecording = async () => {
    if (stop) {
      stop();
      return;
    }
    let stream = null;
    microphone.disabled = true; // until the permission is given
    try {
      if (!navigator.mediaDevices) throw new Error("the browser gives it only to pages on localhost or https");
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      stream = await navigator.mediaDevices.getUserMedia({ audio: { ...plain, channelCount: 1 } });
      if (closed) return;
      microphone.disabled = false;
      const stopped = new Promise((resolve) => (stop = resolve));
      const limit = setTimeout(stop, (LONGEST - 0.1) * 1000);
      microphone.textContent = "■ Stop";
      meter.hidden = false;
      const wave = await record(stream, stopped, (level) => (meter.value = level));
      clearTimeout(limit);
      send("The recording", asWav(wave));
    } catch (error) {
      fail(`No recording: ${error.name === "NotFoundError" ? "there is no microphone" : error.message}.`);
    } finally {
      stream?.getTracks().forEach((track) => track.stop());
      stop = null;
      microphone.disabled = false;
      microphone.textContent = "● Record";
      meter.hidden = true;
    }
  };

  upload.onclick = () => picker.click();
  picker.onchange = () => {
    sendFile(picker.files[0]);
    picker.value = ""; // the same file may be chosen again
  };
  microphone.onclick = toggleRecording;
  el.ondragover = (event) => event.preventDefault();
  el.ondrop = (event) => {
    event.preventDefault();
    event.stopPropagation();
    sendFile(event.dataTransfer.files[0]);
  };
  return () => {
    closed = true;
    stop?.();
  };
}

export default { render };
