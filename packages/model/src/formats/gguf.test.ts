import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gguf as theirReader } from "@huggingface/gguf";
import { FormatError, InfllmError, NotAvailableError, ShapeError, UnsupportedError, bytesSource, fromF32, random } from "@infllm/tensor";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { countingSource, fieldChange, headerChange } from "../../test/formats/mutations.ts";
import { openGguf } from "./gguf.ts";
import { readGgufHeader } from "./gguf-header.ts";
import type { GgufValue } from "./gguf-types.ts";
import { ggufBytes, writeGguf } from "./gguf-writer.ts";
import type { GgufContents, GgufTensor } from "./gguf-writer.ts";

const metadata: [string, GgufValue][] = [
  ["general.architecture", { type: "string", value: "llama" }],
  ["general.name", { type: "string", value: "Grüße 🦙" }],
  ["llama.block_count", { type: "u32", value: 2 }],
  ["llama.rope.freq_base", { type: "f32", value: 10000 }],
  ["a.u8", { type: "u8", value: 255 }],
  ["a.i8", { type: "i8", value: -128 }],
  ["a.u16", { type: "u16", value: 65535 }],
  ["a.i16", { type: "i16", value: -2 }],
  ["a.i32", { type: "i32", value: -(2 ** 31) }],
  ["a.u64", { type: "u64", value: 2n ** 64n - 1n }],
  ["a.u64.small", { type: "u64", value: 7 }],
  ["a.i64", { type: "i64", value: -9 }],
  ["a.f64", { type: "f64", value: Math.PI }],
  ["a.bool", { type: "bool", value: true }],
  ["tokenizer.ggml.tokens", { type: "array", of: "string", value: ["<s>", "▁the", "", "x".repeat(100)] }],
  ["tokenizer.ggml.scores", { type: "array", of: "f32", value: Float32Array.of(0, -1.5, 2, 3) }],
  ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: Int32Array.of(3, 1, 1, 6) }],
  ["a.bools", { type: "array", of: "bool", value: [true, false] }],
  ["a.big", { type: "array", of: "u64", value: BigUint64Array.of(1n, 2n ** 63n) }],
  ["a.nested", { type: "array", of: "array", value: [{ type: "array", of: "u8", value: Uint8Array.of(1, 2) }] }],
  ["a.empty", { type: "array", of: "string", value: [] }],
];

const tensor = (name: string, dtype: "f32" | "f16" | "bf16" | "q8_0" | "q4_0" | "q4_1", shape: number[]): GgufTensor => {
  const values = random(shape.length + name.length).normals(shape.reduce((a, b) => a * b, 1));
  const data = fromF32(dtype, values);
  // Uneven pieces, as a converter that streams would give.
  return { name, dtype, shape, data: () => [data.subarray(0, 7), data.subarray(7)] };
};

const contents: GgufContents = {
  metadata,
  tensors: [
    tensor("token_embd.weight", "q8_0", [5, 64]),
    tensor("output_norm.weight", "f32", [3]),
    tensor("blk.0.attn_q.weight", "f16", [4, 6]),
    tensor("blk.0.attn_k.weight", "bf16", [2, 3, 5]),
    tensor("blk.0.ffn_up.weight", "q4_0", [2, 32]),
    tensor("blk.0.ffn_down.weight", "q4_1", [1, 32]),
  ],
};

async function joined(given: GgufTensor): Promise<Uint8Array> {
  const pieces: number[] = [];
  for await (const piece of given.data()) pieces.push(...piece);
  return Uint8Array.from(pieces);
}

let sample: Uint8Array;
let headerSize: number;
beforeAll(async () => {
  sample = await ggufBytes(contents);
  headerSize = (await readGgufHeader(bytesSource(sample))).dataStart;
});

/** Where `text` first stands in the sample's header. */
function find(text: string): number {
  const at = Buffer.from(sample).indexOf(text);
  expect(at).toBeGreaterThan(0);
  return at;
}

/** The byte after a key or tensor name: where its type or its number of axes stands. */
function after(name: string): number {
  return find(name) + name.length;
}

