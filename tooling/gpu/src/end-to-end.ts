/**
 * Whole models through `loadModel` and `generate`, beside the same layers in torch: MiniCPM4-8B's shape with made-up weights,
 * prefill and decode, dense and sparse. A long prompt is read once; shorter ones then take their beginning from its cache.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cudaBackend, probeCuda } from "@infllm/backend-cuda";
import type { CudaBackend } from "@infllm/backend-cuda";
import { loadModel } from "@infllm/model";
import type { CacheDType } from "@infllm/tensor";
import type { GenerateOptions, GenerateStats, Model, OpTime } from "@infllm/model";
import { random } from "@infllm/tensor";
import { syntheticModel } from "../../../apps/bench/src/e2e/synthetic-model.ts";
import { shapeNamed } from "../../../apps/bench/src/shapes.ts";
import { figuresTable } from "./end-to-end-table.ts";
import type { Row } from "./end-to-end-table.ts";
import { TappedBackend, asTensor, embeddedSelections, lastRow, overlap, readSelection } from "./selections.ts";
import type { Overlap, Selection } from "./selections.ts";

export type Attention = "sparse" | "dense";

export interface Prefill {
  readonly attention: Attention;
  readonly tokens: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

export interface Decode {
  readonly attention: Attention;
  /** Tokens in the cache when the first is generated. */
  readonly cached: number;
  /** Median of the tokens after the first. */
  readonly milliseconds: number;
  readonly p90: number;
}

export interface TimeShares {
  readonly attention: Attention;
  readonly tokens: number;
  readonly stage: "prefill" | "decode";
  readonly ops: readonly { readonly op: string; readonly kind: string; readonly calls: number; readonly milliseconds: number; readonly share: number }[];
}

export interface RecordedPrefill {
  readonly tokens: number;
  readonly seconds: number;
  readonly ownOverlap: Overlap;
  readonly recordedOverlap: Overlap;
}

export interface ModelFigures {
  readonly name: string;
  readonly weights: "bf16" | "q4_g128";
  readonly kvCache: string;
  readonly contextLength: number;
  readonly loadSeconds: number;
  readonly bytes: { readonly weights: number; readonly kvCache: number; readonly compressedKeys: number; readonly activations: number; readonly used: number };
  readonly prefill: readonly Prefill[];
  /** Sparse prefill whose attention reads the embedded model's selections, and how those of both models overlap. */
  readonly recorded?: RecordedPrefill;
  readonly decode: readonly Decode[];
  readonly shares: readonly TimeShares[];
  readonly allocationsLeft: number;
}

export interface TorchLoop {
  readonly prefill: readonly { readonly tokens: number; readonly seconds: number }[];
}

interface Plan {
  readonly name: string;
  readonly bits: 16 | 4;
  readonly kvCache?: CacheDType;
  /** Prompts to read, dense and sparse. */
  readonly prefill: readonly number[];
  /** A prompt that is read once more with the embedded model's selections. */
  readonly recorded?: number;
  /** Lengths at which tokens are generated, dense and sparse; the longest prompt is read sparsely. */
  readonly decode: readonly number[];
  /** The only length where tokens are generated, with the embedded model's selections. */
  readonly recordedDecode?: number;
  /** Lengths whose time is told op by op. */
  readonly shares: readonly number[];
}

const K = 1024;
const plans: Readonly<Record<string, Plan>> = {
  bf16: { name: "bf16", bits: 16, prefill: [128 * K, 32 * K], recorded: 128 * K, decode: [8 * K, 128 * K], shares: [32 * K, 128 * K] },
  w4: { name: "w4", bits: 4, prefill: [32 * K, 128 * K], decode: [8 * K, 32 * K, 128 * K, 256 * K, 512 * K], shares: [32 * K, 128 * K] },
  // A model of its own: its recorded step reads other selections.
  "w4-recorded": { name: "w4-recorded", bits: 4, prefill: [], decode: [], recordedDecode: 128 * K, shares: [] },
  "w4-q8": { name: "w4-q8", bits: 4, kvCache: "q8", prefill: [32 * K], decode: [32 * K, 128 * K], shares: [] },
};

const SHAPE = "minicpm4-8b";
const DECODED = 48;
/** Layers of the embedded model whose selections are used. */
const RECORDED_LAYERS = 6;
/** Ids of a prompt stay below this, so that the embedded model's tokenizer knows them. */
const IDS = 4096;

