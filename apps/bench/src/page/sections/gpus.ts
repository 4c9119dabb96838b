/** What the GPU backends measured of themselves, each on its card. */
import { seconds } from "../../seconds.ts";
import type { GpuRecord } from "../gpu/record.ts";
import { tokens } from "../latest.ts";
import { phaseLines } from "../phase-lines.ts";
import type { Chart, Headline, ReportPart, Table } from "../section.ts";
import { seriesScale } from "../theme.ts";

export function gpuPart(records: readonly GpuRecord[]): ReportPart | undefined {
  if (records.length === 0) return undefined;
  const timed = records.filter(({ layer }) => layer.length > 0);
  return {
    section: {
      id: "gpus",
      title: "GPU backends",
      text: [
        "The records that the cuda and webgpu backends keep of their last run on a GPU: kernels alone, one attention layer of 32 query heads, 2 KV heads and head_dim 128, 96 blocks visible. They are other machines' than the figures above; each table names its card.",
        ...records.map(inWords),
      ],
      charts: timed.length === 0 ? [] : [speedups(timed)],
      tables: [...(timed.length === 0 ? [] : [layerTable(timed)]), ...records.flatMap(aimTable), ...records.flatMap(productTable)],
    },
    headlines: timed.flatMap(headline),
  };
}

function inWords({ backend, device, driver, date, checks }: GpuRecord): string {
  const right = checks.length === 0 ? "Nothing was checked in that run." : `Right in that run: ${checks.join(", ")}.`;
  return `${backend}: ${device}, ${driver}, ${date}. ${right}`;
}

function speedups(records: readonly GpuRecord[]): Chart {
  const points = records.flatMap((record) => record.layer.map(({ phase, length, dense, sparse }) => ({ phase, length, series: nameOf(record), value: dense / sparse })));
  return {
    title: "Speed-up of an attention layer over dense",
    caption: "Dense time over the time of selection and attention over the blocks together. Above 1, sparse is faster.",
    spec: phaseLines({ points, scale: seriesScale(records.map(nameOf)), kind: "times", legendColumns: 1 }),
  };
}

function layerTable(records: readonly GpuRecord[]): Table {
  const rows = records.flatMap((record) =>
    [...record.layer].sort((a, b) => b.phase.localeCompare(a.phase) || a.length - b.length).map(({ phase, length, dense, sparse, select }) => [
      nameOf(record), phase, tokens(length), seconds(dense), select === undefined ? "–" : seconds(select), seconds(sparse), `${(dense / sparse).toFixed(2)}x`,
    ]),
  );
  return { title: "One attention layer", head: ["backend", "phase", "tokens", "dense", "selection", "sparse, selection included", "speed-up"], rows };
}

function aimTable({ backend, aims: parts }: GpuRecord): Table[] {
  return parts
    .filter(({ aims }) => aims.length > 0)
    .map(({ title, device, aims }) => ({
      title: `${backend}, ${device}: what must and should be reached by ${title}`,
      head: ["", "measured", "must", "aim", "met"],
      rows: aims.map(({ what, measured, must, aim, met }) => [what, measured, must, aim, met]),
    }));
}

function productTable(record: GpuRecord): Table[] {
  if (record.products.length === 0) return [];
  return [{
    title: `${nameOf(record)}: matrix products`,
    head: ["rows x columns x outputs", "time", "TFLOP/s"],
    rows: record.products.map(({ what, seconds: time, flopPerSecond }) => [what, seconds(time), (flopPerSecond / 1e12).toFixed(1)]),
  }];
}

function headline(record: GpuRecord): Headline[] {
  const longest = record.layer.filter(({ phase }) => phase === "prefill").sort((a, b) => b.length - a.length)[0];
  if (longest === undefined) return [];
  return [{ value: `${(longest.dense / longest.sparse).toFixed(1)}x`, what: `an attention layer's speed-up in prefill, ${record.backend}`, detail: `${seconds(longest.sparse)} against ${seconds(longest.dense)} at ${tokens(longest.length)} tokens on ${record.device}` }];
}

function nameOf({ backend, device }: GpuRecord): string {
  return `${backend}, ${device}`;
}
