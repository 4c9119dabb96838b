/** Why a mean KL divergence says little: the few positions that carry it, and what selection left out there. */
import type { Figures, ResultRecord } from "../../results/record.ts";
import { finished, mean, numberIn, tokens } from "../latest.ts";
import { objectIn, percent } from "./answers.ts";

/** The method that reads as many tokens without choosing any. */
const rival = "sliding-window";

interface Spread {
  readonly mean: number;
  readonly median: number;
  readonly worst: { readonly positions: number; readonly share: number };
}

/** For each length with the figures it takes; the longest first. */
export function outlierText(records: readonly ResultRecord[]): string[] {
  const own = finished(records, "agreement");
  const at = (measure: string, length: number, method?: string): ResultRecord | undefined =>
    own.find(({ cell }) => cell["measure"] === measure && cell["length"] === length && (method === undefined || cell["method"] === method));
  const lengths = [...new Set(own.flatMap(({ cell }) => (typeof cell["length"] === "number" ? [cell["length"]] : [])))].sort((a, b) => b - a);
  return lengths.flatMap((length) => {
    const [method, other, selection] = [at("distributions", length, "infllm-v2"), at("distributions", length, rival), at("selection", length)];
    if (method === undefined || selection === undefined) return [];
    const spread = spreadOf(method.figures);
    const recall = recallBySide(method.figures, selection.figures);
    if (spread === undefined || recall === undefined) return [];
    return [sentence(length, spread, other && spreadOf(other.figures), recall)];
  });
}

function sentence(length: number, { mean: average, median, worst }: Spread, other: Spread | undefined, recall: Recall): string {
  const beside = other === undefined ? "" : ` A sliding window of as many tokens has a mean of ${nats(other.mean)} and a median of ${nats(other.median)}.`;
  return (
    `At ${tokens(length)} tokens InfLLM-V2's mean KL is ${nats(average)}, its median ${nats(median)}: ${worst.positions} positions, the worst hundredth, carry ${percent(worst.share)} of the sum.${beside} ` +
    `At those positions the head that selection serves worst finds ${percent(recall.worst.least)} of its dense attention in the selected blocks, elsewhere ${percent(recall.others.least)}; ` +
    `over all heads it is ${percent(recall.worst.all, 1)} and ${percent(recall.others.all, 1)}. All query heads of a KV head share one selection, and a block that one of them needs can be left out.`
  );
}

function nats(value: number): string {
  return value.toPrecision(2);
}

function spreadOf(figures: Figures): Spread | undefined {
  const [average, median] = [numberIn(figures, "kl"), numberIn(figures, "medianKl")];
  const worst = objectIn(figures, "worst");
  const [positions, share] = [numberIn(worst, "positions"), numberIn(worst, "shareOfKl")];
  if (average === undefined || median === undefined || positions === undefined || share === undefined) return undefined;
  return { mean: average, median, worst: { positions, share } };
}

interface Recall {
  readonly worst: Side;
  readonly others: Side;
}

/** Means over positions: of all heads, and of the head served worst. */
interface Side {
  readonly all: number;
  readonly least: number;
}

/** Recall at the positions of largest KL, a hundredth, and at the others: those that must choose and were looked at. */
function recallBySide(distributions: Figures, selection: Figures): Recall | undefined {
  const reached = new Map(rowsOf(selection["reached"]).map(([text, position, all, least]) => [`${text}/${position}`, { all: all ?? Number.NaN, least: least ?? Number.NaN }]));
  const compared = rowsOf(distributions["compared"])
    .flatMap(([text, position, kl]) => {
      const recall = reached.get(`${text}/${position}`);
      return recall === undefined || kl === undefined ? [] : [{ kl, recall }];
    })
    .sort((a, b) => b.kl - a.kl);
  const worst = compared.slice(0, Math.ceil(compared.length / 100));
  const others = compared.slice(worst.length);
  if (others.length === 0) return undefined;
  const sideOf = (some: typeof compared): Side => ({ all: mean(some.map(({ recall }) => recall.all)), least: mean(some.map(({ recall }) => recall.least)) });
  return { worst: sideOf(worst), others: sideOf(others) };
}

function rowsOf(value: Figures[string] | undefined): number[][] {
  return Array.isArray(value) ? value.flatMap((row) => (Array.isArray(row) && row.every((item) => typeof item === "number") ? [row as number[]] : [])) : [];
}