describe("reading what we write", () => {
  it("gives back every metadata type", async () => {
    const file = await openGguf(bytesSource(sample));
    expect(file.version).toBe(3);
    expect([...file.metadata]).toEqual(metadata);
    expect(file.string("general.name")).toBe("Grüße 🦙");
    expect(file.number("llama.block_count")).toBe(2);
    expect(file.boolean("a.bool")).toBe(true);
    expect(file.strings("tokenizer.ggml.tokens")).toHaveLength(4);
    expect(file.numbers("tokenizer.ggml.scores")).toEqual([0, -1.5, 2, 3]);
    expect(file.numbers("a.bools")).toEqual([1, 0]);
    expect(file.string("missing")).toBeUndefined();
    expect(() => file.number("general.name")).toThrow('metadata "general.name" is of type string; a number');
    expect(() => file.number("a.u64")).toThrow(/below 2\^53/);
    expect(() => file.strings("tokenizer.ggml.scores")).toThrow(/array of f32/);
  });

  it("gives back every tensor, whole and by rows", async () => {
    const file = await openGguf(bytesSource(sample));
    for (const given of contents.tensors) {
      expect(file.tensors.get(given.name)).toMatchObject({ dtype: given.dtype, shape: given.shape });
      expect(await file.read(given.name)).toEqual(await joined(given));
    }
    const rows = await joined(contents.tensors[0] as GgufTensor);
    expect(await file.read("token_embd.weight", 1, 3)).toEqual(rows.subarray(68, 204));
    await expect(file.read("token_embd.weight", 4, 6)).rejects.toThrow(ShapeError);
    await expect(file.read("nothing")).rejects.toThrow(NotAvailableError);
  });

  it("honours another alignment", async () => {
    const aligned: [string, GgufValue][] = [...metadata, ["general.alignment", { type: "u32", value: 256 }]];
    const file = await openGguf(bytesSource(await ggufBytes({ ...contents, metadata: aligned })));
    expect([...file.tensors.values()].map(({ offset }) => offset % 256)).toEqual(Array(6).fill(0));
    expect(await file.read("blk.0.attn_k.weight")).toEqual(await joined(contents.tensors[3] as GgufTensor));
  });
});

describe("what we write, read by Hugging Face's reader", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "infllm-gguf-"));
    await writeFile(join(folder, "sample.gguf"), sample);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("has the same metadata and tensors", async () => {
    const theirs = await theirReader(join(folder, "sample.gguf"), { allowLocalFile: true });
    const ours = await openGguf(bytesSource(sample));
    const found = theirs.metadata as Record<string, unknown>;
    expect(found["version"]).toBe(3);
    expect(Number(found["tensor_count"])).toBe(6);
    expect(found["general.name"]).toBe("Grüße 🦙");
    expect(found["a.u64"]).toBe(2n ** 64n - 1n);
    expect(found["a.i32"]).toBe(-(2 ** 31));
    expect(found["tokenizer.ggml.tokens"]).toEqual(["<s>", "▁the", "", "x".repeat(100)]);
    expect(found["tokenizer.ggml.scores"]).toEqual([0, -1.5, 2, 3]);
    expect(found["a.bools"]).toEqual([true, false]);
    expect(Number(theirs.tensorDataOffset)).toBe(ours.dataStart);
    for (const info of theirs.tensorInfos) {
      const entry = ours.tensors.get(info.name);
      expect(entry?.shape).toEqual(info.shape.map(Number).reverse());
      expect(entry?.offset).toBe(ours.dataStart + Number(info.offset));
    }
    // Their codes for our six types, in order: Q8_0, F32, F16, BF16, Q4_0, Q4_1.
    expect(theirs.tensorInfos.map((info) => info.dtype as number)).toEqual([8, 0, 1, 30, 2, 3]);
  });
});