export async function endToEnd(): Promise<{ report: unknown; ok: boolean }> {
  const asked = (process.env["MODELS"] ?? "torch,bf16,w4,w4-recorded,w4-q8").split(",");
  const torch = asked.includes("torch") ? await torchLoop() : undefined;
  const models: ModelFigures[] = [];
  for (const name of asked) {
    const plan = plans[name];
    if (plan !== undefined) models.push(await measure(plan));
  }
  const [device] = (await probeCuda()).devices;
  const table: Row[] = figuresTable(models, torch, device?.name);
  for (const row of table) console.log(JSON.stringify(row));
  const ok = models.every(({ allocationsLeft }) => allocationsLeft === 0);
  return { report: { shape: SHAPE, sequences: 1, decodedTokens: DECODED, table, torch, models }, ok };
}

async function measure({ name, bits, kvCache, ...plan }: Plan): Promise<ModelFigures> {
  const limit = Number(process.env["MOST_TOKENS"] ?? Infinity);
  const lengths = { prefill: plan.prefill.filter((n) => n <= limit), decode: plan.decode.filter((n) => n <= limit), shares: plan.shares.filter((n) => n <= limit) };
  const { recorded: recordedTokens, recordedDecode: decodeTokens } = plan;
  const longest = Math.max(...lengths.prefill, ...lengths.decode, decodeTokens ?? 0);
  const contextLength = longest + DECODED + 8;
  const backend = await cudaBackend();
  const tap = new TappedBackend(backend);
  const started = performance.now();
  const model = await loadModel(syntheticModel(shapeNamed(SHAPE), contextLength, { bits }), {
    backend: tap.backend,
    contextLength,
    ...(kvCache === undefined ? {} : { kvCache }),
  });
  const loadSeconds = (performance.now() - started) / 1000;
  const planned = model.description.memoryAt(contextLength, backend, kvCache === undefined ? {} : { kvCache });
  const bytes = { ...planned, used: backend.memory().used };
  console.log(`${name}: loaded in ${loadSeconds.toFixed(1)} s`, JSON.stringify(bytes));
  const ids = promptOf(longest);
  // Shorter texts have not the blocks that were recorded.
  if (decodeTokens === undefined) for (const attention of ["dense", "sparse"] as const) await run(model, ids.slice(0, 8 * K), { attention, maxTokens: 8 });
  const prefill = await prefillTimes(model, ids, lengths.prefill);
  const recorded = recordedTokens !== undefined && recordedTokens <= limit ? await recordedPrefill(model, backend, tap, ids.slice(0, recordedTokens)) : undefined;
  const decode = decodeTokens === undefined ? await decodeTimes(model, ids, lengths.decode) : [await recordedDecode(model, backend, tap, ids)];
  const shares = await timeShares(model, ids, lengths.shares);
  await model.close();
  await backend.close();
  const allocationsLeft = backend.allocations();
  return { name, weights: bits === 16 ? "bf16" : "q4_g128", kvCache: kvCache ?? "bf16", contextLength, loadSeconds, bytes, prefill, ...(recorded === undefined ? {} : { recorded }), decode, shares, allocationsLeft };
}

async function prefillTimes(model: Model, ids: readonly number[], lengths: readonly number[]): Promise<Prefill[]> {
  const times: Prefill[] = [];
  for (const tokens of lengths) {
    for (const attention of ["sparse", "dense"] as const) {
      const { prefillSeconds: seconds } = await run(model, ids.slice(0, tokens), { attention, maxTokens: 1 });
      times.push({ attention, tokens, seconds, tokensPerSecond: tokens / seconds });
      console.log(JSON.stringify(times.at(-1)));
    }
  }
  return times;
}

/** The same work but for the blocks that attention reads: a trained model's neighbours choose more alike. */
async function recordedPrefill(model: Model, backend: CudaBackend, tap: TappedBackend, ids: readonly number[]): Promise<RecordedPrefill> {
  const { sparse, kvHeads, layers } = model.config;
  if (sparse === undefined) throw new Error("The model has no sparse config.");
  const chunks = await embeddedSelections(backend, ids.length, sparse, RECORDED_LAYERS);
  const groups = Array.from({ length: Math.floor(RECORDED_LAYERS / kvHeads) }, (_, group) => group * kvHeads);
  const tensors = chunks.map((recorded) => groups.map((first) => asTensor(backend, recorded.slice(first, first + kvHeads))));
  const own: Promise<Selection>[] = [];
  let calls = 0;
  tap.replacement = () => {
    // The last layer attends in the last chunk only.
    const chunk = Math.min(Math.floor(calls / (layers - 1)), tensors.length - 1);
    const layer = calls - chunk * (layers - 1);
    calls++;
    return tensors[chunk]?.[layer % groups.length];
  };
  const { prefillSeconds: seconds } = await run(model, ids, { attention: "sparse", maxTokens: 1 });
  tap.replacement = undefined;
  let seen = 0;
  tap.onSelect = (indices, rows) => {
    // Of the chunk in the middle, every eighth layer.
    const [chunk, layer] = [Math.floor(seen / (layers - 1)), seen % (layers - 1)];
    seen++;
    if (chunk === Math.floor(chunks.length / 2) && layer % 8 === 0) own.push(readSelection(backend, indices, rows));
  };
  await run(model, ids, { attention: "sparse", maxTokens: 1 });
  tap.onSelect = undefined;
  for (const tensor of tensors.flat()) tensor.release();
  const result = {
    tokens: ids.length,
    seconds,
    ownOverlap: overlap(await Promise.all(own)),
    recordedOverlap: overlap(chunks[Math.floor(chunks.length / 2)] ?? []),
  };
  console.log(JSON.stringify({ recorded: result }));
  return result;
}

