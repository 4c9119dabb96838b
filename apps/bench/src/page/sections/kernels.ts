/** Times of one attention layer's ops, and the ceilings that the same run measured. */
import { seconds } from "../../seconds.ts";
import { machineOf, type Figures, type ResultRecord } from "../../results/record.ts";
import type { ChartSpec } from "../chart.ts";
import { finished, groupBy, numberIn, secondsLabels, textOf, tokens } from "../latest.ts";
import { phaseLines } from "../phase-lines.ts";
import type { Chart, Headline, ReportPart, Table } from "../section.ts";
import { colour, seriesScale } from "../theme.ts";

interface Row {
  readonly phase: string;
  readonly length: number;
  readonly blocks: number;
  readonly lse: string;
  readonly rows: number;
  readonly dense: number;
  readonly select: number;
  readonly selectStored: number;
  readonly attend: number;
}

export function kernelParts(records: readonly ResultRecord[]): ReportPart[] {
  const groups = groupBy(finished(records, "kernels"), (record) => `${machineOf(record.environment)} · shape ${textOf(record.config["shape"])}`);
  return [...groups].flatMap(([machine, own], index) => {
    const rows = own.flatMap(rowOf);
    if (rows.length === 0) return [];
    return [kernelPart(machine, own, rows, index)];
  });
}

function kernelPart(machine: string, own: readonly ResultRecord[], rows: readonly Row[], index: number): ReportPart {
  const prefill = rows.filter(({ phase }) => phase === "prefill");
  const decode = rows.filter(({ phase }) => phase === "decode");
  const charts: Chart[] = [
    {
      title: "Speed-up over dense attention",
      caption: "Dense time over the time of selection and attention over the selected blocks together; a line for each number of blocks and LSE. Above 1, sparse is faster.",
      spec: speedups(rows),
    },
    { title: "Block selection, exact and approximate LSE", caption: "Time of selection alone in prefill; stored writes the scores of all blocks beside.", spec: selections(prefill) },
    { title: "Where the time goes", caption: "One layer, approximate LSE where both were measured. Time on a logarithmic axis.", spec: opTimes(rows) },
  ];
  const speed = (row: Row): number => row.dense / (row.select + row.attend);
  const table = (title: string, of: readonly Row[]): Table => ({
    title,
    head: ["tokens", "blocks", "LSE", "rows", "dense", "select", "with scores stored", "attend", "speed-up"],
    rows: of.map((row) => [
      tokens(row.length), String(row.blocks), row.lse, String(row.rows),
      ...[row.dense, row.select, row.selectStored, row.attend].map(seconds), `${speed(row).toFixed(2)}x`,
    ]),
  });
  return {
    section: {
      id: `kernels-${index}`,
      title: "Kernels",
      text: [`One attention layer on ${machine}. Every op was checked against the plain reference before it was timed; times are medians, the ops of a cell interleaved.`],
      charts,
      tables: [ceilings(own), table("Prefill", prefill), table("Decode", decode), ...branchTables(own)],
    },
    headlines: headline(prefill, machine),
  };
}

function rowOf({ cell, figures }: ResultRecord): Row[] {
  if (cell["op"] !== "attention") return [];
  const { phase, length, blocks, lse } = cell;
  const median = (name: string): number => numberIn((figures[name] ?? {}) as Figures, "median") ?? Number.NaN;
  if (typeof length !== "number" || typeof blocks !== "number") return [];
  return [{
    phase: textOf(phase), length, blocks, lse: textOf(lse), rows: numberIn(figures, "rows") ?? 1,
    dense: median("dense"), select: median("select"), selectStored: median("selectStored"), attend: median("attend"),
  }];
}

function speedups(rows: readonly Row[]): ChartSpec {
  const points = rows.map((row) => ({ phase: row.phase, length: row.length, series: `${row.blocks} blocks, ${row.lse}`, value: row.dense / (row.select + row.attend) }));
  return phaseLines({ points, scale: seriesScale([...new Set(points.map(({ series }) => series))]), kind: "times" });
}

