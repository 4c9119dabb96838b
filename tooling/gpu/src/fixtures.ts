/**
 * Every family against Hugging Face transformers: the checkpoints of `packages/model/test/fixtures/hf` in bf16, whose
 * logits may lie as far from those computed in f32 as twice what torch's own pass in bf16 does.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { cudaBackend } from "@infllm/backend-cuda";
import type { CudaBackend } from "@infllm/backend-cuda";
import { loadModel, openModelFiles } from "@infllm/model";
import type { ModelFiles } from "@infllm/model";
import { bytesSource, hostArray, openSafetensors } from "@infllm/tensor";

const folder = fileURLToPath(new URL("../hf/", import.meta.url));

/** LongRoPE's long factors apply from 97 tokens on, so that the context length decides which are meant. */
const runs = [
  { family: "llama", run: "logits", contextLength: 256 },
  { family: "qwen2", run: "logits", contextLength: 256 },
  { family: "qwen3", run: "logits", contextLength: 256 },
  { family: "minicpm", run: "short", contextLength: 96 },
  { family: "minicpm", run: "long", contextLength: 256 },
] as const;

type Run = (typeof runs)[number];

/** Largest and root mean square difference of logits. */
interface Difference {
  readonly max: number;
  readonly rms: number;
}

export async function fixtures(): Promise<{ report: unknown; ok: boolean }> {
  const backend = await cudaBackend({ activation: "bf16" });
  const results = [];
  for (const each of runs) {
    const [given, own] = [await difference(backend, each), await torchDifference(each)];
    const ok = given.max <= 2 * own.max && given.rms <= 2 * own.rms;
    results.push({ family: each.family, run: each.run, ...given, torch: own, ok });
    console.log(`${each.family} ${each.run}: ${text(given)}, torch in bf16 ${text(own)}${ok ? "" : "  TOO FAR"}`);
  }
  await backend.close();
  return { report: { runs: results, allocationsAfterClose: backend.allocations() }, ok: results.every(({ ok }) => ok) };
}

async function difference(backend: CudaBackend, { family, run, contextLength }: Run): Promise<Difference> {
  const file = await openSafetensors(bytesSource(new Uint8Array(await readFile(`${folder}${family}/runs/${run}.safetensors`)), run));
  const ids = Array.from(hostArray(await file.tensor("input_ids")) as Int32Array);
  const expected = hostArray(await file.tensor("logits")) as Float32Array;
  const model = await loadModel(await withTokenizer(`${folder}${family}`), { backend, contextLength });
  let max = 0;
  let squares = 0;
  let count = 0;
  for await (const { first, logits, count: rows } of model.scoreRows(ids, { positions: ids.map((_, position) => position) })) {
    const width = logits.length / rows;
    logits.forEach((value, i) => {
      const off = Math.abs(value - (expected[first * width + i] ?? Number.NaN));
      // A NaN would lose every comparison.
      max = off > max || Number.isNaN(off) ? off : max;
      squares += off ** 2;
      count++;
    });
  }
  await model.close();
  if (count !== expected.length) throw new Error(`${family} ${run}: ${count} logits, transformers has ${expected.length}`);
  return { max, rms: Math.sqrt(squares / count) };
}

async function torchDifference({ family, run }: Run): Promise<Difference> {
  const made = JSON.parse(await readFile(`${folder}${family}/made-with.json`, "utf8")) as {
    readonly bf16: Record<string, { readonly max_error: number; readonly rms_error: number }>;
  };
  const own = made.bf16[run];
  if (own === undefined) throw new Error(`made-with.json of ${family} says nothing of ${run}`);
  return { max: own.max_error, rms: own.rms_error };
}

/** The folder's files with a tokenizer of one token: the runs are in token ids. */
async function withTokenizer(path: string): Promise<ModelFiles> {
  const files = await openModelFiles(path);
  const model = { type: "BPE", vocab: { a: 0 }, merges: [], unk_token: null, fuse_unk: false, byte_fallback: false };
  const level = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokenizer = { version: "1.0", added_tokens: [], normalizer: null, pre_tokenizer: level, post_processor: null, decoder: level, model };
  const bytes = new TextEncoder().encode(JSON.stringify(tokenizer));
  return {
    ...files,
    name: files.name,
    list: async () => [...(await files.list()), "tokenizer.json"],
    open: async (file) => (file === "tokenizer.json" ? bytesSource(bytes, file) : files.open(file)),
    close: () => files.close(),
  };
}

function text({ max, rms }: Difference): string {
  return `max ${max.toPrecision(3)}, rms ${rms.toPrecision(3)}`;
}
