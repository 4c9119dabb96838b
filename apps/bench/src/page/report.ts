/** Puts the sections of a results folder together. */
import type { ResultRecord } from "../results/record.ts";
import type { GpuRecord } from "./gpu/record.ts";
import { latest } from "./latest.ts";
import type { Headline, ReportPart, Section, Table } from "./section.ts";
import { agreementPart } from "./sections/agreement.ts";
import { e2eParts } from "./sections/e2e.ts";
import { gpuPart } from "./sections/gpus.ts";
import { kernelParts } from "./sections/kernels.ts";
import { needlePart } from "./sections/needle.ts";
import { perplexityPart } from "./sections/perplexity.ts";
import { rooflinePart } from "./sections/roofline.ts";
import { rulerPart, taskPart } from "./sections/scores.ts";

export interface Report {
  readonly title: string;
  readonly subtitle: string;
  readonly headlines: readonly Headline[];
  readonly sections: readonly Section[];
}

/** @param gpus what GPU backends measured of themselves, for a section of its own */
export function buildReport(all: readonly ResultRecord[], gpus: readonly GpuRecord[] = []): Report {
  const { records, replaced } = latest(all);
  const parts = [
    rulerPart(records),
    needlePart(records),
    perplexityPart(records),
    agreementPart(records),
    taskPart(records, "longbench", "LongBench", "LongBench's tasks by its own metrics."),
    taskPart(records, "reasoning", "Reasoning and knowledge", "Choices by log-likelihood, boxed answers compared as mathematics, programs run in a sandbox."),
    ...e2eParts(records),
    ...kernelParts(records),
    gpuPart(gpus),
    rooflinePart(records),
  ].filter((part): part is ReportPart => part !== undefined);
  const failures = failureSection(records);
  return {
    title: "infllm bench",
    subtitle: subtitle(records),
    headlines: parts.flatMap(({ headlines }) => headlines),
    sections: [...parts.map(({ section }) => section), ...(failures ? [failures] : []), provenance(records, replaced)],
  };
}

function subtitle(records: readonly ResultRecord[]): string {
  const times = records.map(({ finishedAt }) => finishedAt.slice(0, 10)).sort();
  const [first, last] = [times[0] ?? "–", times.at(-1) ?? "–"];
  const models = [...new Set(records.flatMap(({ model }) => (model ? [model.name] : [])))];
  return `${models.length === 0 ? "no model" : models.join(", ")} · ${records.length} cells · ${first === last ? first : `${first} to ${last}`}`;
}

function failureSection(records: readonly ResultRecord[]): Section | undefined {
  const failed = records.filter(({ status }) => status === "failed");
  if (failed.length === 0) return undefined;
  const rows = failed.map(({ suite, cell, error }) => [`${suite}: ${Object.values(cell).join(" · ")}`, error ?? ""]);
  return { id: "failures", title: "What failed", text: [`${failed.length} cells failed; the same command tries them again.`], charts: [], tables: [{ title: "Failures", head: ["cell", "why"], rows }] };
}

function provenance(records: readonly ResultRecord[], replaced: number): Section {
  const distinct = (of: (record: ResultRecord) => string | undefined): string => [...new Set(records.flatMap((record) => of(record) ?? []))].join("; ") || "–";
  const others = replaced === 0 ? [] : [`${replaced} cells are in the folder with other configurations or seeds, too, and only the last are shown here.`];
  const table: Table = {
    title: "What these figures are of",
    head: ["", ""],
    rows: [
      ["models", distinct(({ model }) => model && `${model.name} (${model.hash.slice(0, 23)}…)`)],
      ["commits", distinct(({ commit }) => commit)],
      ["machines", distinct(({ environment: { cpu, cores, platform } }) => `${cpu}, ${cores} cores, ${platform}`)],
      ["backends", distinct(({ environment }) => environment.backend && `${environment.backend.name}: ${environment.backend.description}`)],
      ["Node", distinct(({ environment }) => environment.node)],
      ["seeds", distinct(({ seed }) => String(seed))],
    ],
  };
  return { id: "provenance", title: "Provenance", text: ["Every line of the results folder holds this for its own cell.", ...others], charts: [], tables: [table] };
}
