/** Whole models: reading a prompt and writing an answer. */
import { formatBytes } from "@infllm/tensor";
import { machineOf, type ResultRecord } from "../../results/record.ts";
import { seconds } from "../../seconds.ts";
import type { ChartSpec } from "../chart.ts";
import { finished, groupBy, lengthAxis, numberIn, secondsLabels, textOf, tokens } from "../latest.ts";
import type { Headline, ReportPart, Table } from "../section.ts";
import { seriesScale } from "../theme.ts";

interface Row {
  readonly series: string;
  readonly length: number;
  readonly prefill: number;
  /** Processor seconds of the prefill. */
  readonly cpu: number | undefined;
  readonly decode: number;
  readonly peak: number | undefined;
  readonly runs: number;
}

const sparse = "sparse";
const llama = ["node-llama-cpp", "node-llama-cpp, flash"];
/** In the order of charts and tables. */
const seriesOrder = ["dense", sparse, ...llama];

export function e2eParts(records: readonly ResultRecord[]): ReportPart[] {
  const groups = groupBy(finished(records, "e2e"), ({ environment, model, config }) => `${model?.name ?? "a model"}, ${textOf(config["weights"])} weights, on ${machineOf(environment)}`);
  return [...groups].flatMap(([where, own], index) => {
    const rows = own.flatMap(rowOf).sort((a, b) => a.length - b.length || seriesOrder.indexOf(a.series) - seriesOrder.indexOf(b.series));
    return rows.length === 0 ? [] : [e2ePart(where, rows, own, index)];
  });
}

function rowOf({ cell, figures }: ResultRecord): Row[] {
  const { engine, attention, length } = cell;
  const [prefill, decode] = [numberIn(figures, "prefillSeconds"), numberIn(figures, "decodeTokensPerSecond")];
  if (typeof length !== "number" || prefill === undefined || decode === undefined) return [];
  const mode = textOf(attention);
  const series = engine === "infllm" ? mode : mode === "flash" ? "node-llama-cpp, flash" : "node-llama-cpp";
  const runs = Array.isArray(figures["prefillRuns"]) ? figures["prefillRuns"].length : 1;
  return [{ series, length, prefill, cpu: numberIn(figures, "prefillCpuSeconds"), decode, peak: numberIn(figures, "peakBytes"), runs }];
}

function e2ePart(where: string, rows: readonly Row[], own: readonly ResultRecord[], index: number): ReportPart {
  const order = seriesOrder.filter((name) => rows.some(({ series }) => series === name));
  const table: Table = {
    title: "All figures",
    head: ["engine", "tokens", "prefill", "its processor time", "prefill, tokens/s", "decode, tokens/s", "peak memory"],
    rows: rows.map(({ series, length, prefill, cpu, decode, peak }) => [
      name(series), tokens(length), seconds(prefill), cpu === undefined ? "–" : seconds(cpu), Math.round(length / prefill).toLocaleString("en-US"), decode.toFixed(decode < 10 ? 1 : 0), peak === undefined ? "–" : formatBytes(peak),
    ]),
  };
  const devices = [...new Set(own.map(({ figures }) => textOf(figures["device"] ?? "")))].filter((text) => text !== "");
  return {
    section: {
      id: `e2e-${index}`,
      title: "End to end",
      text: [
        `${where}. ${devices.join("; ")}. The same token ids for every engine; a run each unless said otherwise (${[...new Set(rows.map(({ runs }) => runs))].join(", ")}), each in a process of its own.`,
        ...comparison(rows),
      ],
      charts: [
        { title: "Reading a prompt", caption: "Seconds until the first token; both axes logarithmic. Lower is better.", spec: lines(rows, order, "prefill", null, "log") },
        ...(rows.some(({ cpu }) => cpu !== undefined)
          ? [{ title: "Reading a prompt, processor time", caption: "Seconds of all threads together; other programs on the machine stretch these less than wall time.", spec: lines(rows, order, "cpu", null, "log") }]
          : []),
        { title: "Writing", caption: "Tokens per second behind a prompt of this length. Higher is better.", spec: lines(rows, order, "decode", "tokens per second", "linear") },
        ...(rows.some(({ peak }) => peak !== undefined)
          ? [{ title: "Peak memory", caption: "Largest resident memory of the process, weights and runtime included.", spec: lines(rows, order, "peak", "bytes", "linear") }]
          : []),
      ],
      tables: [table],
    },
    headlines: headlines(rows),
  };
}

