import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  backendOption,
  BadUsageError,
  count,
  integer,
  integerList,
  largestLength,
  modelOption,
  threadsOption,
  type RegisterCommand,
} from "@infllm/command";
import { convertModel, type ModelFiles } from "@infllm/model";
import { Option } from "commander";
import { e2eCells } from "../e2e/cells.ts";
import { measureCommand, runMeasuringProcess } from "../e2e/measure.ts";
import { loadNodeLlama } from "../e2e/node-llama-cpp.ts";
import { attentions, engines, type E2eAttention, type E2eModel, type Engine } from "../e2e/spec.ts";
import { syntheticModel } from "../e2e/synthetic-model.ts";
import { environment } from "../results/environment.ts";
import { modelIdentity } from "../results/model-identity.ts";
import type { Figures } from "../results/record.ts";
import { addRunOptions, inSession, runPlan, type RunFlags, type Session } from "../session.ts";
import { shapeNamed, shapeNames } from "../shapes.ts";

export interface E2eOptions {
  readonly model: string;
  readonly shape?: string;
  readonly layers?: number;
  readonly weights: "f16" | "q8_0" | "f32" | "stored";
  readonly engines: readonly Engine[];
  readonly attention?: readonly E2eAttention[];
  readonly lengths: readonly number[];
  readonly decode: number;
  readonly runs: number;
  readonly backend: string;
  readonly threads?: number;
}

const help = `
Every measurement runs in a process of its own, so that its peak memory is its own. With node-llama-cpp among the engines
the model is written as one GGUF file first, and both engines read that file. Both get the same token ids.
--shape times an architecture without its weights: they are made up.

Examples:
  infllm-bench e2e --lengths 2048,4096,8192,16384
  infllm-bench e2e --engines infllm --shape minicpm4-8b --layers 2 --lengths 8192,16384 --backend cuda
`;

export const e2e: RegisterCommand = (program, io) => {
  const command = program
    .command("e2e")
    .description("Time whole models: reading a prompt and writing an answer, dense and sparse, beside node-llama-cpp.")
    .addOption(modelOption())
    .addOption(new Option("--shape <name>", "made-up weights of this architecture instead of a model").choices([...shapeNames]))
    .addOption(new Option("--layers <count>", "layers of the made-up model (default: all)").argParser(integer({ min: 1, max: 1024 })))
    .addOption(
      new Option("--weights <type>", "type of the matrices in the GGUF file").choices(["f16", "q8_0", "f32", "stored"]).default("f16"),
    )
    .addOption(new Option("--engines <list>", `any of ${engines.join(", ")}`).argParser(listOf("engine", engines)).default(engines, engines.join(",")))
    .addOption(new Option("--attention <list>", `any of ${attentions.join(", ")}; sparse is infllm's, flash llama.cpp's (default: all)`).argParser(listOf("attention", attentions)))
    .addOption(new Option("--lengths <list>", "tokens of the prompt").argParser(integerList({ min: 16, max: largestLength })).default([2048, 4096, 8192, 16_384]))
    .addOption(new Option("--decode <count>", "tokens written and timed").argParser(integer({ min: 1, max: 4096 })).default(64))
    .addOption(new Option("--runs <count>", "timed runs of each cell; the median counts").argParser(integer({ min: 1, max: 100 })).default(1))
    .addOption(backendOption())
    .addOption(threadsOption())
    .addHelpText("after", help);
  addRunOptions(command).action((options: E2eOptions & RunFlags) => inSession(options, io, (session) => measureE2e(session, options)));
  program.command(measureCommand, { hidden: true }).action(runMeasuringProcess);
};

/** Parses names between commas. */
function listOf<Name extends string>(what: string, known: readonly Name[]): (text: string) => Name[] {
  return (text) =>
    text.split(",").map((given) => {
      const found = known.find((name) => name === given.trim());
      if (found === undefined) throw new BadUsageError(`There is no ${what} "${given}". Known are ${known.join(", ")}.`);
      return found;
    });
}

/** @throws NotAvailableError when node-llama-cpp is asked for and not there */
export async function measureE2e(session: Session, options: E2eOptions): Promise<void> {
  const withLlama = options.engines.includes("node-llama-cpp");
  if (withLlama) await loadNodeLlama();
  const { lengths, decode: decodeTokens, runs, backend, threads } = options;
  const folder = await mkdtemp(join(tmpdir(), "infllm-bench-"));
  try {
    const source = sourceOf(options, Math.max(...lengths) + decodeTokens + 1);
    const model = await modelIdentity(source.files);
    const file = withLlama ? await asGguf(source.files, options.weights, folder) : undefined;
    const from: E2eModel = file === undefined ? source.model : { kind: "source", source: file };
    const weights = file === undefined ? "stored" : options.weights;
    // A measuring process is this program's built file; sources run in this process.
    const apart = !import.meta.url.endsWith(".ts");
    const cells = e2eCells({ engines: options.engines, attentions: options.attention, model: from, weights, lengths, backend, threads, decodeTokens, runs, seed: session.seed, apart });
    await runPlan(session, { suite: "e2e", timed: true, model, environment: environment(), cells, describe });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function sourceOf({ model, shape, layers }: E2eOptions, contextLength: number): { files: string | ModelFiles; model: E2eModel } {
  if (shape === undefined) {
    if (layers !== undefined) throw new BadUsageError("--layers goes with --shape; a model has the layers it has.");
    return { files: model, model: { kind: "source", source: model } };
  }
  const named = shapeNamed(shape);
  const kept = layers ?? named.layers;
  return { files: syntheticModel(named, contextLength, { layers: kept }), model: { kind: "synthetic", shape, layers: kept } };
}

async function asGguf(source: string | ModelFiles, weights: E2eOptions["weights"], folder: string): Promise<string> {
  if (typeof source === "string" && source.endsWith(".gguf")) return source;
  const out = join(folder, "model.gguf");
  await convertModel(source, { to: "gguf", dtype: weights === "stored" ? undefined : weights, out });
  return out;
}

function describe({ prefillSeconds, prefillCpuSeconds, prefillTokensPerSecond, decodeTokensPerSecond }: Figures): string {
  const rate = (value: unknown): string => (typeof value === "number" ? count(value) : "–");
  const seconds = (value: unknown): string => (typeof value === "number" ? value.toFixed(2) : "–");
  return `prefill ${seconds(prefillSeconds)} s (${seconds(prefillCpuSeconds)} s of processor time), ${rate(prefillTokensPerSecond)} tokens/s; decode ${rate(decodeTokensPerSecond)} tokens/s`;
}
