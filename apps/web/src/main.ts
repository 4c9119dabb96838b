/** Wires the page's elements to its logic. */
import { App } from "./app.ts";
import type { ModelState } from "./app.ts";
import type { Attention, Example } from "./engine/protocol.ts";
import { keepOffline } from "./offline.ts";
import { chosenModel, exampleTokens, readSettings, storeModel, storeSettings } from "./settings.ts";
import { BlockPicture } from "./ui/block-picture.ts";
import { acceptDrops, sort } from "./ui/dropped-files.ts";
import type { Dropped } from "./ui/dropped-files.ts";
import { byId } from "./ui/elements.ts";
import { ModelDialog, namedSource } from "./ui/model-dialog.ts";
import { Notices } from "./ui/notices.ts";
import { parameters } from "./ui/numbers.ts";
import { RunStatus } from "./ui/run-status.ts";
import { TextPanel } from "./ui/text-panel.ts";
import { themeSwitch } from "./ui/theme.ts";

const settings = readSettings();
const notices = new Notices();
const picture = new BlockPicture();
const question = byId("question", HTMLTextAreaElement);
const [send, compare, stop] = ["send", "compare", "stop"].map((id) => byId(id, HTMLButtonElement)) as [HTMLButtonElement, HTMLButtonElement, HTMLButtonElement];
const starters = ["fill-example", "try"].map((id) => byId(id, HTMLButtonElement));

const app: App = new App({ notices, status: new RunStatus(), picture, onModel: showModel, onBusy: showBusy }, settings);
const dialog = new ModelDialog(settings, {
  onChoose: (source) => void app.load(source),
  onPick: take,
  onSettings: (changed) => {
    storeSettings(changed);
    app.settings = changed;
  },
  listKept: () => app.listKept(),
  forget: (name) => app.forget(name),
});
const panel = new TextPanel(exampleTokens(), {
  onChange: countSoon,
  onExample: (tokens) => void app.example(tokens, showExample),
  onFile: (file) => void sort([file]).then(take),
});

themeSwitch(() => picture.draw());
acceptDrops(take);
byId("try", HTMLButtonElement).onclick = () => {
  choose("sparse");
  void app.example(panel.exampleTokens, showExample, "sparse");
};
byId("ask", HTMLFormElement).onsubmit = (event) => {
  event.preventDefault();
  if (asked() !== undefined) void app.ask(panel.text, question.value.trim(), chosen());
};
question.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("ask", HTMLFormElement).requestSubmit();
};
compare.onclick = () => {
  if (asked() !== undefined) void app.compare(panel.text, question.value.trim());
};
stop.onclick = () => app.stop();
keepOffline(notices);
app.start(namedSource(chosenModel()));

/** The question, or undefined with the cursor where it should be written. */
function asked(): string | undefined {
  const text = question.value.trim();
  if (text !== "") return text;
  question.focus();
  return undefined;
}

function chosen(): Attention {
  const value = document.querySelector<HTMLInputElement>("input[name=attention]:checked")?.value;
  return value === "dense" || value === "sparse" ? value : "auto";
}

function choose(attention: Attention): void {
  const input = document.querySelector<HTMLInputElement>(`input[name=attention][value=${attention}]`);
  if (input !== null) input.checked = true;
}

function showExample(example: Example): void {
  panel.text = example.text;
  question.value = example.question;
  countSoon();
}

function take(dropped: Dropped): void {
  if (dropped.kind === "model") void app.load(dropped.source);
  else if (dropped.kind === "refused") notices.fail("drop", "That cannot be read", dropped.error);
  else {
    notices.clear("drop");
    panel.text = dropped.text;
    countSoon();
  }
}

let counting: ReturnType<typeof setTimeout> | undefined;

/** Counts the text's tokens once the visitor pauses. */
function countSoon(): void {
  panel.showSize(undefined, undefined);
  clearTimeout(counting);
  counting = setTimeout(async () => {
    const { text } = panel;
    const tokens = await app.count(text);
    if (text === panel.text) panel.showSize(tokens, app.model);
  }, 300);
}

function showModel(state: ModelState): void {
  const { source } = state;
  const name = source.kind === "embedded" ? "Embedded model" : source.name.replace(/^hf:|^https?:\/\/.*\//, "");
  byId("model-name", HTMLSpanElement).textContent = name;
  byId("model-dot", HTMLSpanElement).dataset["state"] = state.state;
  const notes = { none: "loads when you ask", loading: "loading…", failed: "not loaded" } as const;
  const note = state.state === "ready" ? `${parameters(state.model.parameters)}, ${state.model.backend.name === "webgpu" ? "WebGPU" : "CPU"}` : notes[state.state];
  byId("model-note", HTMLSpanElement).textContent = note;
  dialog.about(state.state === "ready" ? state.model : undefined);
  if (state.state !== "ready") return;
  if (source.kind !== "files") storeModel(source.kind === "name" ? source.name : "embedded");
  const oneThread = state.model.backend.name === "cpu" && !crossOriginIsolated && "serviceWorker" in navigator;
  if (oneThread) notices.say("threads", "Reload this page once: from then on the model computes on all of the processor's cores instead of one.");
  // Gigabytes that somebody waited for are not to be cleared away first.
  if (source.kind === "name") void navigator.storage?.persist();
  countSoon();
}

function showBusy(busy: boolean): void {
  const hadFocus = document.activeElement === send || document.activeElement === stop;
  send.hidden = busy;
  stop.hidden = !busy;
  compare.disabled = busy;
  for (const button of starters) button.disabled = busy;
  if (hadFocus) (busy ? stop : send).focus();
}