/** Tokens whose attention reads what the embedded model selected for the last token of a text as long. */
async function recordedDecode(model: Model, backend: CudaBackend, tap: TappedBackend, ids: readonly number[]): Promise<Decode> {
  const { sparse, kvHeads, layers } = model.config;
  if (sparse === undefined) throw new Error("The model has no sparse config.");
  const recorded = (await embeddedSelections(backend, ids.length, sparse, RECORDED_LAYERS)).at(-1)?.map(lastRow) ?? [];
  const groups = Array.from({ length: Math.floor(RECORDED_LAYERS / kvHeads) }, (_, group) => group * kvHeads);
  const tensors = groups.map((first) => asTensor(backend, recorded.slice(first, first + kvHeads)));
  let calls = 0;
  tap.rowReplacement = () => tensors[(calls++ % layers) % tensors.length];
  const { tokenSeconds } = await run(model, ids, { attention: "sparse", maxTokens: DECODED });
  tap.rowReplacement = undefined;
  for (const tensor of tensors) tensor.release();
  const { p50 = NaN, p90 = NaN } = tokenSeconds ?? {};
  const times: Decode = { attention: "sparse", cached: ids.length, milliseconds: 1000 * p50, p90: 1000 * p90 };
  console.log(JSON.stringify({ ...times, calls }));
  return times;
}

async function decodeTimes(model: Model, ids: readonly number[], lengths: readonly number[]): Promise<Decode[]> {
  const session = model.createSession();
  const times: Decode[] = [];
  for (const cached of [...lengths].sort((a, b) => b - a)) {
    for (const attention of ["sparse", "dense"] as const) {
      const { tokenSeconds, prefillSeconds } = await run(session, ids.slice(0, cached), { attention, maxTokens: DECODED });
      const { p50 = NaN, p90 = NaN } = tokenSeconds ?? {};
      times.push({ attention, cached, milliseconds: 1000 * p50, p90: 1000 * p90 });
      console.log(JSON.stringify({ ...times.at(-1), prefillSeconds }));
    }
  }
  return times;
}

async function timeShares(model: Model, ids: readonly number[], lengths: readonly number[]): Promise<TimeShares[]> {
  const shares: TimeShares[] = [];
  for (const tokens of lengths) {
    for (const attention of ["sparse", "dense"] as const) {
      const { profile } = await run(model, ids.slice(0, tokens), { attention, maxTokens: 2, profile: true });
      for (const stage of ["prefill", "decode"] as const) {
        shares.push({ attention, tokens, stage, ops: sharesOf(profile?.[stage] ?? []) });
        console.log(JSON.stringify(shares.at(-1)));
      }
    }
  }
  return shares;
}

function sharesOf(ops: readonly OpTime[]): TimeShares["ops"] {
  const all = ops.reduce((sum, { seconds }) => sum + seconds, 0);
  return ops.map(({ op, kind, calls, seconds }) => ({ op, kind, calls, milliseconds: 1000 * seconds, share: seconds / all }));
}

async function run(model: Pick<Model, "generate">, ids: readonly number[], options: GenerateOptions): Promise<GenerateStats> {
  let stats: GenerateStats | undefined;
  for await (const piece of model.generate(ids, { ...options, ignoreEos: true, seed: 1, onFinish: (given) => void (stats = given) })) void piece;
  if (stats === undefined) throw new Error("The generation did not finish.");
  return stats;
}

function promptOf(length: number): number[] {
  const source = random(11);
  return Array.from({ length }, () => Math.floor(source.uniform() * IDS));
}

/** packages/backend-cuda/bench/layer_loop.py in a process of its own; undefined without it. */
async function torchLoop(): Promise<TorchLoop | undefined> {
  const script = fileURLToPath(new URL("../bench/layer_loop.py", import.meta.url));
  if (!existsSync(script)) return undefined;
  const file = join(tmpdir(), "infllm-layer-loop.json");
  const code = await new Promise((resolve, reject) => {
    const child = spawn("python3", [script, file, String(32 * K), String(128 * K)], { stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", resolve);
  });
  return code === 0 ? (JSON.parse(await readFile(file, "utf8")) as TorchLoop) : undefined;
}
