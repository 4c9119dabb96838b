/** What selection reaches where answers to RULER's tasks are written: why sparse attention keeps or loses them. */
import type { Figures, ResultRecord } from "../../results/record.ts";
import { finished, numberIn, textOf, tokens } from "../latest.ts";
import type { Table } from "../section.ts";

/** From this much more dense attention in the best choice on, a loss is blamed on what was chosen, else on the number of blocks. */
const blamesChoice = 0.15;

/** Queries that write the answers to one task under full attention. */
export interface AnswerRecall {
  readonly task: string;
  readonly length: number;
  readonly queries: number;
  /** Shares of dense attention, means over layers, heads and queries. */
  readonly approx: number;
  readonly forced: number;
  readonly best: number;
  /** The head that the approximate LSE serves worst, from 1. */
  readonly worst: { readonly layer: number; readonly head: number; readonly approx: number; readonly best: number };
}

export function answerRecalls(records: readonly ResultRecord[]): AnswerRecall[] {
  return finished(records, "agreement").flatMap(({ cell, figures }) => {
    const { measure, task, length } = cell;
    const recall = objectIn(figures, "recall");
    const [approx, forced, best] = ["approx", "forced", "best"].map((kind) => numberIn(recall, kind));
    const worst = worstHead(figures);
    if (measure !== "answers" || typeof length !== "number" || approx === undefined || forced === undefined || best === undefined || worst === undefined) return [];
    return [{ task: textOf(task), length, queries: numberIn(figures, "queries") ?? 0, approx, forced, best, worst }];
  });
}

/** Recall of the answers to a task, in a sentence; nothing where it was not measured. */
export function recallSentence(records: readonly ResultRecord[], task: string, length: number): string {
  const found = answerRecalls(records).find((one) => one.task === task && one.length === length);
  if (found === undefined) return "";
  const { approx, forced, worst } = found;
  const why = worst.best - worst.approx > blamesChoice ? "what it looks for lies in blocks that selection left out" : "its attention is spread over more blocks than a query may read, however they are chosen";
  return (
    ` Where its answers are written, the selected blocks hold ${percent(approx)} of dense attention (forced blocks alone ${percent(forced)}), but only ` +
    `${percent(worst.approx)} of that of head ${worst.head} in layer ${worst.layer}, where the best choice of as many blocks would hold ${percent(worst.best)}: ${why}.`
  );
}

/** Lost points are full attention's RULER score less InfLLM-V2's on the same samples. */
export function answerTable(records: readonly ResultRecord[]): Table[] {
  const rows = [...answerRecalls(records)].sort((a, b) => a.length - b.length);
  if (rows.length === 0) return [];
  return [{
    title: "Selections where answers are written",
    head: ["task", "tokens", "queries", "selected", "forced alone", "best choice", "worst head", "its best choice", "RULER points lost"],
    rows: rows.map(({ task, length, queries, approx, forced, best, worst }) => [
      task, tokens(length), String(queries), percent(approx), percent(forced), percent(best), percent(worst.approx), percent(worst.best), lost(records, task, length),
    ]),
  }];
}

function lost(records: readonly ResultRecord[], task: string, length: number): string {
  const score = (method: string): number | undefined => {
    const record = finished(records, "ruler").find(({ cell }) => cell["task"] === task && cell["length"] === length && cell["method"] === method);
    return record && numberIn(record.figures, "score");
  };
  const [full, own] = [score("full"), score("infllm-v2")];
  return full === undefined || own === undefined ? "–" : (full - own).toFixed(1);
}

function worstHead(figures: Figures): AnswerRecall["worst"] | undefined {
  const grids = objectIn(figures, "recallByLayerAndHead");
  const [approx, best] = [gridIn(grids, "approx"), gridIn(grids, "best")];
  const heads = approx.flatMap((row, layer) => row.flatMap((value, head) => (value === null ? [] : [{ layer: layer + 1, head: head + 1, approx: value, best: best[layer]?.[head] ?? Number.NaN }])));
  return heads.sort((a, b) => a.approx - b.approx)[0];
}

/** Layers by heads. */
export function gridIn(grids: Figures, kind: string): (number | null)[][] {
  const grid = grids[kind];
  if (!Array.isArray(grid)) return [];
  return grid.map((row) => (Array.isArray(row) ? row.map((value) => (typeof value === "number" ? value : null)) : []));
}

export function objectIn(figures: Figures, name: string): Figures {
  const value = figures[name];
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Figures) : {};
}

export function percent(value: number, digits = 0): string {
  return `${(100 * value).toFixed(digits)} %`;
}
