import { FormatError, NotAvailableError, UnsupportedError, fromF32, hostTensor, writeSafetensors } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { memoryFiles } from "../../test/formats/memory-files.ts";
import { ggufBytes } from "./gguf-writer.ts";
import { openWeights } from "./weight-source.ts";

const matrix = (from: number): ReturnType<typeof hostTensor> =>
  hostTensor("bf16", [3, 2], fromF32("bf16", Float32Array.from({ length: 6 }, (_, i) => from + i)));

const INDEX = "model.safetensors.index.json";
const FIRST = "model-00001-of-00002.safetensors";
const SECOND = "model-00002-of-00002.safetensors";
const index = (map: Record<string, unknown>): string => JSON.stringify({ metadata: {}, weight_map: map });
const shards = { [FIRST]: writeSafetensors({ a: matrix(0), b: matrix(10) }), [SECOND]: writeSafetensors({ c: matrix(20) }) };

describe("openWeights", () => {
  it("reads a single file by rows", async () => {
    const files = memoryFiles({ "config.json": "{}", "model.safetensors": writeSafetensors({ a: matrix(0) }) });
    const weights = await openWeights(files);
    expect(weights.names).toEqual(["a"]);
    expect(weights.info("a")).toEqual({ dtype: "bf16", shape: [3, 2] });
    expect(weights.bytes).toBe(12);
    expect(await weights.readRows("a", 1, 2)).toEqual(fromF32("bf16", Float32Array.of(2, 3)));
    expect(() => weights.info("b")).toThrow(NotAvailableError);
    await weights.close();
    expect(files.stillOpen()).toBe(0);
  });

  it("reads shards by their index", async () => {
    const files = memoryFiles({ ...shards, [INDEX]: index({ a: FIRST, b: FIRST, c: SECOND }) });
    const weights = await openWeights(files);
    expect([...weights.names].sort()).toEqual(["a", "b", "c"]);
    expect(weights.bytes).toBe(36);
    expect(await weights.readRows("c", 2, 3)).toEqual(fromF32("bf16", Float32Array.of(24, 25)));
    await weights.close();
    expect(files.stillOpen()).toBe(0);
  });

  it("reads GGUF, with its metadata at hand", async () => {
    const data = fromF32("q8_0", new Float32Array(64).fill(1));
    const file = await ggufBytes({
      metadata: [["general.architecture", { type: "string", value: "llama" }]],
      tensors: [{ name: "output.weight", dtype: "q8_0", shape: [2, 32], data: () => [data] }],
    });
    const weights = await openWeights(memoryFiles({ "x.gguf": file }));
    expect(weights.gguf?.string("general.architecture")).toBe("llama");
    expect(weights.info("output.weight")).toEqual({ dtype: "q8_0", shape: [2, 32] });
    expect(await weights.readRows("output.weight", 1, 2)).toEqual(data.subarray(34));
  });

  it("lists tensors of unreadable types and refuses them by type", async () => {
    const header = JSON.stringify({ a: { dtype: "F8_E4M3", shape: [1], data_offsets: [0, 1] } });
    const bytes = new Uint8Array(8 + header.length + 1);
    bytes[0] = header.length;
    bytes.set(new TextEncoder().encode(header), 8);
    const weights = await openWeights(memoryFiles({ "model.safetensors": bytes }));
    expect(weights.names).toEqual(["a"]);
    expect(() => weights.info("a")).toThrow(UnsupportedError);
    expect(() => weights.info("a")).toThrow(/F8_E4M3/);
  });

  it.each<[string, Record<string, Uint8Array | string>, new (...args: never[]) => Error, RegExp]>([
    ["no weights", { "config.json": "{}" }, NotAvailableError, /has no weights.*holds config.json/],
    ["several files without an index", shards, NotAvailableError, /2 weight files and no model.safetensors.index.json/],
    ["an index that is no JSON", { ...shards, [INDEX]: "{" }, FormatError, /is not JSON/],
    ["an index without a map", { ...shards, [INDEX]: '{"weight_map":[]}' }, FormatError, /no object "weight_map"/],
    ["a missing shard", { [FIRST]: shards[FIRST] as Uint8Array, [INDEX]: index({ a: FIRST, c: SECOND }) }, NotAvailableError, /names 1 shards that are not there \(model-00002/],
    ["a tensor that its shard lacks", { ...shards, [INDEX]: index({ a: FIRST, b: FIRST, c: SECOND, d: SECOND }) }, FormatError, /puts tensor "d" into model-00002.*does not hold it/],
    ["a tensor placed in the wrong shard", { ...shards, [INDEX]: index({ a: SECOND, b: FIRST, c: SECOND }) }, FormatError, /"a" into model-00002/],
    ["a tensor that the index leaves out", { ...shards, [INDEX]: index({ a: FIRST, c: SECOND }) }, FormatError, /does not list tensor "b" of model-00001/],
    ["a tensor in two shards", { ...shards, [SECOND]: writeSafetensors({ a: matrix(5), c: matrix(1) }), [INDEX]: index({ a: FIRST, b: FIRST, c: SECOND }) }, FormatError, /"a" lies in model-00001.* and in model-00002/],
    ["a shard outside the folder", { ...shards, [INDEX]: index({ a: "../x.safetensors" }) }, FormatError, /into "..\/x.safetensors"; the plain name/],
    ["an absolute shard", { ...shards, [INDEX]: index({ a: "/etc/x.safetensors" }) }, FormatError, /the plain name/],
    ["a shard on another drive", { ...shards, [INDEX]: index({ a: "c:\\x.safetensors" }) }, FormatError, /the plain name/],
    ["a shard that is no name", { ...shards, [INDEX]: index({ a: [[[]]] }) }, FormatError, /into object; the plain name/],
    ["a truncated shard", { ...shards, [SECOND]: (shards[SECOND] as Uint8Array).slice(0, -1), [INDEX]: index({ a: FIRST, b: FIRST, c: SECOND }) }, FormatError, /model-00002/],
    ["two GGUF files", { "a.gguf": "", "b.gguf": "" }, NotAvailableError, /2 weight files/],
  ])("refuses %s and leaves nothing open", async (_, given, kind, message) => {
    const files = memoryFiles(given);
    const outcome = await openWeights(files).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(kind);
    expect((outcome as Error).message).toMatch(message);
    expect(files.stillOpen()).toBe(0);
  });

  it("refuses a part of a split GGUF model", async () => {
    const file = await ggufBytes({ metadata: [["split.count", { type: "u16", value: 3 }]], tensors: [] });
    const files = memoryFiles({ "x-00001-of-00003.gguf": file });
    await expect(openWeights(files)).rejects.toThrow(/split into 3 files; join them/);
    expect(files.stillOpen()).toBe(0);
  });
});