function name(series: string): string {
  return series === "dense" || series === sparse ? `infllm, ${series}` : series === "node-llama-cpp" ? "node-llama-cpp, dense" : series;
}

function lines(rows: readonly Row[], order: readonly string[], field: "prefill" | "cpu" | "decode" | "peak", title: string | null, scale: "log" | "linear"): ChartSpec {
  const values = rows.flatMap((row) => (row[field] === undefined ? [] : [{ engine: name(row.series), length: row.length, value: row[field] }]));
  const colours = seriesScale(order);
  return {
    data: { values },
    width: 385,
    height: 240,
    mark: { type: "line", point: true },
    encoding: {
      x: lengthAxis("length", rows.map(({ length }) => length), "tokens of the prompt"),
      y: { field: "value", type: "quantitative", title, scale: { type: scale }, axis: { tickCount: 5, ...(field === "prefill" || field === "cpu" ? { labelExpr: secondsLabels } : { format: "~s" }) } },
      color: { field: "engine", type: "nominal", title: null, scale: { domain: order.map(name), range: colours.range } },
    },
  };
}

function longestWith(rows: readonly Row[], series: readonly string[]): number | undefined {
  const lengths = rows.filter((row) => row.series === sparse).map(({ length }) => length);
  return lengths.filter((length) => rows.some((row) => row.length === length && series.includes(row.series))).sort((a, b) => b - a)[0];
}

function best(rows: readonly Row[], series: readonly string[], length: number): Row | undefined {
  return rows.filter((row) => row.length === length && series.includes(row.series)).sort((a, b) => a.prefill - b.prefill)[0];
}

function comparison(rows: readonly Row[]): string[] {
  const length = longestWith(rows, llama);
  if (length === undefined) return [];
  const [ours, theirs] = [best(rows, [sparse], length), best(rows, llama, length)];
  if (ours === undefined || theirs === undefined) return [];
  const ratio = theirs.prefill / ours.prefill;
  const verdict = ratio >= 1 ? `${ratio.toFixed(1)} times as fast as` : `${(1 / ratio).toFixed(1)} times slower than`;
  return [`At ${tokens(length)} tokens sparse prefill (${seconds(ours.prefill)}) is ${verdict} node-llama-cpp's faster dense one (${seconds(theirs.prefill)}), on the same weights and threads.${processorTime(ours, theirs)}`];
}

/** On a busy machine wall times are anybody's; processor time is less so. */
function processorTime(ours: Row, theirs: Row): string {
  if (ours.cpu === undefined || theirs.cpu === undefined) return "";
  return ` In processor time, which other programs stretch less, it is ${seconds(ours.cpu)} against ${seconds(theirs.cpu)}.`;
}

function headlines(rows: readonly Row[]): Headline[] {
  const against = (series: readonly string[], what: string): Headline[] => {
    const length = longestWith(rows, series);
    const [ours, theirs] = length === undefined ? [] : [best(rows, [sparse], length), best(rows, series, length)];
    if (length === undefined || ours === undefined || theirs === undefined) return [];
    return [{ value: `${(theirs.prefill / ours.prefill).toFixed(1)}x`, what, detail: `${seconds(ours.prefill)} against ${seconds(theirs.prefill)} at ${tokens(length)} tokens` }];
  };
  return [...against(["dense"], "sparse prefill against our dense"), ...against(llama, "sparse prefill against node-llama-cpp")];
}
