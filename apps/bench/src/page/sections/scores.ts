/** Sections over tasks by method: RULER, and whatever else is scored from 0 to 100. */
import type { ResultRecord } from "../../results/record.ts";
import type { ChartSpec } from "../chart.ts";
import { backendText, finished, groupBy, mean, numberIn, textOf, tokens } from "../latest.ts";
import type { Headline, ReportPart, Table } from "../section.ts";
import { colour, seriesScale, stepInk, steps } from "../theme.ts";
import { recallSentence } from "./answers.ts";

interface Score {
  readonly task: string;
  readonly length: number | undefined;
  readonly method: string;
  readonly score: number;
  readonly samples: number;
  readonly fixture: boolean;
}

const baseline = "full";

export function rulerPart(records: readonly ResultRecord[]): ReportPart | undefined {
  const scores = scoresOf(finished(records, "ruler"));
  if (scores.length === 0) return undefined;
  const methods = [...new Set(scores.map(({ method }) => method))];
  const lengths = [...new Set(scores.map(({ length }) => length ?? 0))].sort((a, b) => a - b);
  const averages = methods.flatMap((method) => lengths.flatMap((length) => averageOf(scores, method, length)));
  const samples = [...new Set(scores.map((score) => score.samples))].sort((a, b) => a - b);
  const table: Table = {
    title: "Average of the tasks, 0 to 100",
    head: ["method", ...lengths.map(tokens)],
    rows: methods.map((method) => [method, ...lengths.map((length) => shown(averages.find((at) => at.method === method && at.length === length)?.score))]),
  };
  return {
    section: {
      id: "ruler",
      title: "RULER",
      text: [
        `RULER's synthetic tasks under every attention method, on the same samples (${range(samples)} of each task and length): a score of 100 is every expected string in the answer. ` +
          `With so few samples a task's score moves in steps of ${Math.round(100 / (samples[0] ?? 1))}; the averages are steadier.`,
        ...(samples.length < 2 ? [] : ["Not every method has all samples, so differences between methods of different numbers are rough; a table says how many each has."]),
        ...lossText(averages, scores, records),
        ...backendText(finished(records, "ruler")),
      ],
      charts: [
        { title: "Average by length", caption: "Each panel is one method; grey is full attention on the same samples.", spec: panels(averages, methods) },
        { title: "Every task", caption: "The stronger the colour, the better. Rows are tasks, columns are lengths.", spec: taskMap(scores, lengths) },
      ],
      tables: [table, ...(samples.length < 2 ? [] : [sampleTable(scores, methods, lengths)]), ...taskTables(scores, methods, lengths)],
    },
    headlines: keptHeadline(averages, scores),
  };
}

/** None while tasks that others have at this length are missing: averages of other tasks cannot be compared. */
function averageOf(scores: readonly Score[], method: string, length: number): Average[] {
  const here = scores.filter((score) => score.length === length);
  const own = here.filter((score) => score.method === method);
  if (own.length < new Set(here.map(({ task }) => task)).size) return [];
  return [{ method, length, score: mean(own.map(({ score }) => score)) }];
}

/** One table of tasks by method, for suites without lengths. */
export function taskPart(records: readonly ResultRecord[], suite: string, title: string, about: string): ReportPart | undefined {
  const scores = scoresOf(finished(records, suite));
  if (scores.length === 0) return undefined;
  const methods = [...new Set(scores.map(({ method }) => method))];
  const rows = [...groupBy(scores, ({ task }) => task)].map(([task, own]) => [
    `${task}${own.some(({ fixture }) => fixture) ? " (fixture)" : ""}`,
    String(own[0]?.samples ?? 0),
    ...methods.map((method) => shown(own.find((score) => score.method === method)?.score)),
  ]);
  const fixtures = scores.some(({ fixture }) => fixture)
    ? ["Scores marked (fixture) come from the few samples that ship with the app. They show that loading, prompting and scoring work; they are no result about the model."]
    : [];
  return {
    section: { id: suite, title, text: [about, ...fixtures], charts: [], tables: [{ title: "Scores, 0 to 100", head: ["task", "samples", ...methods], rows }] },
    headlines: [],
  };
}

