/** What a backend measured of itself on a GPU: the `verified.json` that its package keeps. */
import { FormatError } from "@infllm/tensor";
import { parseJson, Row } from "../../tasks/data/row.ts";

/** One attention layer over one length, seconds. */
export interface LayerTime {
  readonly phase: "prefill" | "decode";
  readonly length: number;
  readonly dense: number;
  /** Compression, selection and attention over the blocks together. */
  readonly sparse: number;
  /** Selection alone, where it was timed apart. */
  readonly select?: number;
}

/** A figure that the backend's makers set out to reach. */
export interface Aim {
  readonly what: string;
  readonly measured: string;
  readonly must: string;
  readonly aim: string;
  readonly met: string;
}

/** What one part of a run was to reach, on the card that it ran on. */
export interface Aims {
  readonly title: string;
  readonly device: string;
  readonly aims: readonly Aim[];
}

export interface ProductTime {
  readonly what: string;
  readonly seconds: number;
  readonly flopPerSecond: number;
}

export interface GpuRecord {
  readonly backend: "cuda" | "webgpu";
  /** The card, its driver, and the day. */
  readonly device: string;
  readonly driver: string;
  readonly date: string;
  /** What was checked on that card, in words; empty when the record has no checks. */
  readonly checks: readonly string[];
  readonly layer: readonly LayerTime[];
  readonly products: readonly ProductTime[];
  readonly aims: readonly Aims[];
}

/** @throws FormatError naming the file and the field */
export function readGpuRecord(text: string, path: string): GpuRecord {
  const record = new Row(parseJson(text, path), path);
  if (record.has("adapter")) return webgpuRecord(record);
  if (record.has("computeCapability")) return cudaRecord(record);
  throw new FormatError(`${path} is no record of a run on a GPU: it has neither "adapter" nor "computeCapability". Give a backend's verified.json.`);
}

function cudaRecord(record: Row): GpuRecord {
  const lengths = part(record, "bench")?.rows("lengths") ?? [];
  const milliseconds = (of: Row, phase: string, op: string): number => of.row(phase).row(op).number("medianMs") / 1000;
  return {
    backend: "cuda",
    device: record.text("device"),
    driver: `driver for CUDA ${record.text("driver")}`,
    date: record.text("date"),
    checks: [...conformance(record), ...answers(part(record, "model"), "the embedded model")],
    layer: lengths.flatMap((of): LayerTime[] => {
      const length = of.number("length");
      const [compress, select, attend] = ["compress", "select", "attendBlocks"].map((op) => milliseconds(of, "prefill", op)) as [number, number, number];
      return [
        { phase: "prefill", length, select, sparse: compress + select + attend, dense: milliseconds(of, "prefill", "attendDense") },
        { phase: "decode", length, sparse: milliseconds(of, "decode", "sparse"), dense: milliseconds(of, "decode", "dense") },
      ];
    }),
    products: [],
    aims: [
      ...aimsOf(record, "lab", "kernels, timed beside cuDNN and cuBLASLt"),
      ...aimsOf(record, "e2e", "whole models of MiniCPM4-8B's shape with made-up weights, beside the same layers in torch"),
    ],
  };
}

/** A part that ran on another day or card than the rest says so. */
function aimsOf(record: Row, name: string, title: string): Aims[] {
  const of = part(record, name);
  if (of === undefined) return [];
  const ran = of.has("run") ? of.row("run") : record;
  // A figure whose part of the run was left out has no value.
  const aims = of.rows("table").filter((row) => row.has("measured")).map(aimOf);
  return [{ title, device: ran.text("device"), aims }];
}

function aimOf(row: Row): Aim {
  const [unit, more] = [row.text("unit"), row.text("better") === "more"];
  const goal = (field: string): string => (row.has(field) ? `${more ? "≥" : "≤"} ${row.number(field)} ${unit}` : "–");
  const met = row.boolean("mustMet") ? (row.has("aim") ? (row.boolean("aimMet") ? "aim" : "must, not the aim") : "must") : "no";
  return { what: row.text("what"), measured: `${row.number("measured")} ${unit}`, must: goal("must"), aim: goal("aim"), met };
}

function webgpuRecord(record: Row): GpuRecord {
  const timings = activations(part(record, "bench")).flatMap(({ of }) => of.rows("timings"));
  const seconds = (timing: Row): number => timing.number(timing.has("gpuMs") ? "gpuMs" : "wallMs") / 1000;
  const times = timings.map((timing) => ({ what: timing.text("what"), seconds: seconds(timing), tflops: timing.has("tflops") ? timing.number("tflops") : undefined }));
  return {
    backend: "webgpu",
    device: record.text("adapter"),
    driver: record.text("driver"),
    date: record.text("date"),
    checks: [...conformance(record), ...activations(part(record, "model")).flatMap(({ name, of }) => answers(of, `the embedded model in ${name}`))],
    layer: layerTimes(times),
    products: times.flatMap(({ what, seconds, tflops }) => (what.startsWith("linear ") && tflops !== undefined ? [{ what: what.slice("linear ".length), seconds, flopPerSecond: tflops * 1e12 }] : [])),
    aims: [],
  };
}

/** Lines such as `prefill, selection, 32/2 heads of 128, 16384 tokens`, put together by phase and length. */
function layerTimes(times: readonly { readonly what: string; readonly seconds: number }[]): LayerTime[] {
  const found = times.flatMap(({ what, seconds }) => {
    const [, phase, op, length] = /^(prefill|decode), (dense|selection|sparse)\b.* (\d+) tokens$/.exec(what) ?? [];
    return phase === undefined ? [] : [{ phase: phase as LayerTime["phase"], op, length: Number(length), seconds }];
  });
  const at = (phase: string, op: string, length: number): number | undefined => found.find((one) => one.phase === phase && one.op === op && one.length === length)?.seconds;
  const lengths = [...new Set(found.map(({ length }) => length))];
  return lengths.flatMap((length) => (["prefill", "decode"] as const).flatMap((phase): LayerTime[] => {
    const [dense, sparse, select] = [at(phase, "dense", length), at(phase, "sparse", length), at(phase, "selection", length)];
    if (dense === undefined || sparse === undefined) return [];
    return [{ phase, length, dense, sparse: sparse + (select ?? 0), ...(select !== undefined && { select }) }];
  }));
}

/** A part of the record, absent where it was not run. */
function part(record: Row, name: string): Row | undefined {
  return record.has(name) ? record.row(name) : undefined;
}

/** The parts by activation type, such as f16 and f32. */
function activations(of: Row | undefined): { readonly name: string; readonly of: Row }[] {
  return of === undefined ? [] : ["f32", "f16", "bf16"].flatMap((name) => (of.has(name) ? [{ name, of: of.row(name) }] : []));
}

function conformance(record: Row): string[] {
  return activations(part(record, "check")).map(({ name, of }) => `${of.number("passed")} of ${of.number("cases")} conformance cases in ${name}`);
}

function answers(model: Row | undefined, what: string): string[] {
  if (model === undefined) return [];
  const prompts = model.rows("prompts");
  const sum = (field: string): number => prompts.reduce((total, prompt) => total + prompt.number(field), 0);
  return [`${sum("equalTokens")} of ${sum("tokens")} greedy tokens of ${what}`];
}
