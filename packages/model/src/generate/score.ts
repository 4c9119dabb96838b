/** How likely a model finds the tokens of a given text. */
import { attendsSparsely } from "@infllm/attention";
import type { AttentionMode } from "@infllm/attention";
import { logSumExp } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import { ConfigError } from "@infllm/tensor";
import { largestIndex } from "./distribution.ts";
import type { LogitRows } from "./logit-rows.ts";
import type { PrefillProgress } from "./options.ts";
import { checkAttention, checkPrompt } from "./prompt-checks.ts";
import type { PromptLimits } from "./prompt-checks.ts";
import type { Runner } from "./runner.ts";

export interface ScoreOptions {
  /** Positions whose next-token distribution is wanted, ascending; all but the last when absent. */
  readonly positions?: readonly number[] | undefined;
  /** As for `generate`: by default the length of the text decides. */
  readonly attention?: AttentionMode | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onPrefill?: ((progress: PrefillProgress) => void) | undefined;
}

export interface TokenScores {
  /** Position of each entry below. */
  readonly positions: Int32Array;
  /** ln p(token at position + 1 | tokens up to position); NaN after the last token, which nothing follows. */
  readonly logProbs: Float64Array;
  /** The most likely next token, the lower id on a tie. */
  readonly best: Int32Array;
}

export interface Scoring extends PromptLimits {
  readonly runner: Runner;
  readonly sparse: SparseConfig | undefined;
  readonly ids: readonly number[];
  readonly options: ScoreOptions;
  readonly attention: AttentionMode;
  readonly reuse: boolean;
}

/** Logits of the wanted positions, in order. @throws ConfigError (empty text, positions), ShapeError (longer than the context) */
export async function* scoreRows(scoring: Scoring): AsyncGenerator<LogitRows, void, undefined> {
  const { runner, ids, options, attention, sparse, reuse } = scoring;
  checkPrompt(ids, scoring);
  checkAttention(attention, sparse);
  yield* runner.score({
    ids,
    sparse: attendsSparsely(attention, ids.length, sparse),
    positions: wantedPositions(ids.length, options.positions),
    reuse,
    signal: options.signal,
    onChunk: (processed, total) => options.onPrefill?.({ processed, total }),
  });
}

/** The scores of the tokens that follow the wanted positions. */
export async function scoreTokens(ids: readonly number[], rows: AsyncIterable<LogitRows>): Promise<TokenScores> {
  const positions: number[] = [];
  const logProbs: number[] = [];
  const best: number[] = [];
  for await (const { first, count, logits } of rows) {
    const width = logits.length / count;
    for (let row = 0; row < count; row++) {
      const own = logits.subarray(row * width, (row + 1) * width);
      const next = ids[first + row + 1];
      positions.push(first + row);
      logProbs.push(next === undefined ? NaN : (own[next] ?? NaN) - logSumExp(own));
      best.push(largestIndex(own));
    }
  }
  return { positions: Int32Array.from(positions), logProbs: Float64Array.from(logProbs), best: Int32Array.from(best) };
}

function wantedPositions(length: number, given: readonly number[] | undefined): readonly number[] {
  if (given === undefined) return Array.from({ length: length - 1 }, (_, position) => position);
  given.forEach((position, i) => {
    if (Number.isInteger(position) && position >= 0 && position < length && position > (given[i - 1] ?? -1)) return;
    throw new ConfigError(
      `score: positions[${i}] is ${position}; positions are whole numbers from 0 to ${length - 1} (the text has ${length} tokens), ascending.`,
    );
  });
  return given;
}