describe("refusing", () => {
  async function refusal(bytes: Uint8Array): Promise<Error> {
    const outcome = await openGguf(bytesSource(bytes, "x.gguf")).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(InfllmError);
    expect((outcome as Error).message).toMatch(/^x\.gguf/);
    return outcome as Error;
  }
  const withBytes = (at: number, value: bigint, width: 1 | 4 | 8): Uint8Array => {
    const copy = sample.slice();
    for (let i = 0; i < width; i++) copy[at + i] = Number((value >> BigInt(8 * i)) & 255n);
    return copy;
  };

  it.each<[string, () => Uint8Array, RegExp]>([
    ["an empty file", () => new Uint8Array(0), /magic number takes 4 bytes, but the file has 0/],
    ["another kind of file", () => new TextEncoder().encode("PK\u0003\u0004 and so on"), /no GGUF file/],
    ["version 1", () => withBytes(4, 1n, 4), /version 1; versions 2 and 3/],
    ["big-endian files", () => withBytes(4, 0x03000000n, 4), /big-endian/],
    ["a metadata count of 2^63", () => withBytes(16, 2n ** 63n, 8), /metadata entries: 9223372036854775808 are claimed|metadata entries: 9223372036854776000 are claimed/],
    ["a tensor count of 2^40", () => withBytes(8, 2n ** 40n, 8), /tensors: 1099511627776 are claimed/],
    ["a key length past the end", () => withBytes(24, 2n ** 50n, 8), /a metadata key takes 1125899906842624 bytes/],
    ["an unknown value type", () => withBytes(after("a.bool"), 13n, 4), /type code 13; 0 to 12/],
    ["a bool of 2", () => withBytes(after("a.bool") + 4, 2n, 1), /bool of value 2/],
    ["an array count past the end", () => withBytes(after("tokenizer.ggml.scores") + 8, 2n ** 45n, 8), /numbers of metadata "tokenizer.ggml.scores"/],
    ["a key given twice", () => withBytes(find("a.i8"), 0x38752e61n, 4), /"a.u8" is given twice/],
    ["text that is no UTF-8", () => withBytes(find("llama"), 0xffn, 1), /not UTF-8/],
    ["five axes", () => withBytes(after("output_norm.weight"), 5n, 4), /has 5 axes; 0 to 4/],
    ["an overflowing shape", () => withBytes(after("blk.0.attn_q.weight") + 4, 2n ** 52n, 8), /more than 2\^53/],
    ["rows of broken blocks", () => withBytes(after("token_embd.weight") + 4, 33n, 8), /Q8_0 \[5, 33\]; its rows must be multiples of 32/],
    ["a tensor larger than the file", () => withBytes(after("output_norm.weight") + 4, 2n ** 40n, 8), /takes data bytes/],
    ["an unaligned tensor", () => withBytes(after("output_norm.weight") + 16, 33n, 8), /starts at data byte 33; multiples of 32/],
    ["overlapping tensors", () => withBytes(after("output_norm.weight") + 16, 32n, 8), /inside the tensor before it/],
    ["an offset past the end", () => withBytes(after("output_norm.weight") + 16, 2n ** 62n, 8), /takes data bytes 4611686018427388000/],
    ["two tensors of a name", () => withBytes(after("blk.0.attn_k.weight") - 8, 0x71n, 1), /two tensors are named "blk.0.attn_q.weight"/],
    ["a cut header", () => sample.slice(0, headerSize - 60), /takes \d+ bytes, but the file has|are claimed/],
    ["cut data", () => sample.slice(0, sample.length - 40), /are there/],
  ])("%s", async (_, bytes, message) => {
    expect((await refusal(bytes())).message).toMatch(message);
  });

  it("an alignment that is no power of two", async () => {
    const odd = await ggufBytes({ metadata: [["general.alignmenT", { type: "u32", value: 48 }]], tensors: [] });
    odd[Buffer.from(odd).indexOf("alignmenT") + 8] = 0x74;
    expect((await refusal(odd)).message).toMatch(/general.alignment is u32 48/);
  });

  it("arrays nested too deep", async () => {
    let nested: GgufValue = { type: "array", of: "u8", value: Uint8Array.of(1) };
    for (let depth = 0; depth < 5; depth++) nested = { type: "array", of: "array", value: [nested] };
    expect((await refusal(await ggufBytes({ metadata: [["deep", nested]], tensors: [] }))).message).toMatch(/more than 4 deep/);
  });

  it("types it cannot read only when they are read", async () => {
    const place = after("output_norm.weight") + 12;
    const q2k = await openGguf(bytesSource(withBytes(place, 99n, 4)));
    expect(q2k.unreadable.get("output_norm.weight")).toEqual({ typeName: "type 99", shape: [3] });
    expect(await q2k.read("blk.0.attn_q.weight")).toHaveLength(48);
    await expect(q2k.read("output_norm.weight")).rejects.toThrow(UnsupportedError);
    await expect(q2k.read("output_norm.weight")).rejects.toThrow(/stored as type 99; F32, F16/);
  });
});

