/**
 * MInference 1.0 (arXiv 2407.02490): prefill reads sparsely, by a pattern for every head; decoding is dense.
 *
 * - A-shape: the first tokens and a window.
 * - Vertical-slash: the columns and diagonals that get most attention from the last 64 queries of the prompt.
 * - Block-sparse: for 64 queries at a time, the blocks whose mean keys fit their mean query best.
 *
 * Which pattern a head has is searched once (Algorithm 1 of the paper): of candidates that cost the same `budget` of
 * tokens, the one whose output is closest to full attention's. What the pattern covers is found anew for every prompt.
 * As in the published kernels, 64 rows share their tokens: a diagonal is read a tile wide, and so is the window's edge.
 */
import { ConfigError } from "@infllm/tensor";
import { MinferenceAttention } from "./minference-attention.ts";
import { FIRST_COLUMNS, NEAR_DIAGONALS, TILE } from "./minference-patterns.ts";
import type { HeadPattern } from "./minference-patterns.ts";
import type { AttentionMethod } from "./method.ts";
import { count, methodOptions } from "./options.ts";

export interface MinferenceOptions {
  /** Tokens that a tile of 64 rows reads; shorter prompts are read densely. */
  readonly budget: number;
  /** Patterns of each layer and head, as `found` gives them; searched on the first long prompt when empty. */
  readonly patterns: readonly (readonly HeadPattern[])[];
}

export interface MinferenceMethod extends AttentionMethod {
  /** Patterns of each layer and head that are in use: given, or found so far. */
  readonly found: () => readonly (readonly HeadPattern[])[];
}

const LEAST_BUDGET = FIRST_COLUMNS + NEAR_DIAGONALS + TILE;

/** By default the 1536 tokens that the embedded model's sparse attention reads. */
export function minference(options: Partial<MinferenceOptions> = {}): MinferenceMethod {
  const settings = methodOptions<MinferenceOptions>("minference", options, {
    budget: count(1536, LEAST_BUDGET),
    patterns: { byDefault: [], allowed: "a list of layers, each a list of head patterns", accepts: isPatterns },
  });
  const patterns = settings.patterns.map((layer) => [...layer]);
  return {
    name: "minference",
    options: { ...settings },
    model: { attention: "dense", wholePrompt: true },
    found: () => patterns,
    begin(place) {
      const given = patterns[place.layer];
      if (given !== undefined && given.length !== place.heads) {
        throw new ConfigError(`Method minference: layer ${place.layer} has ${place.heads} heads, but patterns for ${given.length} were given.`);
      }
      return new MinferenceAttention(place, settings.budget, patterns);
    },
  };
}

function isPatterns(value: unknown): boolean {
  return Array.isArray(value) && value.every((layer) => Array.isArray(layer) && layer.every(isPattern));
}

function isPattern(value: unknown): boolean {
  const numbers: Record<string, readonly string[]> = {
    "a-shape": ["sinks", "window"],
    "vertical-slash": ["vertical", "slash"],
    "block-sparse": ["blocks"],
  };
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return numbers[String(fields["kind"])]?.every((name) => Number.isSafeInteger(fields[name]) && (fields[name] as number) >= 0) ?? false;
}
