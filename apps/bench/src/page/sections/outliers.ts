/** Why a mean KL divergence says little: the few positions that carry it, and what selection left out there. */
import type { Figures, ResultRecord } from "../../results/record.ts";
import { finished, mean, numberIn, tokens } from "../latest.ts";
import type { Table } from "../section.ts";
import { objectIn, percent } from "./answers.ts";

/** The method that reads as many tokens without choosing any. */
const rival = "sliding-window";

/** One length at which distributions and selection were looked at on the same positions. */
interface Outliers {
  readonly length: number;
  readonly own: Spread;
  readonly other: Spread | undefined;
  readonly recall: Recall;
}

interface Spread {
  readonly mean: number;
  readonly median: number;
  /** Of the summed KL, what the worst hundredth of positions adds. */
  readonly worstShare: number;
}

export function outlierText(records: readonly ResultRecord[]): string[] {
  const found = outliersOf(records);
  if (found.length === 0) return [];
  const each = (text: (one: Outliers) => string): string => listed(found.map((one) => `${text(one)} at ${tokens(one.length)}`));
  return [
    `The worst hundredth of positions carry much of InfLLM-V2's KL divergence: ${each(({ own }) => percent(own.worstShare))}. There the head that selection serves worst finds ` +
      `${each(({ recall }) => percent(recall.worst.least))} of its dense attention in the selected blocks, elsewhere ${each(({ recall }) => percent(recall.others.least))}. ` +
      "All query heads of a KV head share one selection, and a block that a single head needs can be left out.",
    ...besideRival(found),
  ];
}

/** Mean and median can order the two methods differently; then both are said. */
function besideRival(found: readonly Outliers[]): string[] {
  const compared = found.flatMap(({ length, own, other }) => (other === undefined ? [] : [{ length, own, other }]));
  const behind = compared.filter(({ own, other }) => own.mean > other.mean);
  if (behind.length === 0) return [];
  const closer = behind.every(({ own, other }) => own.median < other.median);
  return [
    `A sliding window of as many tokens has the smaller mean KL at ${listed(behind.map(({ length, own, other }) => `${tokens(length)} (${nats(other.mean)} against ${nats(own.mean)})`))}` +
      `${closer ? ", though the larger median" : ""}: it reads all of the last tokens, while selection may drop one of these blocks.`,
  ];
}

export function outlierTable(records: readonly ResultRecord[]): Table[] {
  const found = outliersOf(records);
  if (found.length === 0) return [];
  return [{
    title: "Dense attention in InfLLM-V2's blocks, at the positions of the 1 % largest KL and at the others",
    head: ["tokens", "worst head, there", "elsewhere", "all heads, there", "elsewhere", "sum of KL there"],
    rows: found.map(({ length, own, recall: { worst, others } }) => [
      tokens(length), percent(worst.least), percent(others.least), percent(worst.all, 1), percent(others.all, 1), percent(own.worstShare),
    ]),
  }];
}

function outliersOf(records: readonly ResultRecord[]): Outliers[] {
  const cells = finished(records, "agreement");
  const at = (measure: string, length: number, method?: string): Figures | undefined =>
    cells.find(({ cell }) => cell["measure"] === measure && cell["length"] === length && cell["method"] === method)?.figures;
  const lengths = [...new Set(cells.flatMap(({ cell }) => (typeof cell["length"] === "number" ? [cell["length"]] : [])))].sort((a, b) => a - b);
  return lengths.flatMap((length) => {
    const [method, other, selection] = [at("distributions", length, "infllm-v2"), at("distributions", length, rival), at("selection", length)];
    const own = method && spreadOf(method);
    const recall = method && selection && recallBySide(method, selection);
    return own === undefined || recall === undefined ? [] : [{ length, own, other: other && spreadOf(other), recall }];
  });
}

/** `a`, `a and b`, `a, b and c` */
function listed(items: readonly string[]): string {
  const last = items.at(-1) ?? "";
  return items.length < 2 ? last : `${items.slice(0, -1).join(", ")} and ${last}`;
}

function nats(value: number): string {
  return value.toPrecision(2);
}

function spreadOf(figures: Figures): Spread | undefined {
  const [average, median, worstShare] = [numberIn(figures, "kl"), numberIn(figures, "medianKl"), numberIn(objectIn(figures, "worst"), "shareOfKl")];
  return average === undefined || median === undefined || worstShare === undefined ? undefined : { mean: average, median, worstShare };
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
