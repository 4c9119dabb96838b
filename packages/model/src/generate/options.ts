import type { AttentionMode } from "@infllm/attention";
import { ConfigError } from "@infllm/tensor";
import type { ChatTemplateOptions } from "../tokenizer/chat-template.ts";

export interface SamplingOptions {
  /** 0 takes the most likely token; above it, logits are divided by this. */
  readonly temperature?: number | undefined;
  /** Keeps the fewest most likely tokens whose probability reaches this, in (0, 1]. */
  readonly topP?: number | undefined;
  /** Keeps this many most likely tokens; 0 keeps all. */
  readonly topK?: number | undefined;
  /** Whole number that fixes the random draws; a random one when absent, reported in the stats. */
  readonly seed?: number | undefined;
}

export interface GenerateOptions extends SamplingOptions {
  /** Tokens to generate at most; as many as the context holds when absent. */
  readonly maxTokens?: number | undefined;
  /** Texts that end the answer and are not part of it. */
  readonly stop?: string | readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** `auto` (default) attends densely below the model's `denseLen` and sparsely from it on. */
  readonly attention?: AttentionMode | undefined;
  /** Goes on past the model's end tokens, up to `maxTokens`. */
  readonly ignoreEos?: boolean | undefined;
  /** Variables for the chat template, e.g. `{ enable_thinking: false }`. */
  readonly template?: ChatTemplateOptions | undefined;
  /** Called after each chunk of the prompt; `total` are the tokens that are not in the cache yet. */
  readonly onPrefill?: ((progress: PrefillProgress) => void) | undefined;
  /** Called once, when the answer is complete; not after an error or abort. */
  readonly onFinish?: ((stats: GenerateStats) => void) | undefined;
}

export interface PrefillProgress {
  readonly processed: number;
  readonly total: number;
}

export type StopReason = "eos" | "stop" | "length" | "context";

export interface GenerateStats {
  readonly promptTokens: number;
  /** Prompt tokens whose keys and values were in the cache from an earlier turn. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** The generated tokens, end tokens included. */
  readonly tokens: readonly number[];
  /** Until the first token was chosen. */
  readonly prefillSeconds: number;
  /** For the tokens after the first. */
  readonly decodeSeconds: number;
  /** Whether the last query attended sparsely. */
  readonly sparse: boolean;
  /** Tokens that the last query attended to; under an attention method of its own, those it could choose from. */
  readonly visibleTokens: number;
  /** End token, stop string, `maxTokens`, or the end of the context. */
  readonly stopReason: StopReason;
  readonly seed: number;
}

/** Options with every default filled in. */
export interface ResolvedOptions {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly seed: number;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly attention: AttentionMode;
  readonly ignoreEos: boolean;
}

/** What `generation_config.json` suggests; greedy when it suggests nothing. */
export type SamplingDefaults = Required<Pick<ResolvedOptions, "temperature" | "topP" | "topK">>;

export const greedy: SamplingDefaults = { temperature: 0, topP: 1, topK: 0 };

/** @throws ConfigError naming the first option outside its allowed values */
export function resolveOptions(options: GenerateOptions, defaults: SamplingDefaults = greedy): ResolvedOptions {
  const stop = typeof options.stop === "string" ? [options.stop] : [...(options.stop ?? [])];
  const attention = options.attention ?? "auto";
  const resolved = {
    temperature: options.temperature ?? defaults.temperature,
    topP: options.topP ?? defaults.topP,
    topK: options.topK ?? defaults.topK,
    seed: options.seed ?? Math.floor(Math.random() * 2 ** 32),
    maxTokens: options.maxTokens ?? Number.POSITIVE_INFINITY,
    stop,
    attention,
    ignoreEos: options.ignoreEos ?? false,
  };
  check("temperature", resolved.temperature, Number.isFinite(resolved.temperature) && resolved.temperature >= 0, "a number from 0");
  check("topP", resolved.topP, resolved.topP > 0 && resolved.topP <= 1, "above 0 and at most 1");
  check("topK", resolved.topK, isWhole(resolved.topK, 0, 2 ** 24), "a whole number from 0 (all) to 16777216");
  check("seed", resolved.seed, isWhole(resolved.seed, 0, Number.MAX_SAFE_INTEGER), "a whole number from 0 to 2^53 − 1");
  check(
    "maxTokens",
    resolved.maxTokens,
    resolved.maxTokens === Number.POSITIVE_INFINITY || isWhole(resolved.maxTokens, 1, Number.MAX_SAFE_INTEGER),
    "a whole number from 1",
  );
  check("stop", stop, stop.every((text) => typeof text === "string" && text !== ""), "a text or a list of texts, none of them empty");
  check("attention", attention, ["auto", "dense", "sparse"].includes(attention), '"auto", "dense" or "sparse"');
  return resolved;
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}

function check(name: string, value: unknown, allowed: boolean, rule: string): void {
  if (!allowed) throw new ConfigError(`generate: ${name} is ${JSON.stringify(value) ?? String(value)}; it must be ${rule}.`);
}
