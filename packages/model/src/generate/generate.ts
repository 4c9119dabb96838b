import { blockBudget } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import { InfllmError } from "@infllm/tensor";
import { TextStream } from "../tokenizer/text-stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { Decoding } from "./decoding.ts";
import { Latencies } from "./latencies.ts";
import type { GenerateOptions, GenerateStats, ResolvedOptions, StopReason } from "./options.ts";
import { checkAttention, checkPrompt } from "./prompt-checks.ts";
import type { PromptLimits } from "./prompt-checks.ts";
import type { Runner } from "./runner.ts";
import { StopStrings } from "./stop-strings.ts";

export interface Generation extends PromptLimits {
  readonly runner: Runner;
  readonly tokenizer: Tokenizer;
  readonly sparse: SparseConfig | undefined;
  readonly eosIds: readonly number[];
  readonly ids: readonly number[];
  readonly options: ResolvedOptions;
  readonly hooks: Pick<GenerateOptions, "onPrefill" | "onFinish" | "signal">;
  /** Keep what the cache has in common with the prompt. */
  readonly reuse: boolean;
}

/** Streams the answer to a prompt. @throws ConfigError (empty prompt), ShapeError (prompt longer than the context) */
export async function* generateText(generation: Generation): AsyncGenerator<string, void, undefined> {
  const { runner, ids, options, hooks, reuse } = generation;
  checkPrompt(ids, generation);
  checkAttention(options.attention, generation.sparse);
  const started = performance.now();
  const decoding = new Decoding(generation);
  const cachedTokens = reuse ? runner.reusable(ids) : 0;
  const text = new TextStream(generation.tokenizer);
  const stops = new StopStrings(options.stop);
  const tokens: number[] = [];
  const latencies = new Latencies();
  let reason: StopReason | undefined;

  let token = await decoding.first();
  const prefillSeconds = (performance.now() - started) / 1000;

  try {
    for (;;) {
      requireToken(token, runner);
      tokens.push(token);
      const ended = !options.ignoreEos && generation.eosIds.includes(token);
      const piece = ended ? "" : stops.push(text.push(token));
      if (piece !== "") yield piece;
      reason = stopReason(generation, { ended, stopped: stops.stopped, generated: tokens.length });
      if (reason !== undefined) break;
      hooks.signal?.throwIfAborted();
      const before = performance.now();
      token = await decoding.after(token);
      latencies.add((performance.now() - before) / 1000);
    }
  } finally {
    runner.settle();
  }
  const rest = reason === "stop" ? "" : stops.push(text.flush()) + stops.flush();
  if (rest !== "") yield rest;
  const profile = options.profile ? await decoding.profile() : undefined;
  hooks.onFinish?.({
    promptTokens: ids.length,
    cachedTokens,
    generatedTokens: tokens.length,
    tokens,
    prefillSeconds,
    decodeSeconds: latencies.sum,
    ...(latencies.count > 0 ? { tokenSeconds: latencies.percentiles() } : {}),
    ...lastSight(generation),
    stopReason: reason,
    seed: options.seed,
    ...(decoding.speculation === undefined ? {} : { speculation: decoding.speculation }),
    ...(profile === undefined ? {} : { profile }),
  });
}

function requireToken(token: number, runner: Runner): void {
  if (token >= 0) return;
  throw new InfllmError(
    `The model produced no finite logits after ${runner.length} tokens, so no token can be chosen. ` +
      "Its weights may be damaged, or overflow in this type: try weights f32, or another backend.",
  );
}

function stopReason(
  { options, runner, contextLength }: Generation,
  now: { readonly ended: boolean; readonly stopped: string | undefined; readonly generated: number },
): StopReason | undefined {
  if (now.ended) return "eos";
  if (now.stopped !== undefined) return "stop";
  if (now.generated >= options.maxTokens) return "length";
  return runner.length >= contextLength ? "context" : undefined;
}

/** What the last query saw: everything up to itself, or its block budget, its own incomplete block included. */
function lastSight({ runner, sparse }: Generation): Pick<GenerateStats, "sparse" | "visibleTokens"> {
  const query = runner.lastQuery;
  if (query === undefined) return { sparse: false, visibleTokens: 0 };
  const all = query.position + 1;
  if (!query.sparse || sparse === undefined) return { sparse: query.sparse, visibleTokens: all };
  const inOwnBlock = (query.position % sparse.blockSize) + 1;
  return { sparse: true, visibleTokens: Math.min(all, (blockBudget(sparse) - 1) * sparse.blockSize + inOwnBlock) };
}
