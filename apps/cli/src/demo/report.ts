/** What `infllm demo` found, as data and for people. */
import { duration, rate, table, wrap } from "@infllm/command";
import type { HiddenFact } from "@infllm/demo-text";
import type { Model } from "@infllm/model";
import { formatBytes } from "@infllm/tensor";
import { drawBlocks } from "../terminal/block-map.ts";
import type { Answer } from "./ask.ts";

export interface DemoRun {
  readonly model: Model;
  readonly backend: string;
  readonly seed: number;
  readonly depth: number;
  readonly fact: HiddenFact;
  /** Position of the fact's first token in the prompt, and of the one after it. */
  readonly factTokens: readonly [from: number, to: number];
  readonly dense: Answer;
  readonly sparse: Answer;
}

export interface DemoReport {
  readonly tokens: number;
  readonly seed: number;
  readonly depth: number;
  readonly backend: string;
  readonly question: string;
  readonly expected: string;
  readonly dense: ModeReport;
  readonly sparse: ModeReport & {
    /** Whether the sparse answer equals the dense one. */
    readonly same: boolean;
  };
  /** How many times faster sparse attention is. */
  readonly prefillRatio: number;
  readonly decodeRatio: number;
  /** Bytes of the KV cache that both runs used, compressed keys included. */
  readonly kvBytes: number;
  readonly selection: SelectionReport | undefined;
}

export interface ModeReport {
  readonly answer: string;
  readonly correct: boolean;
  readonly prefillSeconds: number;
  readonly prefillTokensPerSecond: number;
  /** For `decodeTokens` tokens. */
  readonly decodeSeconds: number;
  readonly decodeTokens: number;
  readonly decodeTokensPerSecond: number;
  /** Tokens that the last query of the answer attended to. */
  readonly visibleTokens: number;
}

export interface SelectionReport {
  readonly position: number;
  readonly blockSize: number;
  /** Block numbers of each layer and KV head. */
  readonly layers: readonly (readonly (readonly number[])[])[];
  /** Blocks that hold the fact. */
  readonly factBlocks: readonly number[];
}

export function report({ model, backend, seed, depth, fact, factTokens, dense, sparse }: DemoRun): DemoReport {
  const selection = sparse.selection && {
    ...sparse.selection,
    factBlocks: blocksOf(factTokens, sparse.selection.blockSize),
  };
  return {
    tokens: dense.stats.promptTokens,
    seed,
    depth,
    backend,
    question: fact.question,
    expected: fact.expected,
    dense: modeReport(dense, fact.expected),
    sparse: { ...modeReport(sparse, fact.expected), same: sparse.text === dense.text },
    prefillRatio: dense.stats.prefillSeconds / sparse.stats.prefillSeconds,
    decodeRatio: sparse.decodeTokens / sparse.decodeSeconds / (dense.decodeTokens / dense.decodeSeconds),
    kvBytes: model.cacheBytes,
    selection,
  };
}

function modeReport({ text, stats, decodeTokens, decodeSeconds }: Answer, expected: string): ModeReport {
  const { prefillSeconds, promptTokens, visibleTokens } = stats;
  return {
    answer: text,
    correct: text === expected,
    prefillSeconds,
    prefillTokensPerSecond: promptTokens / prefillSeconds,
    decodeSeconds,
    decodeTokens,
    decodeTokensPerSecond: decodeTokens / decodeSeconds,
    visibleTokens,
  };
}

function blocksOf([from, to]: readonly [number, number], blockSize: number): number[] {
  const first = Math.floor(from / blockSize);
  return Array.from({ length: Math.floor((to - 1) / blockSize) - first + 1 }, (_, index) => first + index);
}

/** The figures and the picture; the answers themselves were printed as they came. */
export function describeReport(found: DemoReport, columns: number, withUnicode: boolean): string {
  const { dense, sparse } = found;
  const times = (ratio: number): string => `${ratio.toFixed(ratio < 10 ? 1 : 0)}x`;
  const figures = table([
    ["", "dense", "sparse", ""],
    ["prefill", duration(dense.prefillSeconds), duration(sparse.prefillSeconds), times(found.prefillRatio)],
    ["prefill, tokens/s", rate(found.tokens, dense.prefillSeconds), rate(found.tokens, sparse.prefillSeconds), ""],
    ["decode, tokens/s", rate(dense.decodeTokens, dense.decodeSeconds), rate(sparse.decodeTokens, sparse.decodeSeconds), times(found.decodeRatio)],
    ["tokens the last query read", number(dense.visibleTokens), number(sparse.visibleTokens), times(dense.visibleTokens / sparse.visibleTokens)],
    ["KV cache", formatBytes(found.kvBytes), "the same", ""],
  ]);
  return `${figures}\n${wrap(verdict(found), columns)}${found.selection ? `\n${picture(found.selection, columns, withUnicode)}` : ""}`;
}

function verdict({ dense, sparse, prefillRatio }: DemoReport): string {
  if (!sparse.same) {
    const right = sparse.correct ? "sparse" : dense.correct ? "dense" : undefined;
    return `The answers differ${right ? `; the ${right} one is right` : ", and neither is right"}.`;
  }
  const quality = dense.correct ? "The same right answer" : "The same answer, but a wrong one";
  if (prefillRatio < 1.15) return `${quality}, in about the same time; the gain grows with --tokens.`;
  return `${quality}, with the text read ${prefillRatio.toFixed(1)} times as fast.`;
}

function picture({ position, blockSize, layers, factBlocks }: SelectionReport, columns: number, withUnicode: boolean): string {
  const chosen = layers.flat();
  const counts = Array.from({ length: Math.floor(position / blockSize) + 1 }, () => 0);
  for (const blocks of chosen) for (const block of blocks) counts[block] = (counts[block] ?? 0) + 1;
  const found = chosen.filter((blocks) => factBlocks.some((block) => blocks.includes(block))).length;
  const drawn = drawBlocks({ counts, selections: chosen.length, blockSize, marked: factBlocks }, columns, withUnicode);
  const heads = (layers[0]?.length ?? 1) > 1 ? "KV heads of all layers" : "layers";
  return wrap(`Blocks that the last query chose (${found} of ${chosen.length} ${heads} chose the fact's):`, columns) + drawn;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
