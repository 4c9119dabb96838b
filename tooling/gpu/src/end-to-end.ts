/**
 * Whole models through `loadModel` and `generate`: MiniCPM4-8B's shape with made-up weights, prefill and decode, dense and
 * sparse. A long prompt is read once; shorter ones then take their beginning from its cache.
 */
import { cudaBackend } from "@infllm/backend-cuda";
import { loadModel } from "@infllm/model";
import type { GenerateStats, Model } from "@infllm/model";
import { random } from "@infllm/tensor";
import { syntheticModel } from "../../../apps/bench/src/e2e/synthetic-model.ts";
import { shapeNamed } from "../../../apps/bench/src/shapes.ts";

type Attention = "sparse" | "dense";

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
  readonly milliseconds: number;
}

const DECODED = 64;
/** Ids of a prompt stay below this, so that the embedded model's tokenizer knows them. */
const IDS = 4096;

export async function endToEnd(): Promise<{ report: unknown; ok: boolean }> {
  const shape = shapeNamed(process.env["SHAPE"] ?? "minicpm4-8b");
  const layers = Number(process.env["LAYERS"] ?? shape.layers);
  const lengths = (process.env["LENGTHS"] ?? "131072,32768,8192").split(",").map(Number).sort((a, b) => b - a);
  const [longest = 0] = lengths;
  const context = longest + DECODED + 8;
  const backend = await cudaBackend();
  const started = performance.now();
  const model = await loadModel(syntheticModel(shape, context, layers), { backend, contextLength: context });
  const loadSeconds = (performance.now() - started) / 1000;
  console.log(`loaded in ${loadSeconds.toFixed(1)} s`, JSON.stringify(model.description.memoryAt(context, backend)), JSON.stringify(backend.memory()));
  const ids = promptOf(longest);
  const prefill: Prefill[] = [];
  const decode: Decode[] = [];
  await run(model, ids.slice(0, 8192), "sparse", 2);
  for (const length of lengths) {
    for (const attention of ["dense", "sparse"] as const) {
      const { prefillSeconds: seconds } = await run(model, ids.slice(0, length), attention, 1);
      prefill.push({ attention, tokens: length, seconds, tokensPerSecond: length / seconds });
      console.log(JSON.stringify(prefill.at(-1)));
    }
  }
  const session = model.createSession();
  await run(session, ids, "sparse", 1);
  for (const length of lengths) {
    for (const attention of ["sparse", "dense"] as const) {
      const stats = await run(session, ids.slice(0, length), attention, DECODED);
      decode.push({ attention, cached: length, milliseconds: (1000 * stats.decodeSeconds) / (stats.generatedTokens - 1) });
      console.log(JSON.stringify(decode.at(-1)));
    }
  }
  await model.close();
  const left = backend.allocations();
  await backend.close();
  return { report: { shape: shape.name, layers, weights: "bf16", loadSeconds, prefill, decode, left }, ok: true };
}

async function run(model: Pick<Model, "generate">, ids: readonly number[], attention: Attention, maxTokens: number): Promise<GenerateStats> {
  let stats: GenerateStats | undefined;
  const pieces = model.generate(ids, { attention, maxTokens, ignoreEos: true, seed: 1, onFinish: (given) => void (stats = given) });
  for await (const piece of pieces) void piece;
  if (stats === undefined) throw new Error("The generation did not finish.");
  return stats;
}

function promptOf(length: number): number[] {
  const source = random(11);
  return Array.from({ length }, () => Math.floor(source.uniform() * IDS));
}
