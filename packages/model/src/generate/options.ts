import type { AttentionMode } from "@infllm/attention";
import { ConfigError } from "@infllm/tensor";
import type { ChatTemplateOptions } from "../tokenizer/chat-template.ts";
import type { Profile } from "../profile/op-times.ts";
import type { Drafting } from "./drafter.ts";
import type { Percentiles } from "./latencies.ts";

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
  /**
   * Drafts tokens where the text repeats something (quotes, code, names), and checks a draft in one pass. The answer's
   * distribution stays what it is without; tokens of the same seed do, too, but for ties within rounding. Off when absent.
   */
  readonly speculate?: boolean | SpeculateOptions | undefined;
  /**
   * Runs the prompt op by op, and the last token once more at the end, to tell where the time goes: `stats.profile`. Slower
   * than without; the tokens are the same.
   */
  readonly profile?: boolean | undefined;
  /** Variables for the chat template, e.g. `{ enable_thinking: false }`. */
  readonly template?: ChatTemplateOptions | undefined;
  /** Called after each chunk of the prompt; `total` are the tokens that are not in the cache yet. */
  readonly onPrefill?: ((progress: PrefillProgress) => void) | undefined;
  /** Called once, when the answer is complete; not after an error or abort. */
  readonly onFinish?: ((stats: GenerateStats) => void) | undefined;
}

export interface SpeculateOptions {
  /** Tokens to draft at most, from 1 to 63; 7 when absent. */
  readonly tokens?: number | undefined;
  /** Shortest and longest run of tokens that is looked up in the text so far, from 1 to 8; `[1, 3]` when absent. */
  readonly ngrams?: readonly [shortest: number, longest: number] | undefined;
  /**
   * True when absent: drafts only where recent ones came true and their passes paid, as measured, so that text which does
   * not repeat costs nothing. False drafts wherever there is a match, the same in every run.
   */
  readonly adaptive?: boolean | undefined;
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
  /** Until the first token was chosen: the time to the first token. */
  readonly prefillSeconds: number;
  /** For the tokens after the first. */
  readonly decodeSeconds: number;
  /** From one token to the next; absent where there was one only. */
  readonly tokenSeconds?: Percentiles;
  /** Whether the last query attended sparsely. */
  readonly sparse: boolean;
  /** Tokens that the last query attended to; under an attention method of its own, those it could choose from. */
  readonly visibleTokens: number;
  /** End token, stop string, `maxTokens`, or the end of the context. */
  readonly stopReason: StopReason;
  readonly seed: number;
  /** What drafts came to; absent without `speculate`. */
  readonly speculation?: Speculation;
  /** Absent without `profile`. */
  readonly profile?: Profile;
}

export interface Speculation {
  /** Passes that checked a draft. */
  readonly checks: number;
  /** Tokens of these drafts. */
  readonly drafted: number;
  /** Those among them that the model chose as well. */
  readonly accepted: number;
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
  readonly speculate: Drafting | undefined;
  readonly profile: boolean;
}

/** What `generation_config.json` suggests; greedy when it suggests nothing. */
export type SamplingDefaults = Required<Pick<ResolvedOptions, "temperature" | "topP" | "topK">>;

export const greedy: SamplingDefaults = { temperature: 0, topP: 1, topK: 0 };

/** Longer drafts are hardly ever right to their end. */
const MOST_DRAFTED = 63;
/** More tokens in common say no more about the next one. */
const MOST_AGREEING = 8;

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
    speculate: drafting(options.speculate),
    profile: options.profile ?? false,
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
  checkDrafting(resolved.speculate);
  check("attention", attention, ["auto", "dense", "sparse"].includes(attention), '"auto", "dense" or "sparse"');
  return resolved;
}

function drafting(speculate: GenerateOptions["speculate"]): Drafting | undefined {
  if (speculate === undefined || speculate === false) return undefined;
  const { tokens = 7, ngrams: [shortest, longest] = [1, 3], adaptive = true } = speculate === true ? {} : speculate;
  return { tokens, shortest, longest, adaptive };
}

function checkDrafting(drafting: Drafting | undefined): void {
  if (drafting === undefined) return;
  const { tokens, shortest, longest, adaptive } = drafting;
  check("speculate.tokens", tokens, isWhole(tokens, 1, MOST_DRAFTED), `a whole number from 1 to ${MOST_DRAFTED}`);
  const ordered = isWhole(shortest, 1, MOST_AGREEING) && isWhole(longest, shortest, MOST_AGREEING);
  check("speculate.ngrams", [shortest, longest], ordered, `two whole numbers from 1 to ${MOST_AGREEING}, the shorter one first`);
  check("speculate.adaptive", adaptive, typeof adaptive === "boolean", "true or false");
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}

function check(name: string, value: unknown, allowed: boolean, rule: string): void {
  if (!allowed) throw new ConfigError(`generate: ${name} is ${JSON.stringify(value) ?? String(value)}; it must be ${rule}.`);
}
