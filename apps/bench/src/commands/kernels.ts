import type { LseMode } from "@infllm/block-selection";
import { backendOption, integer, integerList, largestLength, openBackend, threadsOption, type ModelBackend, type RegisterCommand } from "@infllm/command";
import { Option } from "commander";
import { kernelCells } from "../kernels/cells.ts";
import { nsaCells } from "../kernels/nsa-cells.ts";
import { environment } from "../results/environment.ts";
import type { Figures } from "../results/record.ts";
import { seconds } from "../seconds.ts";
import { addRunOptions, inSession, runPlan, type RunFlags, type Session } from "../session.ts";
import { shapeNamed, shapeNames } from "../shapes.ts";

export interface KernelsOptions {
  readonly shape: string;
  readonly lengths: readonly number[];
  readonly blocks?: readonly number[];
  readonly lse: "exact" | "approx" | "both";
  readonly rows: number;
  readonly rounds: number;
  readonly product: number;
  readonly copyMib: number;
  /** Lengths at which NSA's branches are timed, too. */
  readonly nsa?: readonly number[];
  readonly backend: string;
  readonly threads?: number;
}

const help = `
Times dense attention, block selection (fused, and with the scores of all blocks stored) and attention over the selected
blocks, in prefill and decode; beside matrix products and a plain copy, which show what the machine can do. Every op is
checked against the plain reference first.

Examples:
  infllm-bench kernels
  infllm-bench kernels --backend cuda --shape minicpm4-8b --lengths 32768,65536,131072 --blocks 16,32,64,96 --rows 4096
`;

export const kernels: RegisterCommand = (program, io) => {
  const command = program
    .command("kernels")
    .description("Time attention, selection and matrix products of a backend, verified first.")
    .addOption(new Option("--shape <name>", "heads and widths of this model").choices([...shapeNames]).default("embedded"))
    .addOption(
      new Option("--lengths <list>", "cached tokens").argParser(integerList({ min: 64, max: largestLength })).default([2048, 4096, 8192, 16_384, 32_768]),
    )
    .addOption(new Option("--blocks <list>", "blocks a query sees in all (default: the model's own number)").argParser(integerList({ min: 2, max: 65_536 })))
    .addOption(new Option("--lse <kind>", "how block scores are normalised").choices(["exact", "approx", "both"]).default("both"))
    .addOption(new Option("--rows <count>", "query rows of a prefill step").argParser(integer({ min: 1, max: 1 << 20 })).default(64))
    .addOption(new Option("--rounds <count>", "timings of each op").argParser(integer({ min: 1, max: 1000 })).default(9))
    .addOption(new Option("--product <size>", "rows, columns and outputs of the large product").argParser(integer({ min: 32, max: 65_536 })).default(512))
    .addOption(new Option("--copy-mib <size>", "table that is copied to time memory").argParser(integer({ min: 1, max: 65_536 })).default(128))
    .addOption(
      new Option("--nsa <lengths>", "time the branches of NSA, too, by its reference on the embedded model").argParser(integerList({ min: 64, max: 32_768 })),
    )
    .addOption(backendOption())
    .addOption(threadsOption())
    .addHelpText("after", help);
  addRunOptions(command).action((options: KernelsOptions & RunFlags) => inSession(options, io, (session) => measureKernels(session, options)));
};

export async function measureKernels(session: Session, options: KernelsOptions): Promise<void> {
  const { shape, lse, copyMib, blocks } = options;
  const backend: ModelBackend = await openBackend(options.backend, { threads: options.threads });
  try {
    const modes: LseMode[] = lse === "both" ? ["approx", "exact"] : [lse];
    const plan = { ...options, shape: shapeNamed(shape), lse: modes, copyBytes: copyMib << 20, blocks };
    const nsa = nsaCells(options.nsa ?? [], { shape: "embedded" }, backend, session.seed);
    const cells = [...kernelCells(plan, backend), ...nsa];
    await runPlan(session, { suite: "kernels", timed: true, environment: environment(backend), cells, describe });
  } finally {
    await backend.close();
  }
}

function describe(figures: Figures): string {
  const { speedup, flopPerSecond, bytesPerSecond, branches } = figures;
  if (typeof branches === "object" && branches !== null) {
    return Object.entries(branches).map(([name, value]) => `${name} ${typeof value === "number" ? seconds(value) : "–"}`).join(", ");
  }
  if (typeof speedup === "number") return `selection and sparse attention ${speedup.toFixed(2)}x as fast as dense`;
  if (typeof flopPerSecond === "number") return `${(flopPerSecond / 1e9).toFixed(1)} GFLOP/s`;
  return typeof bytesPerSecond === "number" ? `${(bytesPerSecond / 1e9).toFixed(1)} GB/s` : "";
}