function scoresOf(records: readonly ResultRecord[]): Score[] {
  return records.flatMap(({ cell, figures }) => {
    const score = numberIn(figures, "score");
    const { length } = cell;
    if (score === undefined) return [];
    return [{
      task: textOf(cell["task"]),
      length: typeof length === "number" ? length : undefined,
      method: textOf(cell["method"]),
      score,
      samples: numberIn(figures, "samples") ?? 0,
      fixture: figures["source"] === "fixture",
    }];
  });
}

interface Average {
  readonly method: string;
  readonly length: number;
  readonly score: number;
}

function panels(averages: readonly Average[], methods: readonly string[]): ChartSpec {
  const shownIn = methods.filter((method) => method !== baseline);
  const panelled = shownIn.length === 0 ? methods : shownIn;
  const values = panelled.flatMap((panel) =>
    averages.filter(({ method }) => method === panel || method === baseline).map((average) => ({ ...average, panel, length: tokens(average.length) })),
  );
  const order = [...new Set(averages.map(({ length }) => length))].sort((a, b) => a - b).map(tokens);
  return {
    data: { values },
    facet: { field: "panel", type: "nominal", sort: [...panelled] },
    columns: Math.min(4, panelled.length),
    spec: {
      width: 170,
      height: 130,
      layer: [
        { mark: { type: "line", point: true }, encoding: {} },
        {
          transform: [{ filter: "datum.method === datum.panel" }],
          mark: { type: "text", dy: 14, fontSize: 10 },
          encoding: { text: { field: "score", format: ".0f" } },
        },
      ],
      encoding: {
        x: { field: "length", type: "ordinal", sort: order, title: "tokens", axis: { labelAngle: 0 } },
        y: { field: "score", type: "quantitative", title: null, scale: { domain: [0, 100] }, axis: { values: [0, 50, 100] } },
        color: { field: "method", type: "nominal", scale: seriesScale(methods), legend: null },
      },
    },
  };
}

function taskMap(scores: readonly Score[], lengths: readonly number[]): ChartSpec {
  const values = scores.map(({ task, length, method, score }) => ({ task, method, score, length: tokens(length ?? 0) }));
  const methods = [...new Set(scores.map(({ method }) => method))];
  return {
    data: { values },
    facet: { field: "method", type: "nominal", sort: methods },
    columns: Math.min(3, methods.length),
    spec: {
      width: { step: 36 },
      height: { step: 22 },
      encoding: {
        x: { field: "length", type: "ordinal", sort: lengths.map(tokens), title: null, axis: { labelAngle: 0, domain: false, ticks: false } },
        y: { field: "task", type: "nominal", sort: [...new Set(scores.map(({ task }) => task))], title: null, axis: { domain: false, ticks: false } },
      },
      layer: [
        { mark: { type: "rect", stroke: colour("card"), strokeWidth: 2 }, encoding: { color: stepColour("score", 100) } },
        {
          mark: { type: "text", fontSize: 10 },
          encoding: {
            text: { field: "score", format: ".0f" },
            color: { field: "score", type: "quantitative", scale: { type: "threshold", domain: thresholds(100), range: [...stepInk] }, legend: null },
          },
        },
      ],
      resolve: { scale: { color: "independent" } },
    },
  };
}

/** Colour by steps from 0 to `top`. */
export function stepColour(field: string, top: number) {
  return {
    field,
    type: "quantitative",
    scale: { type: "threshold", domain: thresholds(top), range: [...steps] },
    legend: null,
  } as const;
}

export function thresholds(top: number): number[] {
  return Array.from({ length: steps.length - 1 }, (_, i) => ((i + 1) * top) / steps.length);
}

function taskTables(scores: readonly Score[], methods: readonly string[], lengths: readonly number[]): Table[] {
  const tasks = [...new Set(scores.map(({ task }) => task))];
  return lengths.map((length) => ({
    title: `Every task at ${tokens(length)} tokens`,
    head: ["task", ...methods],
    rows: tasks.map((task) => [task, ...methods.map((method) => shown(scores.find((at) => at.task === task && at.method === method && at.length === length)?.score))]),
  }));
}

