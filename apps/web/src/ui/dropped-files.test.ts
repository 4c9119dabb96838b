import { expect, it } from "vitest";
import { sort } from "./dropped-files.ts";
import { namedSource } from "./model-dialog.ts";

/** As browsers have them; Node's files know of no folder. */
const file = (name: string, content = "x", folder = "") =>
  Object.defineProperty(new File([content], name), "webkitRelativePath", { value: folder === "" ? "" : `${folder}/${name}` });

it("takes a file with weights, or several files, for a model", async () => {
  expect(await sort([file("m.gguf")])).toMatchObject({ kind: "model", source: { kind: "files", name: "m.gguf" } });
  const folder = [file("config.json"), file("model.safetensors"), file("tokenizer.json")];
  const found = await sort(folder, "SmolLM2");
  expect(found).toMatchObject({ kind: "model", source: { name: "SmolLM2" } });
  expect(found.kind === "model" && found.source.kind === "files" && [...found.source.files.keys()]).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
});

it("names a model after the folder that it was picked in", async () => {
  expect(await sort([file("config.json", "{}", "qwen"), file("model.safetensors", "x", "qwen")])).toMatchObject({ source: { name: "qwen" } });
});

it("takes any other file for a text, unless it is none", async () => {
  expect(await sort([file("notes", "It rained.")])).toEqual({ kind: "text", text: "It rained." });
  expect(await sort([file("x.png", "a\0b")])).toMatchObject({ kind: "refused", error: { message: expect.stringContaining("x.png is no text") } });
  expect(await sort([])).toMatchObject({ kind: "refused" });
  const huge = Object.defineProperty(file("huge.txt"), "size", { value: 2 ** 30 });
  expect(await sort([huge])).toMatchObject({ kind: "refused", error: { message: expect.stringContaining("too large") } });
});

it.each([
  ["embedded", { kind: "embedded" }],
  ["hf:org/name@main", { kind: "name", name: "hf:org/name@main" }],
  ["org/name", { kind: "name", name: "hf:org/name" }],
  ["org/name:Q4_K_M", { kind: "name", name: "hf:org/name:Q4_K_M" }],
  ["org/name/file.gguf", { kind: "name", name: "hf:org/name/file.gguf" }],
  ["https://example.org/m.gguf", { kind: "name", name: "https://example.org/m.gguf" }],
])("understands the name %s", (name, source) => {
  expect(namedSource(name)).toEqual(source);
});