describe("large headers", () => {
  it("reads a vocabulary of 150,000 tokens with merges fast, asking for no byte twice", async () => {
    const tokens = Array.from({ length: 150_000 }, (_, i) => (i % 10 === 0 ? `▁wörd${i}` : `Ġtoken${i}`));
    const big = await ggufBytes({
      metadata: [
        ["tokenizer.ggml.tokens", { type: "array", of: "string", value: tokens }],
        ["tokenizer.ggml.merges", { type: "array", of: "string", value: tokens.map((token) => `${token} x`) }],
        ["tokenizer.ggml.scores", { type: "array", of: "f32", value: new Float32Array(150_000) }],
      ],
      tensors: [],
    });
    const source = countingSource(big, "big.gguf");
    const started = performance.now();
    const file = await openGguf(source);
    const milliseconds = performance.now() - started;
    expect(file.strings("tokenizer.ggml.tokens")?.[149_990]).toBe("▁wörd149990");
    expect(source.asked()).toBeLessThanOrEqual(big.length);
    // About 0.2 s on an idle machine; the bound only tells linear from quadratic.
    expect(milliseconds).toBeLessThan(10_000);
  });

  it("does not read past the header of a large file", async () => {
    const large = await ggufBytes({ metadata, tensors: [{ ...tensor("w", "f32", [3]), shape: [1 << 20], data: () => [new Uint8Array(4 << 20)] }] });
    const source = countingSource(large, "large.gguf");
    await readGgufHeader(source);
    expect(source.asked()).toBe(256 * 1024);
  });
});

describe("writing", () => {
  it("refuses what the format cannot hold", async () => {
    const write = (changes: Partial<GgufContents>): Promise<number> => writeGguf({ write: async () => {} }, { metadata: [], tensors: [], ...changes });
    const one = tensor("a", "f32", [2]);
    await expect(write({ tensors: [one, one] })).rejects.toThrow(/"a" is given twice/);
    await expect(write({ tensors: [{ ...one, dtype: "u32" }] })).rejects.toThrow(UnsupportedError);
    await expect(write({ tensors: [{ ...one, shape: [3] }] })).rejects.toThrow("takes 12 bytes; 8 were given");
    await expect(write({ tensors: [{ ...one, shape: [1] }] })).rejects.toThrow("takes 4 bytes; 8 were given");
    await expect(write({ tensors: [{ ...one, shape: [1, 1, 1, 1, 2] }] })).rejects.toThrow(/5 axes/);
    await expect(write({ metadata: [["x", { type: "u8", value: 256 }]] })).rejects.toThrow('"x" is 256, which a u8 cannot hold; 0 to 255');
    await expect(write({ metadata: [["x", { type: "i32", value: 1.5 }]] })).rejects.toThrow(FormatError);
    await expect(write({ metadata: [["general.alignment", { type: "u32", value: 48 }]] })).rejects.toThrow(/power of two/);
  });
});

describe("damaged files", () => {
  it("either read or are refused by name, in bounded memory: 10,000 mutations", async () => {
    // Every length, count, code, axis and offset of the header stands before or after one of these names.
    const names = [...metadata.map(([key]) => key), ...contents.tensors.map(({ name }) => name)];
    const places = [8, 16, ...names.flatMap((name) => [find(name) - 8, after(name), after(name) + 4, after(name) + 8, after(name) + 12])];
    const changes = fc.array(fc.oneof(headerChange(headerSize), fieldChange(places)), { minLength: 1, maxLength: 3 });
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        let bytes = sample;
        for (const change of list) bytes = change(bytes);
        const source = countingSource(bytes, "damaged.gguf");
        let forHeader: number | undefined;
        try {
          const file = await openGguf(source);
          forHeader = source.asked();
          for (const name of file.tensors.keys()) await file.read(name);
        } catch (error) {
          refused++;
          if (!(error instanceof FormatError) && !(error instanceof UnsupportedError)) throw error;
        }
        expect(forHeader ?? source.asked()).toBeLessThanOrEqual(bytes.length);
        // Tensors never overlap, so reading all of them reads no byte twice.
        expect(source.asked()).toBeLessThanOrEqual(2 * bytes.length);
      }),
      { seed: 5, numRuns: 10_000 },
    );
    expect(refused).toBeGreaterThan(4000);
    expect(refused).toBeLessThan(10_000);
  });
});
