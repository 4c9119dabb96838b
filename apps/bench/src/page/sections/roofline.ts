/** Predicted times to a million tokens, and how far measurements are from them. */
import type { Figures, ResultRecord } from "../../results/record.ts";
import { comparisons } from "../../roofline/compare.ts";
import { seconds } from "../../seconds.ts";
import type { ChartSpec } from "../chart.ts";
import { finished, groupBy, numberIn, textOf, tokens } from "../latest.ts";
import { phaseLines } from "../phase-lines.ts";
import type { ReportPart, Table } from "../section.ts";
import { seriesScale } from "../theme.ts";

interface Row {
  readonly where: string;
  readonly phase: string;
  readonly length: number;
  readonly dense: number;
  readonly sparse: number;
  readonly ops: Figures;
}

const opNames = [
  ["linear", "matrix products"],
  ["attendDense", "dense attention"],
  ["compress", "key compression"],
  ["select", "block selection"],
  ["attendBlocks", "attention over blocks"],
] as const;

export function rooflinePart(records: readonly ResultRecord[]): ReportPart | undefined {
  const rows = finished(records, "roofline").flatMap(rowOf);
  if (rows.length === 0) return undefined;
  const tables = [...groupBy(rows, ({ where }) => where)].map(([where, own]): Table => ({
    title: where,
    head: ["tokens", "phase", ...opNames.map(([, label]) => label), "dense", "sparse", "speed-up"],
    rows: own.map(({ length, phase, dense, sparse, ops }) => [
      tokens(length), phase, ...opNames.map(([op]) => seconds(numberIn(ops, op) ?? Number.NaN)), seconds(dense), seconds(sparse), `${(dense / sparse).toFixed(2)}x`,
    ]),
  }));
  const measured = comparisons(records);
  return {
    section: {
      id: "roofline",
      title: "Roofline",
      text: ["The least time a step can take on stated hardware: work over FLOP/s or bytes over bandwidth, whichever is longer. Nothing here is measured but the ceilings named so; it is the plan past the machine at hand."],
      charts: [{ title: "Predicted speed-up of the whole model", caption: "Dense step over sparse step by length.", spec: speedups(rows) }],
      tables: [...comparisonTables(measured), ...tables],
    },
    headlines: [],
  };
}

function rowOf({ cell, figures }: ResultRecord): Row[] {
  const { hardware, shape, phase, length } = cell;
  const [dense, sparse, ops] = [numberIn(figures, "dense"), numberIn(figures, "sparse"), figures["ops"]];
  if (typeof length !== "number" || dense === undefined || sparse === undefined || typeof ops !== "object" || ops === null) return [];
  return [{ where: `${textOf(shape)} on ${textOf(hardware)}`, phase: textOf(phase), length, dense, sparse, ops: ops as Figures }];
}

function speedups(rows: readonly Row[]): ChartSpec {
  const points = rows.map(({ where, phase, length, dense, sparse }) => ({ phase, length, series: where, value: dense / sparse }));
  return phaseLines({ points, scale: seriesScale([...new Set(points.map(({ series }) => series))]), kind: "times", legendColumns: 1 });
}

function comparisonTables(found: ReturnType<typeof comparisons>): Table[] {
  return [...groupBy(found, ({ machine }) => machine)].map(([machine, own]) => ({
    title: `Measured over predicted on ${machine}`,
    head: ["", "tokens", "measured", "predicted", "ratio"],
    rows: own.map(({ what, length, measured, predicted }) => [what, tokens(length), seconds(measured), seconds(predicted), `${(measured / predicted).toFixed(1)}x`]),
  }));
}
