import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byteChange, countingSource } from "../test/mutations.ts";
import { bytesSource } from "./byte-source.ts";
import { fromF32 } from "./convert.ts";
import { FormatError, InfllmError, NotAvailableError, ShapeError, UnsupportedError } from "./errors.ts";
import { hostF32, hostTensor } from "./host-tensor.ts";
import type { HostTensor } from "./host-tensor.ts";
import { openSafetensors, writeSafetensors } from "./safetensors.ts";
import { readSafetensorsHeader } from "./safetensors-header.ts";

const f32 = (shape: number[], from = 0): HostTensor =>
  hostTensor("f32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => from + i));

const sample = writeSafetensors(
  {
    "model.embed_tokens.weight": hostTensor("bf16", [4, 2], fromF32("bf16", Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8))),
    "model.norm.weight": f32([2], 10),
    "lm_head.weight": hostTensor("f16", [2, 2], fromF32("f16", Float32Array.of(-1, 0, 1, 2))),
    ids: hostTensor("i32", [3], Int32Array.of(-1, 0, 7)),
    mask: hostTensor("u8", [1, 3], Uint8Array.of(1, 0, 1)),
    empty: f32([0, 5]),
    scalar: f32([], 3),
  },
  { format: "pt" },
);

/** A file with this header (an object or literal text) and `dataBytes` zeros. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

async function refusal(bytes: Uint8Array): Promise<string> {
  const outcome = await readSafetensorsHeader(bytesSource(bytes, "x.safetensors")).catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(FormatError);
  return (outcome as FormatError).message;
}

const entry = (shape: unknown, begin: unknown, end: unknown, dtype: unknown = "F32"): unknown => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe("reading", () => {
  it("gives back what was written", async () => {
    const opened = await openSafetensors(bytesSource(sample));
    expect([...opened.tensors.keys()].sort()).toEqual(
      ["empty", "ids", "lm_head.weight", "mask", "model.embed_tokens.weight", "model.norm.weight", "scalar"].sort(),
    );
    expect(opened.metadata).toEqual(new Map([["format", "pt"]]));
    expect(opened.dataStart % 8).toBe(0);
    expect(opened.tensors.get("model.embed_tokens.weight")).toMatchObject({ dtype: "bf16", shape: [4, 2], bytes: 16 });
    expect(hostF32(await opened.tensor("ids"))).toEqual(Float32Array.of(-1, 0, 7));
    expect(hostF32(await opened.tensor("lm_head.weight"))).toEqual(Float32Array.of(-1, 0, 1, 2));
    expect(hostF32(await opened.tensor("scalar"))).toEqual(Float32Array.of(3));
    expect(hostF32(await opened.tensor("empty"))).toEqual(new Float32Array(0));
  });

  it("reads rows, and only their bytes", async () => {
    const source = countingSource(sample, "x");
    const opened = await openSafetensors(source);
    const before = source.asked();
    const rows = await opened.read("model.embed_tokens.weight", 1, 3);
    expect(rows).toEqual(fromF32("bf16", Float32Array.of(3, 4, 5, 6)));
    expect(source.asked() - before).toBe(8);
    await expect(opened.read("model.embed_tokens.weight", 3, 5)).rejects.toThrow(ShapeError);
    await expect(opened.read("model.embed_tokens.weight", 0.5)).rejects.toThrow(ShapeError);
    await expect(opened.read("model.embed")).rejects.toThrow(NotAvailableError);
  });

  it("lists types it cannot read, and refuses only to read them", async () => {
    const opened = await openSafetensors(
      bytesSource(file({ a: entry([2], 0, 16, "I64"), b: entry([3], 16, 19, "F8_E4M3"), c: entry([1], 19, 23) }, 23)),
    );
    expect(opened.unreadable.get("a")).toMatchObject({ typeName: "I64", shape: [2], bytes: 16 });
    expect([...opened.tensors.keys()]).toEqual(["c"]);
    expect(await opened.read("c")).toHaveLength(4);
    await expect(opened.read("b")).rejects.toThrow(UnsupportedError);
    await expect(opened.read("b")).rejects.toThrow(/F8_E4M3; F32, F16/);
  });

  it("treats no name as special but __metadata__", async () => {
    const names = ["__proto__", "constructor", "toString", "1", "0", 'a "quoted" \\ name\n', ""];
    const bytes = writeSafetensors(names.map((name, i) => [name, f32([1], i)] as const));
    const opened = await openSafetensors(bytesSource(bytes));
    for (const [i, name] of names.entries()) expect(hostF32(await opened.tensor(name))[0]).toBe(i);
    await expect(opened.read("hasOwnProperty")).rejects.toThrow(NotAvailableError);
  });
});

describe("refusing", () => {
  const good = { a: entry([2], 0, 8), b: entry([1], 8, 12) };
  it.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(0), /has 0 bytes; a safetensors file has at least 10/],
    ["a cut header", file(good, 12).slice(0, 40), /2 to 32 are possible/],
    ["a header length of 2^63", Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 128, 123, 125), /9223372036854776000 bytes/],
    ["a header length of 0", new Uint8Array(10), /a header of 0 bytes/],
    ["text that is no UTF-8", file("{}", 0).map((byte, i) => (i === 8 ? 0xff : byte)), /not UTF-8/],
    ["a byte order mark", file("\ufeff{}", 0), /not JSON/],
    ["broken JSON", file('{"a":', 0), /not JSON/],
    ["a list", file("[]", 0), /must be a JSON object; it is \[\]/],
    ["leading blanks", file(" {}", 0), /must be a JSON object/],
    ["deep nesting", file("[".repeat(50_000) + "]".repeat(50_000), 0), /must be a JSON object/],
    ["a deeply nested shape", file(`{"a":{"dtype":"F32","shape":${"[".repeat(9999) + "]".repeat(9999)}}}`, 0), /shape \[\[…\]\]/],
    ["a name given twice", file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0061":1}', 1), /"a" twice/],
    ["a field given twice", file('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1), /"dtype" twice/],
    ["a tensor that is no object", file({ a: 3 }, 0), /tensor "a" is 3/],
    ["an extra field", file({ a: { ...(entry([1], 0, 4) as object), stride: 1 } }, 4), /key "stride"/],
    ["an unknown dtype", file({ a: entry([1], 0, 4, "Q4") }, 4), /dtype "Q4"; the format knows F32, F16/],
    ["a dtype named like a method", file({ a: entry([1], 0, 4, "constructor") }, 4), /dtype "constructor"/],
    ["a missing dtype", file({ a: { shape: [1], data_offsets: [0, 4] } }, 4), /dtype missing/],
    ["a negative axis", file({ a: entry([-1], 0, 4) }, 4), /shape \[-1\]; a list of non-negative integers/],
    ["a broken axis", file({ a: entry([1.5], 0, 6) }, 6), /shape \[1.5\]/],
    ["an axis in words", file({ a: entry(["1"], 0, 4) }, 4), /shape \["1"\]/],
    ["no list as shape", file({ a: entry(4, 0, 16) }, 16), /shape 4/],
    ["an overflowing product", file({ a: entry([2 ** 32, 2 ** 32], 0, 4) }, 4), /more than 2\^53/],
    ["an overflow hidden by a zero", file({ a: entry([2 ** 52, 4, 0], 0, 0) }, 0), /more than 2\^53/],
    ["an axis above 2^53", file('{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}}', 1), /shape \[100000000000000000000\]/],
    ["offsets past the end", file({ a: entry([2], 0, 8) }, 7), /0 ≤ begin ≤ end ≤ 7/],
    ["offsets backwards", file({ a: entry([2], 8, 0) }, 8), /data_offsets \[8, 0\]/],
    ["three offsets", file({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4, 4] } }, 4), /data_offsets \[0, 4, 4\]/],
    ["negative offsets", file({ a: entry([1], -4, 0) }, 4), /data_offsets \[-4, 0\]/],
    ["a span that is not the size", file({ a: entry([2], 0, 12) }, 12), /F32 \[2\], which takes 8 bytes, but data_offsets span 12/],
    ["broken sub-byte sizes", file({ a: entry([3], 0, 2, "F4") }, 2), /takes 1.5 bytes/],
    ["overlaps", file({ a: entry([2], 0, 8), b: entry([1], 4, 8) }, 8), /"b" starts at data byte 4 and overlaps/],
    ["holes", file({ a: entry([1], 0, 4), b: entry([1], 8, 12) }, 12), /"b" starts at data byte 8 and leaves a hole/],
    ["bytes after the data", file(good, 13), /take 12 bytes, but 13 follow/],
    ["metadata in numbers", file({ __metadata__: { a: 1 } }, 0), /__metadata__ "a" is 1; only strings/],
    ["metadata in a list", file({ __metadata__: [] }, 0), /__metadata__ is \[\]/],
  ])("%s", async (_, bytes, message) => {
    expect(await refusal(bytes)).toMatch(message);
    expect(await refusal(bytes)).toMatch(/^x\.safetensors/);
  });

  it("reads a header of millions of bytes in moderate time, and never more than the file", async () => {
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`layer.${i}.weight`, entry([1], i * 4, i * 4 + 4)]));
    const source = countingSource(file(many, 80_000), "big");
    const started = performance.now();
    expect((await readSafetensorsHeader(source)).tensors.size).toBe(20_000);
    // About 0.1 s on an idle machine; the bound only tells linear from quadratic.
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(source.asked()).toBeLessThanOrEqual(source.size);
  });
});

describe("writing", () => {
  it("refuses what the format cannot hold", () => {
    expect(() => writeSafetensors({ q: hostTensor("q8_0", [32], new Uint8Array(34)) })).toThrow(UnsupportedError);
    expect(() => writeSafetensors({ __metadata__: f32([1]) })).toThrow(FormatError);
    expect(() => writeSafetensors({ a: { dtype: "f32", shape: [2], data: new Uint8Array(4) } })).toThrow(ShapeError);
    expect(() => writeSafetensors([["a", f32([1])], ["a", f32([1])]])).toThrow(/Two tensors/);
  });
});

/** JSON damage that byte flips seldom reach: a value of the header replaced by a tempting one. */
const jsonChange = fc
  .tuple(
    fc.integer({ min: 0, max: 6 }),
    fc.constantFrom("dtype", "shape", "data_offsets", "data_offsets.0", "data_offsets.1", "shape.0", "name"),
    fc.constantFrom<unknown[]>(-1, 0, 1, 1.5, 2 ** 53, 1e300, null, "", "F64", "I8", [], {}, [1, 2], "__proto__", true),
  )
  .map(([which, path, value]) => (bytes: Uint8Array): Uint8Array => {
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, Record<string, unknown>>;
    const name = Object.keys(header)[which] ?? "ids";
    const target = header[name] ?? {};
    const [field = "", index] = path.split(".");
    const list = target[field];
    if (field === "name") header[String(value)] = target;
    else if (index !== undefined && Array.isArray(list)) list[Number(index)] = value;
    else target[field] = value;
    const rebuilt = file(header, 0);
    return Uint8Array.from([...rebuilt, ...bytes.subarray(8 + length)]);
  });

describe("damaged files", () => {
  it("either read or are refused with a FormatError, in bounded memory: 10,000 mutations", async () => {
    const changes = fc.array(byteChange(sample.length), { minLength: 1, maxLength: 3 });
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.option(jsonChange, { nil: undefined }), changes, fc.boolean(), async (json, list, bytesToo) => {
        let bytes = json === undefined ? sample : json(sample);
        if (json === undefined || bytesToo) for (const change of list) bytes = change(bytes);
        const source = countingSource(bytes, "damaged.safetensors");
        try {
          const opened = await openSafetensors(source);
          for (const name of opened.tensors.keys()) await opened.read(name);
        } catch (error) {
          refused++;
          if (!(error instanceof InfllmError) || error.name !== "FormatError") throw error;
        }
        expect(source.asked()).toBeLessThanOrEqual(bytes.length);
      }),
      { seed: 4, numRuns: 10_000 },
    );
    // Most damage must show; what stays readable is damaged data or names.
    expect(refused).toBeGreaterThan(4000);
    expect(refused).toBeLessThan(10_000);
  });
});