/** How many samples each task has, where that differs. */
function sampleTable(scores: readonly Score[], methods: readonly string[], lengths: readonly number[]): Table {
  const of = (method: string, length: number): string => {
    const counts = scores.filter((score) => score.method === method && score.length === length).map(({ samples }) => samples);
    return counts.length === 0 ? "–" : range([...new Set(counts)].sort((a, b) => a - b));
  };
  return { title: "Samples of each task", head: ["method", ...lengths.map(tokens)], rows: methods.map((method) => [method, ...lengths.map((length) => of(method, length))]) };
}

/** `2`, or `1 to 10` of ascending numbers. */
function range(ascending: readonly number[]): string {
  const [first, last] = [ascending[0] ?? 0, ascending.at(-1) ?? 0];
  return first === last ? String(first) : `${first} to ${last}`;
}

/** Where sparse attention loses, in words: how much at each length, the task that it loses most in, and what selection left out there. */
function lossText(averages: readonly Average[], scores: readonly Score[], records: readonly ResultRecord[]): string[] {
  const losses = averages.flatMap(({ method, length, score }) => {
    const full = averages.find((at) => at.method === baseline && at.length === length)?.score;
    return full === undefined || method !== "infllm-v2" ? [] : [{ method, length, lost: full - score, full }];
  });
  const [worst] = [...losses].sort((a, b) => b.lost - a.lost);
  if (worst === undefined) return [];
  if (worst.lost < 0.5) return ["InfLLM-V2 lost nothing against full attention on these samples at any length."];
  const at = (method: string, task: string): number => scores.find((score) => score.method === method && score.task === task && score.length === worst.length)?.score ?? Number.NaN;
  const tasks = [...new Set(scores.filter(({ length }) => length === worst.length).map(({ task }) => task))];
  const [hardest] = tasks.map((task) => ({ task, full: at(baseline, task), own: at(worst.method, task) })).sort((a, b) => b.full - b.own - (a.full - a.own));
  const most = hardest === undefined ? "" : `, most of it in ${hardest.task} (${shown(hardest.own)} where full attention has ${shown(hardest.full)})`;
  const others = losses.filter(({ length }) => length !== worst.length).map(({ length, lost }) => `${signed(-lost)} at ${tokens(length)}`);
  return [
    `InfLLM-V2 loses most at ${tokens(worst.length)} tokens: ${worst.method} averages ${shown(worst.full - worst.lost)} where full attention has ${shown(worst.full)}${most}.` +
      (hardest === undefined ? "" : recallSentence(records, hardest.task, worst.length)) +
      (others.length === 0 ? "" : ` At the other lengths it is ${others.join(", ")}.`),
  ];
}

function signed(value: number): string {
  return Math.abs(value) < 0.05 ? "even" : `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(1)}`;
}

function keptHeadline(averages: readonly Average[], scores: readonly Score[]): Headline[] {
  const lengthsOf = (wanted: string): number[] => averages.filter(({ method }) => method === wanted).map(({ length }) => length);
  const longest = Math.max(...lengthsOf("infllm-v2").filter((length) => lengthsOf(baseline).includes(length)));
  const at = (method: string): number | undefined => averages.find((average) => average.method === method && average.length === longest)?.score;
  const [sparse, full] = [at("infllm-v2"), at(baseline)];
  if (sparse === undefined || full === undefined || full === 0) return [];
  const counts = range([...new Set(scores.filter(({ method, length }) => length === longest && [baseline, "infllm-v2"].includes(method)).map(({ samples }) => samples))].sort((a, b) => a - b));
  return [{ value: `${((100 * sparse) / full).toFixed(0)} %`, what: "of full attention's RULER score kept", detail: `${shown(sparse)} of ${shown(full)} at ${tokens(longest)} tokens, ${counts} ${counts === "1" ? "sample" : "samples"} of each task` }];
}

function shown(value: number | undefined): string {
  return value === undefined ? "–" : value.toFixed(1);
}