function selections(rows: readonly Row[]): ChartSpec {
  const values = rows.flatMap((row) => [
    { length: tokens(row.length), series: `${row.lse}, fused`, seconds: row.select },
    { length: tokens(row.length), series: `${row.lse}, stored`, seconds: row.selectStored },
  ]);
  const series = [...new Set(values.map((value) => value.series))];
  return {
    data: { values },
    width: { step: 16 },
    height: 200,
    mark: { type: "bar", cornerRadiusEnd: 3 },
    encoding: {
      x: { field: "length", type: "ordinal", sort: [...new Set(rows.map(({ length }) => length))].sort((a, b) => a - b).map(tokens), title: "tokens", axis: { labelAngle: 0 } },
      xOffset: { field: "series", sort: series },
      y: { aggregate: "mean", field: "seconds", type: "quantitative", title: null, axis: { labelExpr: secondsLabels } },
      color: { field: "series", type: "nominal", sort: series, title: null, scale: { domain: series, range: [colour("blue"), colour("step3"), colour("aqua"), colour("reference")] } },
    },
  };
}

function opTimes(rows: readonly Row[]): ChartSpec {
  const modes = new Set(rows.map(({ lse }) => lse));
  const kept = rows.filter(({ lse }) => modes.size === 1 || lse === "approx");
  const points = kept.flatMap(({ phase, length, dense, select, attend }) => [
    { phase, length, series: "dense attention", value: dense },
    { phase, length, series: "block selection", value: select },
    { phase, length, series: "attention over blocks", value: attend },
  ]);
  const scale = { domain: ["dense attention", "block selection", "attention over blocks"], range: [colour("reference"), colour("orange"), colour("blue")] };
  return phaseLines({ points, scale, kind: "seconds" });
}

function ceilings(records: readonly ResultRecord[]): Table {
  const rows = records.flatMap(({ cell, figures }) => {
    const [flops, bytes] = [numberIn(figures, "flopPerSecond"), numberIn(figures, "bytesPerSecond")];
    const name = cell["op"] === "copy" ? "plain copy" : `${textOf(cell["op"])} ${textOf(cell["rows"])} × ${textOf(cell["columns"])} × ${textOf(cell["outputs"])}, ${textOf(cell["dtype"])} weight`;
    if (flops !== undefined) return [[name, `${(flops / 1e9).toFixed(1)} GFLOP/s`]];
    return bytes === undefined ? [] : [[name, `${(bytes / 1e9).toFixed(1)} GB/s`]];
  });
  return { title: "Ceilings, measured in the same run", head: ["", "rate"], rows };
}

/** NSA's branches over all layers of the embedded model, by its reference: what each costs beside the others, not how fast it could be. */
function branchTables(records: readonly ResultRecord[]): Table[] {
  const parts = ["compressed", "selection", "selected", "window"] as const;
  const rows = records.flatMap(({ cell, figures }) => {
    const { branches } = figures;
    if (cell["op"] !== "nsa" || typeof branches !== "object" || branches === null) return [];
    return [[tokens(Number(cell["length"])), ...parts.map((part) => seconds(numberIn(branches as Figures, part) ?? Number.NaN))]];
  });
  return rows.length === 0 ? [] : [{ title: "NSA's branches, by its reference on the embedded model", head: ["tokens", ...parts], rows }];
}

function headline(prefill: readonly Row[], machine: string): Headline[] {
  const best = prefill.filter(({ lse }) => lse === "approx").sort((a, b) => b.length - a.length)[0];
  if (best === undefined) return [];
  return [{ value: `${(best.dense / (best.select + best.attend)).toFixed(1)}x`, what: "an attention layer's speed-up in prefill", detail: `${tokens(best.length)} tokens, ${best.blocks} blocks, ${machine.split(" · ")[0] ?? machine}` }];
}
